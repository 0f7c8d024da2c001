package report

import (
	"bytes"
	"cmp"
	"io"
	"strings"
	"unicode/utf8"
)

// column is one column of a table, from top to bottom.
type column struct {
	heading string
	cells   []string // one line each, without control characters
	footer  string
	left    bool   // aligned to the left, else to the right
	width   int    // in characters; fitted to what is in it by fitWidth
	colour  string // of the cells: one of the colours below, "" for none
	drop    int    // the order in which columns are dropped where there is little room: 1 first, 0 never
}

// look is how a table is drawn.
type look struct {
	rule   string // one character, of which the lines below the header and above the footer are made
	gap    string // between two columns
	footer bool
	colour bool
}

// The colours, as parameters of the escape sequence ESC [ … m.
const (
	bold = "1"
	red  = "31"
	cyan = "36"
)

// paint puts text in a colour if on is set, but not the blanks around it.
func paint(text, colour string, on bool) string {
	bare := strings.TrimSpace(text)
	if !on || colour == "" || bare == "" {
		return text
	}
	before, after, _ := strings.Cut(text, bare)
	return before + "\x1b[" + colour + "m" + bare + "\x1b[0m" + after
}

// textWidth is how many columns of a terminal the text takes. All that report prints is narrow: Latin,
// punctuation and block characters. (In an East Asian locale some terminals can be told to draw the block
// characters twice as wide; none does so by itself.)
func textWidth(text string) int { return utf8.RuneCountInString(text) }

// fitWidth makes the column as wide as its contents, and at least as wide as it is.
func (c *column) fitWidth() {
	c.width = max(c.width, textWidth(c.heading), textWidth(c.footer))
	for _, cell := range c.cells {
		c.width = max(c.width, textWidth(cell))
	}
}

// totalWidth is the width of a table of these columns with gap blanks between them.
func totalWidth(columns []column, gap int) int {
	width := gap * (len(columns) - 1)
	for _, c := range columns {
		width += c.width
	}
	return width
}

// fit chooses the columns and the gap between them for a width, 0 being any. If they are too wide, it first
// narrows the gap, then drops one column after the other in the order of their drop.
func fit(columns []column, width int) (kept []column, gap int) {
	const wide, narrow = 2, 1
	for width > 0 {
		if totalWidth(columns, wide) <= width {
			break
		}
		if totalWidth(columns, narrow) <= width {
			return columns, narrow
		}
		first := -1
		for i, c := range columns {
			if c.drop > 0 && (first < 0 || c.drop < columns[first].drop) {
				first = i
			}
		}
		if first < 0 { // no column can be dropped any more: let the terminal wrap
			return columns, narrow
		}
		columns = append(columns[:first:first], columns[first+1:]...)
	}
	return columns, wide
}

// draw lays the columns out in exactly their widths, into which what is in them has to fit. If the last one is aligned to the
// left, its lines have no blanks at their end.
//
// It is all that is left to do once the widths are known. Libraries that lay out tables find those out themselves, where the
// locale says how wide block characters are, and take longer to be loaded than this takes (bench/results).
func draw(w io.Writer, columns []column, style look) error {
	var out []byte
	line := func(colour string, cell func(*column) string) {
		for i := range columns {
			c := &columns[i]
			if i > 0 {
				out = append(out, style.gap...)
			}
			out = c.append(out, cell(c), cmp.Or(colour, c.colour), style.colour)
		}
		if columns[len(columns)-1].left {
			out = bytes.TrimRight(out, " ")
		}
		out = append(out, '\n')
	}
	rule := func() {
		for i := range columns {
			if i > 0 {
				out = append(out, style.gap...)
			}
			out = append(out, strings.Repeat(style.rule, columns[i].width)...)
		}
		out = append(out, '\n')
	}
	line(bold, func(c *column) string { return c.heading })
	rule()
	for i := range columns[0].cells {
		line("", func(c *column) string { return c.cells[i] })
	}
	if style.footer {
		rule()
		line(bold, func(c *column) string { return c.footer })
	}
	_, err := w.Write(out)
	return err
}

// append appends a text of the column's, padded to its width, in a colour if on is set.
func (c *column) append(out []byte, text, colour string, on bool) []byte {
	padding := strings.Repeat(" ", max(c.width-textWidth(text), 0))
	text = paint(text, colour, on)
	if c.left {
		return append(append(out, text...), padding...)
	}
	return append(append(out, padding...), text...)
}

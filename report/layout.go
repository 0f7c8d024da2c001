package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/olekukonko/ll"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
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

// countRunes has tablewriter take widths as textWidth does: else the locale decides on that of block characters. Its cache of
// widths takes longer than counting.
var countRunes = sync.OnceFunc(func() {
	twwidth.SetEastAsian(false)
	twwidth.SetCacheCapacity(0)
})

// draw lays the columns out in exactly their widths. If the last one is aligned to the left, its lines
// have no blanks at their end.
//
// tablewriter's renderer is told what a tablewriter.Table would only find out again for 0.7 MB a table: how wide the columns are.
func draw(w io.Writer, columns []column, style look) error {
	var out bytes.Buffer
	countRunes()
	lines := renderer.NewBlueprint(tw.Rendition{
		Borders:  tw.BorderNone,
		Symbols:  tw.NewSymbolCustom("sysprof").WithRow(style.rule).WithColumn(style.gap).WithCenter(style.gap),
		Settings: tw.Settings{Separators: tw.Separators{BetweenColumns: tw.On}},
	})
	lines.Logger(new(ll.Logger).Suspend()) // else it words what it would log, which takes longer than the table
	if err := lines.Start(&out); err != nil {
		return fmt.Errorf("lay out a table: %w", err)
	}
	widths := make(tw.Mapper[int, int], len(columns))
	for i := range columns {
		widths[i] = columns[i].width
	}
	line := func(colour string, cell func(*column) string) tw.Formatting {
		return tw.Formatting{Row: tw.RowContext{Widths: widths, Current: cellsOfLine(columns, colour, style, cell)}}
	}
	heading := line(bold, func(c *column) string { return c.heading })
	lines.Header(nil, heading)
	lines.Line(heading)
	for i := range columns[0].cells {
		lines.Row(nil, line("", func(c *column) string { return c.cells[i] }))
	}
	if style.footer {
		lines.Line(heading)
		lines.Footer(nil, line(bold, func(c *column) string { return c.footer }))
	}
	if err := lines.Close(); err != nil {
		return fmt.Errorf("lay out a table: %w", err)
	}
	for line := range strings.Lines(out.String()) {
		if columns[len(columns)-1].left {
			line = strings.TrimRight(line, " \n") + "\n"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// cellsOfLine is a line of a table for tablewriter's renderer: a cell of each column in colour, or if that is "" in the
// column's own.
func cellsOfLine(columns []column, colour string, style look, cell func(*column) string) map[int]tw.CellContext {
	cells := make(map[int]tw.CellContext, len(columns))
	for i := range columns {
		c := &columns[i]
		align := tw.AlignRight
		if c.left {
			align = tw.AlignLeft
		}
		text := paint(cell(c), cmp.Or(colour, c.colour), style.colour)
		cells[i] = tw.CellContext{Data: text, Align: align, Padding: tw.PaddingNone}
	}
	return cells
}

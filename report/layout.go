package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// column is one column of a table, from top to bottom.
type column struct {
	heading string
	cells   []string
	footer  string
	left    bool   // aligned to the left, else to the right
	width   int    // in characters; fitted to what is in it by fitWidth
	colour  string // of the cells: one of the colours below, "" for none
	drop    int    // the order in which columns go where room is scarce: 1 first, 0 never
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

// paint puts text in a colour, but not the blanks around it.
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

// fit chooses the columns and the gap between them for a width, 0 being any: first it moves the columns
// together, then it drops one after the other in the order of their drop.
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
		if first < 0 { // nothing is left that could go: let the terminal wrap
			return columns, narrow
		}
		columns = append(columns[:first:first], columns[first+1:]...)
	}
	return columns, wide
}

// draw lays the columns out in exactly their widths. If the last one is aligned to the left, its lines
// have no blanks at their end.
func draw(w io.Writer, columns []column, style look) error {
	var header, footer []string
	var cells [][]string
	widths := tw.NewMapper[int, int]()
	align := make([]tw.Align, len(columns))
	for i, c := range columns {
		widths.Set(i, c.width)
		align[i] = tw.AlignRight
		if c.left {
			align[i] = tw.AlignLeft
		}
		header = append(header, c.heading)
		footer = append(footer, c.footer)
		for j, text := range c.cells {
			if i == 0 {
				cells = append(cells, nil)
			}
			cells[j] = append(cells[j], text)
		}
	}

	cell := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
		Padding:    tw.CellPadding{Global: tw.PaddingNone},
		Alignment:  tw.CellAlignment{PerColumn: align},
	}
	separators := tw.Separators{ShowHeader: tw.On, ShowFooter: tw.On, BetweenRows: tw.Off, BetweenColumns: tw.On}
	lines := tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On, ShowFooterLine: tw.On}
	var out bytes.Buffer
	options := []tablewriter.Option{
		tablewriter.WithEastAsian(tw.Off), // else the locale decides on the width of block characters
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbolCustom("sysprof").WithRow(style.rule).WithColumn(style.gap).WithCenter(style.gap),
			Settings: tw.Settings{Separators: separators, Lines: lines},
		})),
		tablewriter.WithConfig(tablewriter.Config{
			Header: cell, Row: cell, Footer: cell,
			Widths: tw.CellWidth{PerColumn: widths},
		}),
		tablewriter.WithHeader(header),
	}
	if style.footer {
		options = append(options, tablewriter.WithFooter(footer))
	}
	table := tablewriter.NewTable(&out, options...)
	if err := table.Bulk(cells); err != nil {
		return fmt.Errorf("lay out a table: %w", err)
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("lay out a table: %w", err)
	}
	const ruleAt = 1 // below the header
	i := 0
	for line := range strings.Lines(out.String()) {
		rowColour := ""
		if i == 0 || i > ruleAt+len(cells)+1 {
			rowColour = bold
		}
		if isRule := i == ruleAt || i == ruleAt+len(cells)+1; style.colour && !isRule {
			line = paintCells(line, columns, textWidth(style.gap), rowColour)
		}
		if columns[len(columns)-1].left {
			line = strings.TrimRight(line, " \n") + "\n"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
		i++
	}
	return nil
}

// paintCells colours a line that is laid out (tablewriter squeezes the blanks of coloured cells): all of it
// in one colour, or, if that is "", each cell in its column's.
func paintCells(line string, columns []column, gap int, colour string) string {
	left := []rune(line)
	var painted strings.Builder
	for _, c := range columns {
		own := colour
		if own == "" {
			own = c.colour
		}
		width := min(c.width, len(left))
		painted.WriteString(paint(string(left[:width]), own, true))
		left = left[width:]
		space := min(gap, len(left))
		painted.WriteString(string(left[:space]))
		left = left[space:]
	}
	return painted.String() + string(left)
}

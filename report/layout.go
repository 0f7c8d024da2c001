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

// draw lays the columns out in exactly their widths. If the last one is aligned to the left, its lines
// have no blanks at their end.
func draw(w io.Writer, columns []column, style look) error {
	var out bytes.Buffer
	table := tablewriter.NewTable(&out, tableOptions(columns, style)...)
	if err := table.Bulk(rowsOf(columns, style)); err != nil {
		return fmt.Errorf("lay out a table: %w", err)
	}
	if err := table.Render(); err != nil {
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

// rowsOf turns the cells of the columns into the rows of a table, each cell in its column's colour.
func rowsOf(columns []column, style look) [][]string {
	rows := make([][]string, len(columns[0].cells))
	for _, c := range columns {
		for i, cell := range c.cells {
			rows[i] = append(rows[i], paint(cell, c.colour, style.colour))
		}
	}
	return rows
}

// tableOptions describes a table with these columns, their headings and their footers to tablewriter.
func tableOptions(columns []column, style look) []tablewriter.Option {
	var header, footer []string
	widths := tw.NewMapper[int, int]()
	align := make([]tw.Align, len(columns))
	for i, c := range columns {
		widths.Set(i, c.width)
		align[i] = tw.AlignRight
		if c.left {
			align[i] = tw.AlignLeft
		}
		header = append(header, paint(c.heading, bold, style.colour))
		footer = append(footer, paint(c.footer, bold, style.colour))
	}
	cell := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off},
		Padding:    tw.CellPadding{Global: tw.PaddingNone},
		Alignment:  tw.CellAlignment{PerColumn: align},
	}
	separators := tw.Separators{ShowHeader: tw.On, ShowFooter: tw.On, BetweenRows: tw.Off, BetweenColumns: tw.On}
	lines := tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On, ShowFooterLine: tw.On}
	options := []tablewriter.Option{
		tablewriter.WithEastAsian(tw.Off), // else the locale decides on the width of block characters
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbolCustom("sysprof").WithRow(style.rule).WithColumn(style.gap).WithCenter(style.gap),
			Settings: tw.Settings{Separators: separators, Lines: lines},
		})),
		tablewriter.WithConfig(tablewriter.Config{
			Behavior: tw.Behavior{TrimSpace: tw.Off, TrimTab: tw.Off},
			Header:   cell, Row: cell, Footer: cell,
			Widths: tw.CellWidth{PerColumn: widths},
		}),
		// Wrapping, which is on by default, joins the words of a cell with one blank each. A Config cannot
		// turn it off, since WithConfig takes WrapNone, which is 0, for a value that was not set.
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithFooterAutoWrap(tw.WrapNone),
		tablewriter.WithHeader(header),
	}
	if style.footer {
		options = append(options, tablewriter.WithFooter(footer))
	}
	return options
}

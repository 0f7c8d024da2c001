package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"sysprof/report"
)

// style is how a text looks: the 16 colours that every terminal has, or none.
type style string

const (
	plain    style = ""
	bold     style = "1"
	faint    style = "2"
	reverse  style = "7"
	red      style = "31"
	green    style = "32"
	yellow   style = "33"
	cyan     style = "36"
	headline style = "1;7"
)

// paint styles a text.
func (s style) paint(text string) string {
	if s == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

// width is how many columns a text takes.
func width(text string) int { return ansi.StringWidth(text) }

// cut cuts a text to so many columns.
func cut(text string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return ansi.Truncate(text, columns, "…")
}

// left and right fill a text up to so many columns, and cut it to them.
func left(text string, columns int) string {
	text = cut(text, columns)
	return text + strings.Repeat(" ", max(columns-width(text), 0))
}

func right(text string, columns int) string {
	text = cut(text, columns)
	return strings.Repeat(" ", max(columns-width(text), 0)) + text
}

// ascii is a line of the screen for a terminal that has nothing else. Its escape sequences are ASCII.
func ascii(line string) string {
	line = strings.ReplaceAll(line, "…", "~") // it has one column
	line = strings.ReplaceAll(line, " · ", " | ")
	return report.ASCII(line)
}

package report

import "strings"

// wrap breaks lines between words, so that they fit into width columns of a terminal; 0 is any width. What
// goes on from the line above is indented by two blanks, as long as there is room for them.
func wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	const indent, roomy = "  ", 20
	var out strings.Builder
	for line := range strings.Lines(text) {
		rest, end := strings.CutSuffix(line, "\n")
		start := 0 // of the words, behind the indentation
		for textWidth(rest) > width {
			start = len(rest) - len(strings.TrimLeft(rest, " "))
			at := lastBlank(rest, start, width)
			if at < 0 {
				break // one word, and no room for it
			}
			out.WriteString(strings.TrimRight(rest[:at], " ") + "\n")
			rest = rest[at+1:]
			if width >= roomy {
				rest = indent + rest
			}
		}
		out.WriteString(rest)
		if end {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// lastBlank finds the last blank behind start of which the line up to there is no wider than width, or else
// the first one there is; -1 if there is none. A blank behind a number belongs to it and its unit.
func lastBlank(line string, start, width int) int {
	last, columns := -1, 0
	for i, r := range line {
		if r == ' ' && i > start && !('0' <= line[i-1] && line[i-1] <= '9') {
			if last >= 0 && columns > width {
				break
			}
			last = i
			if columns > width {
				break
			}
		}
		columns++
	}
	return last
}

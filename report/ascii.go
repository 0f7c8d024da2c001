package report

import (
	"strings"
	"unicode/utf8"
)

// asciiFor has what stands for other characters where there is only ASCII. Whatever may be in a table takes as much room as
// what it stands for, so that columns stay columns.
var asciiFor = map[rune]string{
	'─': "-", '·': ".", '←': "<", '–': "-", '≤': "<", 'µ': "u", '×': "x", '÷': "/",
	'▁': ".", '▂': ":", '▃': "-", '▄': "=", '▅': "+", '▆': "*", '▇': "%", '█': "#",
	'▏': ".", '▎': ".", '▍': "-", '▌': "=", '▋': "=", '▊': "+", '▉': "*",
	'…': "...", // in sentences alone
}

// ASCII is a text that is to be printed, in ASCII alone, for a terminal or a locale that has nothing else. What nothing stands
// for, as letters in names, is a question mark.
func ASCII(text string) string {
	text = strings.ReplaceAll(text, " · ", " | ") // between the parts of a line
	var out strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			out.WriteRune(r)
		case asciiFor[r] != "":
			out.WriteString(asciiFor[r])
		default:
			out.WriteByte('?')
		}
	}
	return out.String()
}

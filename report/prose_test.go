package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrap(t *testing.T) {
	const sentence = "tracing cost 5 µs a call\n  read: 1 detached after 3 s\n"
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{sentence, 0, sentence},
		{sentence, 28, sentence},
		{sentence, 27, "tracing cost 5 µs a call\n  read: 1 detached after\n  3 s\n"}, // a number and its unit
		{sentence, 23, "tracing cost 5 µs a\n  call\n  read: 1 detached\n  after 3 s\n"},
		{sentence, 7, "tracing\ncost\n5 µs a\ncall\n  read:\n1 detached\nafter\n3 s\n"},
		{"no end", 3, "no\nend"},
		{"", 5, ""},
		{"\n\n", 5, "\n\n"},
		{"unbreakable", 5, "unbreakable"},
		{"   ", 1, "   "},
	} {
		if d := cmp.Diff(c.want, wrap(c.text, c.width)); d != "" {
			t.Errorf("%q at %d (-want +got):\n%s", c.text, c.width, d)
		}
	}
}

// FuzzWrap: no word is lost, torn or moved, whatever the width.
func FuzzWrap(f *testing.F) {
	f.Add("a sentence of words\n  and another", 9)
	f.Add(" \n µ ", 1)
	f.Fuzz(func(t *testing.T, text string, width int) {
		got := wrap(text, width)
		if d := cmp.Diff(strings.Fields(text), strings.Fields(got)); d != "" && !strings.ContainsAny(text, "\u0085\u00a0\v\f\r") {
			t.Errorf("words (-in +out):\n%s", d)
		}
	})
}

package session

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// sizes are those of what was written.
type sizes []int

func (s *sizes) Write(p []byte) (int, error) {
	*s = append(*s, len(p))
	return len(p), nil
}

// TestContentIsWrittenInLargePieces, and at once, unless it is large: of a table that is written when sysprof is killed, there is
// all or nothing.
func TestContentIsWrittenInLargePieces(t *testing.T) {
	for _, test := range []struct {
		name   string
		writes []int
		want   sizes
	}{
		{"nothing", nil, nil},
		{"small", slices.Repeat([]int{10}, 500), sizes{5000}},
		{"small ones, then a larger one", []int{10, 60 << 10}, sizes{10 + 60<<10}},
		{"a line", []int{60 << 10}, sizes{60 << 10}},
		{"a line, then small ones", []int{60 << 10, 1, 2}, sizes{60 << 10, 3}},
		{"large", slices.Repeat([]int{1 << 10}, 600), sizes{256 << 10, 256 << 10, 88 << 10}},
	} {
		var got sizes
		err := content(func(w io.Writer) error {
			for _, n := range test.writes {
				if _, err := io.WriteString(w, strings.Repeat("x", n)); err != nil {
					return err
				}
			}
			return nil
		}).to(&got)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, written in %v, want %v", test.name, err, got, test.want)
		}
	}
}

package report

import (
	"bytes"
	"strings"
	"testing"
)

// TestUpperBoundsAreMarked in the table and in JSON, and read back.
func TestUpperBoundsAreMarked(t *testing.T) {
	s := mixed()
	name := s.Rows[0].ABI.Name(s.Rows[0].Nr)
	s.Rows[0].UpperBound = true
	var table, text bytes.Buffer
	if err := (Table{}).Write(&table, s); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table.String()) {
		if want := strings.HasSuffix(strings.TrimSpace(line), " "+name); (strings.Count(line, "≤ ") >= 2) != want {
			t.Errorf("marked: %v: %s", !want, line)
		}
	}
	if err := WriteJSON(&text, s, Meta{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), `"upper_bound":true`); n != 1 {
		t.Errorf("%d rows are marked", n)
	}
	again, _, err := ReadJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again.Rows {
		if r := &again.Rows[i]; r.UpperBound != (r.Key == s.Rows[0].Key) {
			t.Errorf("%v is read back as %v", r.Key, r.UpperBound)
		}
	}
}

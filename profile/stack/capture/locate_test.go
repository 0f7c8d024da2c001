package capture

import (
	"context"
	"testing"

	"sysprof/profile/stack"
	"sysprof/profile/stack/symbol"
)

// TestAnonymousCodeIsToldApart: what stands at the same distance from the beginning of two mappings has two names.
func TestAnonymousCodeIsToldApart(t *testing.T) {
	c := New(false, 0)
	defer c.Close()
	jit := &owner{pid: -1}
	for _, start := range []uint64{0x7f0000000000, 0x7f1000000000} {
		m := &stack.Mapping{Start: start, End: start + 0x1000, Exec: true}
		c.store.places = append(c.store.places, place{at: start + 0x10, mapping: m, owner: jit})
	}
	l := &locator{c: c, located: map[uint32]*symbol.Location{}, mappings: map[*stack.Mapping]*symbol.Mapping{},
		perf: map[*owner][]perfPlace{}, symbols: symbol.New(symbol.Options{})}
	last := uint32(len(c.store.places) - 1)
	a, b := l.location(last-1), l.location(last)
	l.resolve(context.Background())
	if a.Lines[0].Function == b.Lines[0].Function || a.Lines[0].Function != "[anon] 0x7f0000000010" {
		t.Errorf("%s and %s", a.Lines[0].Function, b.Lines[0].Function)
	}
}

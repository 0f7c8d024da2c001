package syscalltab

import (
	"slices"
	"testing"
)

func TestPerCall(t *testing.T) {
	p := NewPerCall(map[string]int{"read": 1, "mmap2": 2, "openat": 3, "no_such_call": 4, "accept": 5, "listen": 6})
	for _, c := range []struct {
		abi  ABI
		name string
		want int
	}{
		{AMD64, "read", 1}, {AMD64, "openat", 3}, {AMD64, "write", 0}, {AMD64, "openat2", 0}, {I386, "read", 1}, {I386, "mmap2", 2}, {X32, "openat", 3},
		{ARM, "mmap2", 2}, {ARM64, "read", 1}, {RISCV64, "openat", 3},
		{AMD64, "accept", 5}, {I386, "accept", 0}, {I386, "listen", 6}, // of i386's socketcall, the one alone, the other besides
	} {
		nr, ok := c.abi.Number(c.name)
		if !ok {
			t.Fatalf("%v has no %s", c.abi, c.name)
		}
		if got := p.Of(c.abi, nr); got != c.want {
			t.Errorf("%s in %v: %d, want %d", c.name, c.abi, got, c.want)
		}
	}
	for _, nr := range []uint64{1 << 20, ^uint64(0), 511, 512} {
		if got := p.Of(AMD64, nr); got != 0 {
			t.Errorf("number %d: %d", nr, got)
		}
	}
	if got := p.Of(I386, 1<<32+102*256+4); got != 0 { // socketcall's listen
		t.Errorf("of a subcall: %d", got)
	}
	if got := p.Of(Unknown, 0) + p.Of(200, 0); got != 0 {
		t.Errorf("of no ABI: %d", got)
	}
	if want := []string{"accept", "listen", "mmap2", "no_such_call", "openat", "read"}; !slices.Equal(p.Names(), want) {
		t.Errorf("names %q, want %q", p.Names(), want)
	}
}

package symbol

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"sysprof/profile/stack/elf"
)

// TestStarts: what code calls, jumps to and takes the addresses of. All addresses from 0x1000 to 0x1fff are code.
func TestStarts(t *testing.T) {
	type find func(found *starts, b []byte, addr uint64, isCode func(uint64) bool)
	for name, c := range map[string]struct {
		find find
		code string // at 0x1100
		want starts
	}{
		"call":                   {startsOnAMD64, "e8 0b 00 00 00", starts{called: []uint64{0x1110}}},
		"call of what is none":   {startsOnAMD64, "e8 0b 00 01 00", starts{}},
		"jump":                   {startsOnAMD64, "e9 fb fe ff ff", starts{jumps: []jumpTo{{0x1100, 0x1000}}}},
		"branch":                 {startsOnAMD64, "0f 84 0a 00 00 00", starts{jumps: []jumpTo{{0x1100, 0x1110}}}},
		"lea":                    {startsOnAMD64, "48 8d 3d 09 00 00 00", starts{taken: []uint64{0x1110}}},
		"lea of data":            {startsOnAMD64, "4c 8d 05 f9 2e 00 00", starts{data: []uint64{0x4000}}},
		"lea off a register":     {startsOnAMD64, "48 8d 47 08 00 00 00", starts{}},
		"table":                  {startsOnAMD64, "ff 24 c5 00 40 00 00", starts{data: []uint64{0x4000}}},
		"to a register":          {startsOnAMD64, "bf 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"to a wide register":     {startsOnAMD64, "48 c7 c0 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"to memory":              {startsOnAMD64, "48 c7 05 00 20 00 00 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"to the stack":           {startsOnAMD64, "48 c7 44 24 08 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"to a far place there":   {startsOnAMD64, "48 c7 84 24 08 01 00 00 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"to an element":          {startsOnAMD64, "48 c7 04 c5 00 40 00 00 10 11 00 00", starts{taken: []uint64{0x1110}}},
		"ARM64, call":            {startsOnARM64, "04 00 00 94", starts{called: []uint64{0x1110}}},
		"ARM64, call before":     {startsOnARM64, "c0 ff ff 97", starts{called: []uint64{0x1000}}},
		"ARM64, jump":            {startsOnARM64, "04 00 00 14", starts{jumps: []jumpTo{{0x1100, 0x1110}}}},
		"ARM64, adr":             {startsOnARM64, "80 00 00 10", starts{taken: []uint64{0x1110}}},
		"ARM64, page":            {startsOnARM64, "01 00 00 90 21 40 04 91", starts{taken: []uint64{0x1110}}},
		"ARM64, page of data":    {startsOnARM64, "01 00 00 b0 21 40 04 91", starts{data: []uint64{0x2110}}},
		"ARM64, page, no more":   {startsOnARM64, "01 00 00 90 42 40 04 91", starts{}},
		"ARM64, page of another": {startsOnARM64, "01 00 00 90 1f 20 03 d5", starts{}},
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		var got starts
		c.find(&got, append(code, make([]byte, lookOverlap)...), 0x1100, func(a uint64) bool { return a >= 0x1000 && a < 0x2000 })
		if !slices.Equal(got.called, c.want.called) || !slices.Equal(got.taken, c.want.taken) ||
			!slices.Equal(got.data, c.want.data) || !slices.Equal(got.jumps, c.want.jumps) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestJumpsBetweenFunctions: what is jumped to out of another function begins one, as what is called does.
func TestJumpsBetweenFunctions(t *testing.T) {
	s := starts{called: []uint64{30, 10, 20, 10}, taken: []uint64{7, 5, 7}, jumps: []jumpTo{
		{12, 15},           // in a function
		{12, 25}, {22, 16}, // in another
		{12, 20}, {31, 10}, // to where one is known to begin
		{5, 8},
	}}
	s.sort()
	if want := []uint64{10, 16, 20, 25, 30}; !slices.Equal(s.called, want) || !slices.Equal(s.taken, []uint64{5, 7}) {
		t.Errorf("%+v, want %v", s, want)
	}
}

// TestTablesEnd: a table is no longer than it is to the next one.
func TestTablesEnd(t *testing.T) {
	image := slices.Clone(minimalELF(0x1000))
	f, err := elf.Open(bytes.NewReader(image), int64(len(image)), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{e: &elfFile{File: f}, starts: &starts{data: []uint64{0x40, 0x60}}}
	c := &fileCode{r: r}
	for addr, want := range map[uint64]int{0x40: 0x20, 0x58: 8, 0x60: 0x80, 0x30: 0x10} {
		if n := c.Data(make([]byte, 0x80), addr); n != want {
			t.Errorf("%d bytes at %#x, want %d", n, addr, want)
		}
	}
	if n := c.Data(make([]byte, 8), 0x3c); n != 8 {
		t.Errorf("a word has %d bytes", n)
	}
}

// minimalELF is a file for AMD64 of one segment, which holds all of it.
func minimalELF(size int) []byte {
	b := make([]byte, size)
	copy(b, "\x7fELF\x02\x01\x01")
	b[18] = 62                                        // EM_X86_64
	b[32], b[54], b[56] = 64, 56, 1                   // program headers
	b[64], b[68] = 1, 5                               // PT_LOAD
	b[64+33], b[64+41] = byte(size>>8), byte(size>>8) // sizes
	return b
}

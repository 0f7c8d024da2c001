package stack

import "sysprof/profile/stack/elf"

// Functions tells where the functions of a file begin and end, as its unwind information has it, which strip leaves
// in place. A part that the compiler has moved away from the rest, as it does with cold code, is a function of its
// own. It is used by one goroutine at a time.
type Functions struct {
	table   *ehFrame
	scratch ehScratch
	last    cie
}

// FunctionsOf opens the unwind information of f; nil if there is none. It reads the head of the search table, or, where
// there is none, up to 32 MB of .eh_frame.
func FunctionsOf(f *elf.File) *Functions {
	table := newEhFrame(f)
	if table == nil {
		return nil
	}
	return &Functions{table: table}
}

// Around returns the addresses, as linked, that the function around an address begins at and ends before. It is not
// ok if no function is known to be there.
func (t *Functions) Around(addr uint64) (begin, end uint64, ok bool) {
	entry, ok := t.table.find(addr)
	if !ok {
		return 0, 0, false
	}
	var d fde
	if t.table.fdeAt(entry, &t.scratch, &d, &t.last) != nil || addr < d.lo || addr >= d.hi {
		return 0, 0, false
	}
	return d.lo, d.hi, true
}

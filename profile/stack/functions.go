package stack

import (
	"sync/atomic"

	"sysprof/profile/stack/elf"
)

// Functions tells where the functions of a file begin and end, as its unwind information has it, which strip leaves
// in place. A part that the compiler has moved away from the rest, as it does with cold code, is a function of its
// own. It is used by one goroutine at a time.
type Functions struct {
	tables  []*ehFrame // .eh_frame, and .debug_frame, for what that does not have
	scratch ehScratch
	last    cie
}

// FunctionsOf opens the unwind information of f; nil if there is none. It reads the head of the search table, or, where
// there is none, up to 32 MB of .eh_frame; and, if debug, as much of .debug_frame.
func FunctionsOf(f *elf.File, debug bool) *Functions {
	var debugFrame *ehFrame
	if debug {
		debugFrame = newDebugFrame(f, new(atomic.Int64))
	}
	t := new(Functions)
	if t.use(newEhFrame(f), debugFrame); len(t.tables) == 0 {
		return nil
	}
	return t
}

// use makes t that of a file which has these tables, or nil.
func (t *Functions) use(tables ...*ehFrame) {
	t.tables = t.tables[:0]
	for _, table := range tables {
		if table != nil {
			t.tables = append(t.tables, table)
		}
	}
}

// Around returns the addresses, as linked, that the function around an address begins at and ends before. It is not
// ok if no function is known to be there.
func (t *Functions) Around(addr uint64) (begin, end uint64, ok bool) {
	for _, table := range t.tables {
		entry, ok := table.find(addr)
		var d fde
		if ok && table.fdeAt(entry, &t.scratch, &d, &t.last) == nil && addr >= d.lo && addr < d.hi {
			return d.lo, d.hi, true
		}
	}
	return 0, 0, false
}

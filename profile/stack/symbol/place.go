package symbol

import (
	"fmt"
	"path"

	"sysprof/profile/stack"
)

// Place is what code without a name is called: the file, and where in it the code stands.
func Place(file string, offset uint64) string { return fmt.Sprintf("%s+0x%x", path.Base(file), offset) }

// startName is what linkers and C libraries call the code that a program starts with.
const startName = "_start"

// functions opens the file's unwind information, once.
func (r *reader) functions() *stack.Functions {
	if !r.unwound {
		r.unwound = true
		// An index of the whole section is made where the linker has left none.
		const worst = 32 << 20
		sections := []string{".eh_frame", ".debug_frame"}
		if r.golang { // all that its .debug_frame has has been named
			sections = sections[:1]
		}
		work := 0
		for _, name := range sections {
			if s := r.e.section(name); s != nil {
				work += int(min(s.Size, worst) / 16)
			}
		}
		if r.b.spend(work) {
			r.unwind = stack.FunctionsOf(r.e.File, !r.golang)
		}
	}
	return r.unwind
}

// placeNames names functions that nothing names by where they begin: all addresses of a function have one name then,
// which is not that of a symbol. What the unwind information does not have stays without a name.
func (r *reader) placeNames(addrs []uint64, out [][]Frame) {
	defer r.e.Drop()
	for i, a := range addrs {
		if len(out[i]) > 0 || !r.e.text(a) {
			continue
		}
		t := r.functions()
		if t == nil || !r.b.spend(256) {
			return
		}
		begin, _, ok := t.Around(a)
		if !ok || !r.e.text(begin) {
			continue
		}
		name := startName
		if begin != r.e.Entry {
			offset, _, ok := r.e.Offset(begin)
			if !ok {
				continue
			}
			name = Place(r.o.src.Path, offset)
		}
		name = r.s.intern(name)
		out[i] = []Frame{{Function: name, SystemName: name}}
	}
}

// beginsAfter reports whether the function around addr is known to begin behind a label: where the names of other
// functions were stripped, a label without a size is not the name of everything that follows it.
func (r *reader) beginsAfter(label, addr uint64) bool {
	t := r.functions()
	if t == nil || !r.b.spend(256) {
		return false
	}
	begin, _, ok := t.Around(addr)
	return ok && begin > label
}

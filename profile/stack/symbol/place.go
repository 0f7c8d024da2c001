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
// which is not that of a symbol. What the unwind information does not have stays without a name, but for the first code of a program.
func (r *reader) placeNames(addrs []uint64, out [][]Frame) {
	defer r.e.Drop()
	for i, a := range addrs {
		if len(out[i]) > 0 || !r.e.text(a) {
			continue
		}
		begin, ok := r.begins(a)
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

// maxStart is how far behind a program's first instruction an address is looked for that its first code comes to.
const maxStart = 64

// begins returns where the function around addr begins, as unwind information says, or its code.
func (r *reader) begins(addr uint64) (uint64, bool) {
	if t := r.functions(); t != nil && r.b.spend(256) {
		if begin, _, ok := t.Around(addr); ok {
			return begin, true
		}
	}
	if entry := r.e.Entry; entry != 0 && addr-entry < maxStart {
		reaches, _ := r.reaches(entry, addr)
		return entry, reaches
	}
	return r.beginsByCode(addr)
}

// belongs reports whether addr is in the function that a label stands at: where the names of other functions were stripped, a
// label without a size is not the name of everything that follows it.
func (r *reader) belongs(label, addr uint64) bool {
	if t := r.functions(); t != nil && r.b.spend(256) {
		if begin, _, ok := t.Around(addr); ok {
			return begin <= label
		}
	}
	reaches, known := r.reaches(label, addr)
	return reaches || !known
}

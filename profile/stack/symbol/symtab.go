package symbol

import (
	"slices"
	"strings"

	"sysprof/profile/stack/elf"
)

// Symbol types and bindings of ELF.
const (
	symNotype = 0
	symFunc   = 2
	symIFunc  = 10
	bindLocal = 0
	bindGlob  = 1
)

// A pick is the best symbol found so far for one address.
type pick struct {
	value, size uint64
	strs        *view // where the name stands
	nameOff     uint32
	bind        uint8
	function    bool // FUNC or IFUNC; else an assembly label
	found       bool
}

// symbols finds the symbols of a sorted list of addresses. Tables are passed over once, and only the best
// symbol for each address is kept, so a table of a million entries costs no memory.
type symbols struct {
	e     *elfFile
	addrs []uint64
	// in[i] is the best sized symbol that covers addrs[i]. before[i] is the last symbol that starts in
	// (addrs[i-1], addrs[i]]: it covers addrs[i] if it says no size of its own.
	in, before []pick
}

func newSymbols(e *elfFile, addrs []uint64) *symbols {
	return &symbols{e: e, addrs: addrs, in: make([]pick, len(addrs)), before: make([]pick, len(addrs))}
}

// add passes over one symbol table, which is in file e: the object itself, or a file made from it.
func (t *symbols) add(e *elfFile, typ elf.SectionType) bool {
	has := false
	for i := range e.sections {
		s := &e.sections[i]
		if s.Type == typ && uint64(s.Link) < uint64(len(e.sections)) {
			t.table(e, e.raw(s), e.raw(&e.sections[s.Link]))
			has = true
		}
	}
	return has
}

// symChunk is how much of a table is read at once.
const symChunk = 48 << 10

func (t *symbols) table(e *elfFile, syms, strs *view) {
	size := uint64(e.SymbolSize())
	if syms == nil || strs == nil || len(t.addrs) == 0 {
		return
	}
	last := t.addrs[len(t.addrs)-1]
	for off := uint64(0); off+size <= syms.size; off += symChunk {
		chunk := syms.at(off, symChunk)
		for ; uint64(len(chunk)) >= size; chunk = chunk[size:] {
			s := e.DecodeSymbol(chunk)
			typ := s.Info & 15
			if s.Shndx == 0 || s.Value > last || (typ != symFunc && typ != symNotype && typ != symIFunc) {
				continue
			}
			if t.e.Machine == elf.EM_ARM {
				s.Value &^= 1 // Thumb
			}
			p := pick{value: s.Value, size: s.Size, bind: s.Info >> 4, function: typ != symNotype, found: true,
				strs: strs, nameOff: s.Name}
			if !t.offer(p) {
				return
			}
		}
		if chunk == nil {
			return
		}
	}
}

// offer puts the symbol in where it is better than what is there. It reports whether work is left.
func (t *symbols) offer(p pick) bool {
	i, _ := slices.BinarySearch(t.addrs, p.value)
	if i == len(t.addrs) {
		return true
	}
	covers := p.size > 0 && t.addrs[i]-p.value < p.size
	if (!covers && t.before[i].found && t.before[i].value > p.value) || !t.e.text(p.value) {
		return true
	}
	if p.nameOff == 0 || t.mapping(&p) {
		return true
	}
	if p.betterThan(&t.before[i]) {
		t.before[i] = p
	}
	for ; i < len(t.addrs) && p.size > 0 && t.addrs[i]-p.value < p.size; i++ {
		if p.betterThan(&t.in[i]) {
			t.in[i] = p
		}
		if !t.e.b.spend(1) {
			return false
		}
	}
	return t.e.b.spend(1)
}

// mapping reports whether the symbol only marks the kind of code, as $x and $d do on ARM.
func (t *symbols) mapping(p *pick) bool {
	if p.function {
		return false
	}
	switch t.e.Machine {
	case elf.EM_ARM, elf.EM_AARCH64, elf.EM_RISCV:
		b := p.strs.at(uint64(p.nameOff), 2)
		return len(b) == 2 && b[0] == '$' && strings.IndexByte("adtx", b[1]) >= 0
	}
	return false
}

// betterThan reports whether p names its address better than q: it starts nearer, it is a function and has a size,
// and then the choice is among aliases: the name that programmers know is the exported one
// with the fewest underscores. Whether it is weak says nothing: glibc's read is global and write is weak,
// beside __read and __write.
func (p *pick) betterThan(q *pick) bool {
	if !q.found || p.value != q.value {
		return !q.found || p.value > q.value
	}
	if (p.size > 0) != (q.size > 0) {
		return p.size > 0
	}
	if p.function != q.function {
		return p.function
	}
	if (p.bind == bindLocal) != (q.bind == bindLocal) {
		return q.bind == bindLocal
	}
	a, b := p.name(), q.name()
	if i, j := underscores(a), underscores(b); i != j {
		return i < j
	}
	if (p.bind == bindGlob) != (q.bind == bindGlob) {
		return p.bind == bindGlob
	}
	return len(a) < len(b)
}

// underscores counts those that a name begins with. A mangled name's own do not count.
func underscores(name string) int {
	if mangled(name) {
		return 0
	}
	return len(name) - len(strings.TrimLeft(name, "_"))
}

// name reads the symbol's name.
func (p *pick) name() string {
	if !p.found {
		return ""
	}
	return symbolName(p.strs.str(uint64(p.nameOff)))
}

// symbolName cuts the version off a name: memcpy@@GLIBC_2.14.
func symbolName(name string) string {
	if i := strings.IndexByte(name, '@'); i > 0 {
		return name[:i]
	}
	return name
}

// resolve returns the symbol of each address.
func (t *symbols) resolve() []pick {
	out := make([]pick, len(t.addrs))
	var near pick
	for i, a := range t.addrs {
		if t.before[i].found {
			near = t.before[i]
		}
		switch {
		case near.found && near.size == 0 && near.value >= t.in[i].value && t.reaches(&near, a):
			// A label without a size reaches to the next symbol, but not out of its section.
			out[i] = near
			if t.in[i].found && !near.function {
				out[i] = t.in[i] // a label inside of a function
			}
		case t.in[i].found:
			out[i] = t.in[i]
		}
	}
	return out
}

// reaches reports whether the address is in the section that the symbol is in.
func (t *symbols) reaches(p *pick, addr uint64) bool {
	s := t.e.sectionAt(p.value)
	if s == nil {
		return addr-p.value < 1<<16 && t.e.text(addr)
	}
	return addr-s.Addr < s.Size
}

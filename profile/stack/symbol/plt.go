package symbol

import (
	"encoding/binary"
	"strings"

	"sysprof/profile/stack/elf"
)

// pltNames names the wanted addresses that lie in a procedure linkage table: foo@plt.
//
// The order of the entries is not that of the relocations in every kind of table (.plt, .plt.sec,
// .plt.got), so each wanted entry's own jump is decoded: it goes through the slot that a relocation fills.
func pltNames(e *elfFile, addrs []uint64, name func(i int, sym string)) {
	slots := map[uint64][]int{}
	for i, a := range addrs {
		s := e.sectionAt(a)
		if s == nil || (s.Name != ".plt" && !strings.HasPrefix(s.Name, ".plt.")) {
			continue
		}
		if slot, ok := e.pltSlot(s, a); ok {
			slots[slot] = append(slots[slot], i)
		}
	}
	if len(slots) == 0 {
		return
	}
	for i := range e.sections {
		s := &e.sections[i]
		if (s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL) || s.Flags&elf.SHF_ALLOC == 0 || uint64(s.Link) >= uint64(len(e.sections)) {
			continue
		}
		if !e.relocations(s, func(place uint64, sym uint32) bool {
			for _, j := range slots[place] {
				if n := e.dynName(&e.sections[s.Link], sym); n != "" {
					name(j, n+"@plt")
				}
			}
			return e.b.spend(1 + len(slots[place]))
		}) {
			return
		}
	}
}

// pltSlot returns the address of the slot that the entry around the address jumps through.
func (e *elfFile) pltSlot(s *elf.Section, addr uint64) (uint64, bool) {
	entry := uint64(16)
	if s.Name == ".plt.got" && s.Entsize == 8 {
		entry = 8
	}
	start := addr - (addr-s.Addr)%entry
	code := e.raw(s).at(start-s.Addr, int(entry))
	le := binary.LittleEndian
	switch e.Machine {
	case elf.EM_X86_64:
		// [endbr64] [bnd] jmp *slot(%rip)
		for i := 0; i+6 <= len(code) && i < 6; i++ {
			if code[i] == 0xff && code[i+1] == 0x25 {
				return start + uint64(i) + 6 + uint64(int64(int32(le.Uint32(code[i+2:])))), true
			}
		}
	case elf.EM_AARCH64:
		// [bti c]; adrp x16, page; ldr x17, [x16, #off]
		for i := 0; i+8 <= len(code); i += 4 {
			adrp, ldr := le.Uint32(code[i:]), le.Uint32(code[i+4:])
			if adrp&0x9f00001f == 0x90000010 && ldr&0xffc003ff == 0xf9400211 {
				pages := (adrp>>5&0x7ffff)<<2 | adrp>>29&3 // 21 bits, signed
				page := int64(int32(pages<<11)) >> 11 << 12
				return (start+uint64(i))&^0xfff + uint64(page) + uint64(ldr>>10&0xfff)*8, true
			}
		}
	}
	return 0, false
}

// relocations visits the entries of a relocation section. It reports whether all were visited.
func (e *elfFile) relocations(s *elf.Section, visit func(place uint64, sym uint32) bool) bool {
	size := uint64(e.RelocationSize(s.Type))
	v := e.raw(s)
	for off := uint64(0); off+size <= v.size; off += size {
		b := v.at(off, int(size))
		if uint64(len(b)) < size || !visit(e.DecodeRelocation(b)) {
			return false
		}
	}
	return true
}

// dynName returns the name of an entry of a symbol table.
func (e *elfFile) dynName(symtab *elf.Section, i uint32) string {
	size := e.SymbolSize()
	b := e.raw(symtab).at(uint64(i)*uint64(size), size)
	if len(b) < size || uint64(symtab.Link) >= uint64(len(e.sections)) {
		return ""
	}
	return symbolName(e.raw(&e.sections[symtab.Link]).str(uint64(e.DecodeSymbol(b).Name)))
}

package symbol

import (
	"encoding/binary"
	"slices"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/flow"
)

// Where functions begin that neither symbols nor unwind information tell of, the code that uses them says: calls, and what takes
// their addresses. All code of the file is looked through for that, since what is between two functions that are called is known only
// if all calls are.

// starts are addresses that functions of a file may begin at, sorted.
type starts struct {
	// called is what is called, and what is exported. Some bytes only look like a call, so that a function may seem to begin in the
	// midst of another one.
	called []uint64
	// taken is what the addresses are taken of: functions that are called by pointers, or the cases of a switch.
	taken []uint64
	// data is what else addresses are taken of: where one of the tables of switches begins, the one before it has ended.
	data []uint64
	// jumps are those to a distance of 32 bits.
	jumps []jumpTo
}

type jumpTo struct{ from, to uint64 }

// full reports whether there are more than any program has.
func (found *starts) full() bool {
	return max(len(found.called), len(found.taken), len(found.data), len(found.jumps)) > maxStarts
}

const (
	// maxLookedThrough bounds the code and the data that are looked through.
	maxLookedThrough = 32 << 20
	// maxStarts bounds each of the lists. 32 MB of code have 700,000 calls.
	maxStarts = 1 << 20
	// lookPiece is how much of it is read at a time, and lookOverlap is longer than the instructions that are looked for.
	lookPiece, lookOverlap = 256 << 10, 16
	// maxFunction is how far behind its beginning an address of a function is looked for.
	maxFunction = 64 << 10
	// maxTaken is how many beginnings by pointers are tried for an address.
	maxTaken = 16
)

// beginsByCode returns where the function around addr begins. It is not ok unless it is sure of that: no other function is known to
// begin in between, and there is a way from there to addr that stays below the next one.
func (r *reader) beginsByCode(addr uint64) (uint64, bool) {
	if r.starts == nil {
		r.starts = r.findStarts()
	}
	s := r.starts
	next, exact := slices.BinarySearch(s.called, addr)
	if exact {
		return addr, true
	}
	end, nearest := addr+maxFunction, addr-min(addr, maxFunction)
	if next < len(s.called) {
		end = min(end, s.called[next])
	}
	if next > 0 && s.called[next-1] > nearest {
		nearest = s.called[next-1]
		if r.holds(nearest, end, addr) {
			return nearest, true
		}
	}
	// The cases of a switch come behind the function's beginning.
	from, _ := slices.BinarySearch(s.taken, nearest+1)
	to, _ := slices.BinarySearch(s.taken, addr+1)
	for _, begin := range s.taken[from:min(to, from+maxTaken)] {
		if r.holds(begin, end, addr) {
			return begin, true
		}
	}
	return 0, false
}

// findStarts looks through the file. If that is too much, nothing is known.
func (r *reader) findStarts() *starts {
	found := new(starts)
	var size uint64
	for i := range r.e.Segments {
		if s := &r.e.Segments[i]; s.Type == elf.PT_LOAD {
			size += min(s.Filesz, r.e.Size())
		}
	}
	find := map[elf.Machine]func(found *starts, b []byte, addr uint64, isCode func(uint64) bool){
		elf.EM_X86_64: startsOnAMD64, elf.EM_AARCH64: startsOnARM64}[r.e.Machine]
	if find == nil || size > maxLookedThrough || !r.b.spend(int(size)) {
		return found
	}
	for i := range r.e.Segments {
		s := &r.e.Segments[i]
		if s.Type != elf.PT_LOAD {
			continue
		}
		look := func(b []byte, addr uint64) { find(found, b, addr, r.e.text) }
		if s.Flags&elf.PF_X == 0 {
			look = func(b []byte, addr uint64) { found.pointers(b, addr, r.e.text) }
		}
		if r.lookThrough(s, func() bool { return r.b.goOn() && !found.full() }, look); found.full() {
			return new(starts)
		}
	}
	r.exported(found)
	if main, ok := r.mainFunction(); ok {
		found.taken = append(found.taken, main)
	}
	found.sort()
	return found
}

// sort puts the addresses in order, and adds to those of calls what is jumped to instead: where another function than the one
// around a jump begins in between.
func (found *starts) sort() {
	slices.Sort(found.called)
	known := slices.Compact(found.called)
	found.called = known
	for _, j := range found.jumps {
		i, _ := slices.BinarySearch(known, min(j.from, j.to)+1)
		if i < len(known) && known[i] <= max(j.from, j.to) {
			found.called = append(found.called, j.to)
		}
	}
	found.jumps = nil
	slices.Sort(found.called)
	slices.Sort(found.taken)
	slices.Sort(found.data)
	found.called, found.taken, found.data = slices.Compact(found.called), slices.Compact(found.taken), slices.Compact(found.data)
}

// lookThrough reads a segment piece by piece, as long as that is to go on. The end of each is also the beginning of the next one, and
// behind the last one are zeros.
func (r *reader) lookThrough(s *elf.Segment, goOn func() bool, look func(b []byte, addr uint64)) {
	buf := make([]byte, lookPiece+lookOverlap)
	for off := uint64(0); off < s.Filesz && goOn(); off += lookPiece - lookOverlap {
		n, _ := r.e.ReadAt(buf[:min(lookPiece, s.Filesz-off)], int64(s.Off+off))
		if n < lookPiece {
			clear(buf[n:])
			look(buf[:n+lookOverlap], s.Vaddr+off)
			return
		}
		look(buf[:n], s.Vaddr+off)
	}
}

// pointers notes the words of data that are addresses of code.
func (found *starts) pointers(b []byte, addr uint64, isCode func(uint64) bool) {
	const word = 8
	b = b[min(uint64(len(b)), -addr%word):]
	for ; len(b) >= word; b = b[word:] {
		if to := binary.LittleEndian.Uint64(b); to != 0 && isCode(to) {
			found.taken = append(found.taken, to)
		}
	}
}

// startsOnAMD64 notes what code calls and takes the addresses of. It looks at all bytes: where instructions begin is not known.
func startsOnAMD64(found *starts, b []byte, addr uint64, isCode func(uint64) bool) {
	note := func(list *[]uint64, to uint64) {
		if isCode(to) {
			*list = append(*list, to)
		}
	}
	take := func(to uint64) {
		if isCode(to) {
			found.taken = append(found.taken, to)
		} else {
			found.data = append(found.data, to)
		}
	}
	jump := func(at int, to uint64) {
		if isCode(to) {
			found.jumps = append(found.jumps, jumpTo{addr + uint64(at), to})
		}
	}
	le := binary.LittleEndian
	for i := 0; i+lookOverlap <= len(b); i++ {
		distance := func(at int) uint64 { return addr + uint64(i+at+4) + uint64(int64(int32(le.Uint32(b[i+at:])))) }
		switch op := b[i]; {
		case op == 0xe8: // CALL rel32
			note(&found.called, distance(1))
		case op == 0xe9: // JMP rel32
			jump(i, distance(1))
		case op == 0x0f && b[i+1]&^0xf == 0x80: // Jcc rel32
			jump(i, distance(2))
		case op&^4 == 0x48 && b[i+1] == 0x8d && b[i+2]&0xc7 == 0x05: // LEA r64, [rip+disp32]
			take(distance(3))
		case op == 0xff && b[i+1] == 0x24 && b[i+2]&7 == 5: // JMP [r64*8+disp32]
			take(uint64(le.Uint32(b[i+3:])))
		case op&^7 == 0xb8: // MOV r32, imm32
			note(&found.taken, uint64(le.Uint32(b[i+1:])))
		case op == 0xc7 && b[i+1]&0x38 == 0: // MOV r/m64, imm32
			note(&found.taken, uint64(le.Uint32(b[i+1+operandX86(b[i+1:]):])))
		}
	}
}

// operandX86 is the length of an operand in a register or in memory (Intel SDM, 2.1.5): of its ModR/M byte, which is the first of
// b, of the SIB byte and of the displacement.
func operandX86(b []byte) int {
	mod, rm := b[0]>>6, b[0]&7
	n := 1
	if mod != 3 && rm == 4 {
		n, rm = 2, b[1]&7
	}
	switch {
	case mod == 1:
		n++
	case mod == 2, mod == 0 && rm == 5:
		n += 4
	}
	return n
}

// startsOnARM64 does the same for instructions of ARM64.
func startsOnARM64(found *starts, b []byte, addr uint64, isCode func(uint64) bool) {
	le := binary.LittleEndian
	for ; len(b) >= 8; b, addr = b[4:], addr+4 {
		in, next := le.Uint32(b), le.Uint32(b[4:])
		switch {
		case in&0x7c000000 == 0x14000000: // B and BL
			to := addr + uint64(int64(int32(in<<6))>>4)
			switch {
			case !isCode(to):
			case in>>31 == 1:
				found.called = append(found.called, to)
			default:
				found.jumps = append(found.jumps, jumpTo{addr, to})
			}
		case in&0x1f000000 == 0x10000000: // ADR, and ADRP with the ADD behind it
			imm := int64(int32(in<<8)>>13)<<2 | int64(in>>29&3)
			to := addr + uint64(imm)
			if in>>31 == 1 {
				if next&0xffc00000 != 0x91000000 || next>>5&31 != in&31 {
					continue
				}
				to = addr&^0xfff + uint64(imm)<<12 + uint64(next>>10&0xfff)
			}
			if isCode(to) {
				found.taken = append(found.taken, to)
			} else {
				found.data = append(found.data, to)
			}
		}
	}
}

// maxExported bounds the symbols that are looked at.
const maxExported = 1 << 16

// exported notes the functions that the file gives others.
func (r *reader) exported(found *starts) {
	s := r.e.section(".dynsym")
	if s == nil {
		return
	}
	v, size := r.e.raw(s), r.e.SymbolSize()
	for off := uint64(0); off+uint64(size) <= min(s.Size, maxExported*uint64(size)); off += uint64(size) {
		b := v.at(off, size)
		if len(b) < size {
			return
		}
		const typeMask = 0xf
		if symbol := r.e.DecodeSymbol(b); symbol.Info&typeMask == uint8(elf.STT_FUNC) && symbol.Value != 0 {
			found.called = append(found.called, symbol.Value)
		}
	}
}

// mainFunction returns where the main function of a program begins.
func (r *reader) mainFunction() (uint64, bool) {
	arch, ok := r.follow(reachWork)
	if !ok || r.e.Entry == 0 {
		return 0, false
	}
	begins, v := r.s.follower.Main(r.code, arch, r.e.Entry)
	return begins, v == flow.Found && r.e.text(begins)
}

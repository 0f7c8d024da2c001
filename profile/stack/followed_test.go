package stack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"sysprof/profile/stack/elf"
)

// A handmade program is a file of nothing but code, and a thread in it.
type handmade struct {
	code     []byte
	stack    []uint64 // from the stack pointer on
	regs     Regs
	codeless bool // the code cannot be read from memory, as of a process that has ended
	codeRead map[uint64]int
}

const (
	handmadeBase  = 0x400000
	handmadeStack = 0x7ffd00000000
)

// put writes instructions at an address.
func (p *handmade) put(addr uint64, code ...byte) uint64 {
	off := addr - handmadeBase
	if need := int(off) + len(code); need > len(p.code) {
		p.code = append(p.code, bytes.Repeat([]byte{0xcc}, need-len(p.code))...)
	}
	copy(p.code[off:], code)
	return addr + uint64(len(code))
}

// goTo writes a call or jump, and returns the address behind it.
func (p *handmade) goTo(addr uint64, op byte, to uint64) uint64 {
	return p.put(addr, binary.LittleEndian.AppendUint32([]byte{op}, uint32(to-addr-5))...)
}

const opCall, opJump = 0xe8, 0xe9

// start ends the program with its first instructions, which call main, and returns where main returns to.
func (p *handmade) start(addr, main uint64) uint64 {
	behind := p.goTo(p.put(addr, 0x31, 0xed), opCall, main) // xor %ebp,%ebp
	p.put(behind, 0xf4)                                     // hlt
	p.headers(addr, elf.EM_X86_64)
	return behind
}

// headers makes the program, which is complete otherwise, a file whose first instruction is at addr.
func (p *handmade) headers(addr uint64, machine elf.Machine) {
	const headers = 64 + 56
	le := binary.LittleEndian
	h := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, headers-7)...)
	le.PutUint16(h[16:], 2) // ET_EXEC
	le.PutUint16(h[18:], uint16(machine))
	le.PutUint64(h[24:], addr)
	le.PutUint64(h[32:], 64)
	le.PutUint16(h[54:], 56)
	le.PutUint16(h[56:], 1)
	le.PutUint32(h[64:], 1) // PT_LOAD
	le.PutUint32(h[68:], 5)
	le.PutUint64(h[80:], handmadeBase)
	le.PutUint64(h[96:], uint64(len(p.code)))
	le.PutUint64(h[104:], uint64(len(p.code)))
	p.put(handmadeBase, h...)
}

func (p *handmade) ReadMemory(b []byte, addr uint64) int {
	if addr-handmadeStack < uint64(8*len(p.stack)) {
		var words []byte
		for _, w := range p.stack {
			words = binary.LittleEndian.AppendUint64(words, w)
		}
		return copy(b, words[addr-handmadeStack:])
	}
	if addr-handmadeBase >= uint64(len(p.code)) || p.codeless {
		return 0
	}
	if p.codeRead == nil {
		p.codeRead = map[uint64]int{}
	}
	p.codeRead[addr]++
	return copy(b, p.code[addr-handmadeBase:])
}

type handmadeFile struct{ *bytes.Reader }

func (handmadeFile) Close() error { return nil }

// space shows the program as mapped.
func (p *handmade) space(t *testing.T) *Space {
	t.Helper()
	objects := NewObjects(func(*Mapping) (File, error) { return handmadeFile{bytes.NewReader(p.code)}, nil }, 0, 0)
	t.Cleanup(objects.Close)
	return NewSpace(objects, []Mapping{{Start: handmadeBase, End: handmadeBase + uint64(len(p.code)), Exec: true, Inode: 1, Path: "/handmade"}})
}

// unwind returns the thread's stack without its first frame.
func (p *handmade) unwind(u *Unwinder, s *Space) []uint64 {
	var win Window
	p.regs.R[archs[p.regs.Arch].sp] = handmadeStack
	win.Reset(p, handmadeStack, nil)
	frames := make([]uint64, MaxDepth)
	n, _ := u.Unwind(s, &p.regs, &win, frames)
	return frames[1:n]
}

// stuck is a program that is in a function which never returns, so that only a call on the stack tells where it begins.
type stuck struct {
	handmade
	callers   []uint64 // what it and main return to
	near, far uint64   // behind calls of other functions, which begin so far from it
}

// stuckLocals is how many words the function has on the stack.
const stuckLocals = 32

func newStuck(begins uint64) *stuck {
	const nearby, spin, main, first = handmadeBase + 0x20000, handmadeBase + 0x20200, handmadeBase + 0x20400, handmadeBase + 0x20600
	const distant = handmadeBase + 0x200
	p := new(stuck)
	p.put(distant, 0xc3) // ret
	p.put(nearby, 0xc3)
	p.goTo(p.put(begins, 0x48, 0x81, 0xec, 8*stuckLocals&0xff, 8*stuckLocals>>8, 0, 0), opJump, spin) // sub …,%rsp
	p.regs.IP = p.put(spin, 0x0f, 0x05)                                                               // syscall
	p.put(p.regs.IP, 0xeb, 0xfc)                                                                      // jmp to it
	p.callers = []uint64{p.goTo(main, opCall, begins)}
	p.near = p.goTo(main+0x20, opCall, nearby)
	p.far = p.goTo(main+0x30, opCall, distant)
	p.callers = append(p.callers, p.start(first, main))
	p.regs.AfterCall = true
	p.regs.R[AMD64Rbp] = 1 // no frame pointer
	return p
}

// leftovers sets what the function has on the stack: return addresses of calls that are over.
func (p *stuck) leftovers(of ...uint64) {
	p.stack = append(append(append([]uint64(nil), of...), make([]uint64, stuckLocals-len(of))...), p.callers...)
	p.stack = append(p.stack, 1, handmadeStack, 0)
}

const stuckNear, stuckFar = handmadeBase + 0x20180, handmadeBase + 0x400

// Of the calls on the stack, so many near and far ones are looked at, whether they were the one.
func TestFewCallersAreTried(t *testing.T) {
	for name, test := range map[string]struct {
		begins    uint64
		near, far int
		found     bool
	}{
		"first":                   {stuckNear, 0, 0, true},
		"last near one":           {stuckNear, maxNearTries - 1, 0, true},
		"behind the last near":    {stuckNear, maxNearTries, 0, false},
		"near, behind many far":   {stuckNear, 0, 20, true},
		"far":                     {stuckFar, 0, 0, true},
		"last far one":            {stuckFar, 0, maxFarTries - 1, true},
		"behind the last far one": {stuckFar, 0, maxFarTries, false},
		"far, behind many near":   {stuckFar, 20, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newStuck(test.begins)
			p.leftovers(append(slices.Repeat([]uint64{p.near}, test.near), slices.Repeat([]uint64{p.far}, test.far)...)...)
			var want []uint64
			if test.found {
				want = p.callers
			}
			if got := p.unwind(NewUnwinder(), p.space(t)); !slices.Equal(got, want) {
				t.Errorf("%#x, want %#x", got, want)
			}
		})
	}
}

// What following came to is kept, also that it is nothing, and also when the row cache has no room for it.
func TestCodeIsFollowedOnce(t *testing.T) {
	p := newStuck(stuckNear)
	space := p.space(t)
	tooMany := slices.Repeat([]uint64{p.near}, maxNearTries)
	for name, test := range map[string]struct {
		first, then []uint64
		want        []uint64
	}{
		"found":   {nil, tooMany, p.callers},
		"nothing": {tooMany, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			u := NewUnwinder()
			p.leftovers(test.first...)
			if got := p.unwind(u, space); !slices.Equal(got, test.want) {
				t.Fatalf("%#x, want %#x", got, test.want)
			}
			p.leftovers(test.then...) // which alone would come to the opposite
			if got := p.unwind(u, space); !slices.Equal(got, test.want) {
				t.Errorf("followed again: %#x, want %#x", got, test.want)
			}
			u.rows = rowCache{}
			if got := p.unwind(u, space); !slices.Equal(got, test.want) {
				t.Errorf("followed again, out of the row cache: %#x, want %#x", got, test.want)
			}
			clear(u.code.rows)
			if got := p.unwind(u, space); !slices.Equal(got, test.want) {
				t.Errorf("followed again, though in the row cache: %#x, want %#x", got, test.want)
			}
		})
	}
}

// There is a bound to how many addresses are remembered.
func TestFollowedIsBounded(t *testing.T) {
	p := newStuck(stuckNear)
	p.leftovers()
	u := NewUnwinder()
	u.code.begin(nil, nil)
	for i := range uint64(maxFollowed) {
		u.code.rows[rowKey{0, i}] = row{}
	}
	p.unwind(u, p.space(t))
	if n := len(u.code.rows); n > 10 {
		t.Errorf("%d are remembered", n)
	}
}

// The code behind a call is read once to see that it is not what a signal handler returns to, unless it could not be read.
func TestCalledCodeIsReadOnce(t *testing.T) {
	const leaf, odd, main, first = handmadeBase + 0x200, handmadeBase + 0x300, handmadeBase + 0x400, handmadeBase + 0x500
	p := new(handmade)
	p.regs.IP = p.put(leaf, 0x0f, 0x05)    // syscall
	p.put(p.regs.IP, 0xc3)                 // ret
	p.put(odd, 0x55, 0x48, 0x89, 0xe5)     // push %rbp; mov %rsp,%rbp
	behindLeaf := p.put(odd+4, 0xff, 0xd2) // call *%rdx
	p.put(behindLeaf, 0xff, 0xe0)          // jmp *%rax, to where nobody knows
	behindOdd := p.put(main, 0xff, 0xd1)   // call *%rcx
	p.put(behindOdd, 0xc3)                 // ret
	callers := []uint64{behindLeaf, behindOdd, p.start(first, main)}
	p.stack = []uint64{behindLeaf, handmadeStack + 0x40, behindOdd, callers[2], 1, handmadeStack + 8, 0, 0, 0, 0}
	p.regs.R[AMD64Rbp] = handmadeStack + 8
	p.regs.AfterCall = true
	space, u := p.space(t), NewUnwinder()
	for i, test := range []struct {
		codeless bool
		reads    bool
	}{{true, false}, {false, true}, {false, false}} {
		p.codeRead, p.codeless = nil, test.codeless
		if got := p.unwind(u, space); !slices.Equal(got, callers) {
			t.Fatalf("stack %d: %#x, want %#x", i, got, callers)
		}
		if n := p.codeRead[behindLeaf]; (n > 0) != test.reads {
			t.Errorf("stack %d: the code was read %d times", i, n)
		}
	}
}

// What never returns, and is called by a register, begins where the code in front of the call has taken the address of.
func TestCalledByPointer(t *testing.T) {
	const begins, spin, main, table, first = handmadeBase + 0x200, handmadeBase + 0x400, handmadeBase + 0x600, handmadeBase + 0x700, handmadeBase + 0x800
	keep := []byte{0x53} // push %rbx
	lea := func(p *handmade, at, of uint64) uint64 {
		return p.put(at, binary.LittleEndian.AppendUint32([]byte{0x48, 0x8d, 0x05}, uint32(of-at-7))...) // lea of(%rip),%rax
	}
	byRegister := func(p *handmade) uint64 { return p.put(lea(p, main, begins), 0xff, 0xd0) }      // call *%rax
	byTable := func(p *handmade) uint64 { return p.put(lea(p, main, table), 0xff, 0x14, 0xe8) }    // call *(%rax,%rbp,8)
	unsaid := func(p *handmade) uint64 { return p.put(p.put(main, 0x48, 0x89, 0xf8), 0xff, 0xd0) } // mov %rdi,%rax; call *%rax
	inside := func(p *handmade) uint64 { return p.put(lea(p, main, begins+1), 0xff, 0xd0) }        // behind the push
	for name, test := range map[string]struct {
		keep  []byte
		call  func(p *handmade) (behind uint64)
		left  int // return addresses of the same call on the stack that are over
		found bool
	}{
		"by a register":               {keep, byRegister, 0, true},
		"by a table":                  {keep, byTable, 0, true},
		"with leftovers":              {keep, byTable, maxPointerTries - 1, true},
		"behind too many leftovers":   {keep, byTable, maxPointerTries, false},
		"which nothing says":          {keep, unsaid, 0, false},
		"of which nothing keeps":      {nil, byRegister, 0, false},
		"in the midst of what begins": {keep, inside, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := new(handmade)
			p.goTo(p.put(p.put(begins, test.keep...), 0x48, 0x81, 0xec, 0, 1, 0, 0), opJump, spin) // sub $256,%rsp
			p.regs.IP = p.put(spin, 0x0f, 0x05)                                                    // syscall
			p.put(p.regs.IP, 0xeb, 0xfc)                                                           // jmp to it
			behind := test.call(p)
			p.put(table, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, begins+3), begins)...)
			callers := []uint64{behind, p.start(first, main)}
			p.regs.AfterCall, p.regs.R[AMD64Rbp] = true, 1 // no frame pointer
			p.stack = make([]uint64, stuckLocals+len(test.keep))
			for i := range test.left {
				p.stack[i] = behind
			}
			p.stack = append(append(p.stack, callers...), 1, handmadeStack, 0)
			if !test.found {
				callers = nil
			}
			if got := p.unwind(NewUnwinder(), p.space(t)); !slices.Equal(got, callers) {
				t.Errorf("%#x, want %#x", got, callers)
			}
		})
	}
}

// TestCalledByPointerOnARM64: the same, of code for ARM64, on whichever machine.
func TestCalledByPointerOnARM64(t *testing.T) {
	const begins, spin, main, table, first = handmadeBase + 0x200, handmadeBase + 0x400, handmadeBase + 0x600, handmadeBase + 0x700, handmadeBase + 0x800
	put := func(p *handmade, at uint64, code ...uint32) uint64 {
		for _, in := range code {
			at = p.put(at, binary.LittleEndian.AppendUint32(nil, in)...)
		}
		return at
	}
	const (
		adrp      = 0x90000000 // adrp x0, .
		blr       = 0xd63f0000 // blr x0
		branch    = 0x14000000
		link      = 0x94000000
		mask      = 1<<26 - 1
		pushFrame = 0xa9bf7bfd // stp x29, x30, [sp, #-16]!
		popFrame  = 0xa8c17bfd // ldp x29, x30, [sp], #16
	)
	add := func(to uint64) uint32 { return 0x91000000 | uint32(to&0xfff)<<10 } // add x0, x0, #…
	to := func(op uint32, at, target uint64) uint32 { return op | uint32(target-at)>>2&mask }
	for name, test := range map[string]struct {
		call  []uint32
		left  int
		found bool
	}{
		"by a register":               {[]uint32{adrp, add(begins), blr}, 0, true},
		"by a table":                  {[]uint32{adrp, add(table), 0xf8737800, blr}, 0, true}, // ldr x0, [x0, x19, lsl #3]
		"with leftovers":              {[]uint32{adrp, add(begins), blr}, maxPointerTries - 1, true},
		"behind too many leftovers":   {[]uint32{adrp, add(begins), blr}, maxPointerTries, false},
		"which nothing says":          {[]uint32{0xaa0103e0, blr}, 0, false}, // mov x0, x1
		"in the midst of what begins": {[]uint32{adrp, add(begins + 4), blr}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := new(handmade)
			p.regs.Arch = ARM64
			at := put(p, begins, 0xa9be7bfd, 0xa90153f3, 0xd10403ff) // stp x29, x30, [sp, #-32]!; stp x19, x20, [sp, #16]; sub sp, sp, #256
			put(p, at, to(branch, at, spin))
			p.regs.IP = put(p, spin, 0xd4000001) // svc #0
			put(p, p.regs.IP, to(branch, p.regs.IP, spin))
			behind := put(p, put(p, main, pushFrame), test.call...)
			put(p, behind, popFrame, 0xd65f03c0) // ret
			p.put(table, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, begins+8), begins)...)
			at = put(p, first, 0xd280001d, 0xd280001e) // mov x29, #0; mov x30, #0
			ended := put(p, at, to(link, at, main))
			put(p, ended, 0)
			p.headers(first, elf.EM_AARCH64)
			p.regs.AfterCall, p.regs.R[29], p.regs.R[30] = true, 1, 1 // no frame pointer
			p.stack = make([]uint64, stuckLocals)
			for i := range test.left {
				p.stack[i] = behind
			}
			p.stack = append(p.stack, 1, behind, 0, 0, 0, ended, 1, handmadeStack, 0) // saved by what begins, by main, the arguments
			want := []uint64{behind, ended}
			if !test.found {
				want = nil
			}
			if got := p.unwind(NewUnwinder(), p.space(t)); !slices.Equal(got, want) {
				t.Errorf("%#x, want %#x", got, want)
			}
		})
	}
}

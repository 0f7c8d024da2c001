package stack

import (
	"encoding/binary"
	"testing"
)

func TestEndsInCall(t *testing.T) {
	for code, want := range map[string]bool{
		"\x90\x90\x90\xe8\x01\x02\x03\x04": true,  // call rel32
		"\x90\x90\x90\x90\x90\x90\xff\xd0": true,  // call *%rax
		"\x90\x90\x90\x90\x90\x41\xff\xd2": true,  // call *%r10
		"\x90\x90\x90\x90\x90\x90\xff\x17": true,  // call *(%rdi)
		"\x90\x90\x90\x90\x90\xff\x57\x10": true,  // call *16(%rdi)
		"\x90\x90\xff\x90\x00\x01\x00\x00": true,  // call *256(%rax)
		"\x90\x90\xff\x15\x00\x01\x00\x00": true,  // call *256(%rip)
		"\x90\x90\x90\x90\x90\xff\x14\x24": true,  // call *(%rsp)
		"\x90\x90\x90\x90\xff\x54\x24\x08": true,  // call *8(%rsp)
		"\x90\xff\x94\x24\x00\x01\x00\x00": true,  // call *256(%rsp)
		"\x90\xff\x14\xc5\x00\x01\x00\x00": true,  // call *256(,%rax,8)
		"\x90\x90\x90\xe9\x01\x02\x03\x04": false, // jmp rel32
		"\x90\x90\x90\x90\x90\x90\xff\xe0": false, // jmp *%rax
		"\x90\x90\x90\x90\x90\xff\xd0\x90": false, // a nop behind it
		"\x90\x90\x90\x90\xe8\x01\x02\x03": false,
		"\x90\x90\x90\x90\x90\x90\xff\x15": false, // cut off
		"\x00\x00\x00\x00\x00\x00\x00\x00": false,
	} {
		if got := endsInCallOnAMD64([callBytes]byte([]byte(code))); got != want {
			t.Errorf("% x: %v", code, got)
		}
	}
	for code, want := range map[uint32]bool{
		0x94000010: true,  // bl
		0x97fffff0: true,  // bl, backwards
		0xd63f0100: true,  // blr x8
		0xd73f0911: true,  // blraa x8, x17
		0xd63f081f: true,  // blraaz x0
		0x14000010: false, // b
		0xd61f0100: false, // br x8
		0xd65f03c0: false, // ret
		0xd503201f: false, // nop
	} {
		var b [callBytes]byte
		binary.LittleEndian.PutUint32(b[4:], code)
		if got := endsInCallOnARM64(b); got != want {
			t.Errorf("arm64 %#x: %v", code, got)
		}
	}
}

// TestSigreturn goes back to what a signal interrupted by what the kernel has put on the stack.
func TestSigreturn(t *testing.T) {
	for a, frame := range map[Arch]struct{ fp, sp, pc int }{
		AMD64: {40 + 10*8, 160, 168},
		ARM64: {312 + 29*8, 560, 568},
	} {
		const base = 0x7000
		data := make([]byte, 1024)
		for off, v := range map[int]uint64{frame.fp: 0x1111, frame.sp: 0x2222, frame.pc: 0x3333} {
			binary.LittleEndian.PutUint64(data[off:], v)
		}
		var win Window
		win.Reset(nil, base, data)
		regs := Regs{Arch: a}
		regs.R[archs[a].sp] = base
		var w walk
		w.init(&regs, &win)
		if reason := w.sigreturn(); reason != stepped || w.pc != 0x3333 || w.sp() != 0x2222 {
			t.Errorf("architecture %d: %v, pc %#x, sp %#x", a, reason, w.pc, w.sp())
		}
		if fp, ok := w.reg(w.a.fp); !ok || fp != 0x1111 {
			t.Errorf("architecture %d: frame pointer %#x", a, fp)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, m := range []Mark{0, SignalHandler, NewContext} {
		for _, called := range []bool{false, true} {
			want := uint64(0x7fff12345678)
			frame := m.on(want, called)
			if called && m != 0 {
				want++
			}
			if addr, mark := Frame(frame); addr != want || mark != m {
				t.Errorf("mark %d: %#x, %d", m, addr, mark)
			}
		}
	}
}

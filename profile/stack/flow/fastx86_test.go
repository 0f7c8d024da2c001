package flow

import (
	"debug/elf"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
)

// TestFastX86 decodes as the decoder of all instructions does: the code of this program and of the C library, and what is made up.
func TestFastX86(t *testing.T) {
	fast, all := 0, 0
	for _, code := range x86Code(t) {
		for at := 0; at+MaxInsn < len(code); {
			size, ok := sameX86(t, code[at:at+MaxInsn])
			if all++; ok {
				fast++
			}
			at += max(size, 1)
		}
	}
	if fast < all*9/10 {
		t.Errorf("%d of %d instructions are decoded fast", fast, all)
	}
	random := rand.New(rand.NewPCG(1, 2))
	begins := [][]byte{nil, {0x48}, {0x4d}, {0x41}, {0x0f}, {0x48, 0x0f}, {0x66}, {0x66, 0x0f}, {0xf2, 0x0f}, {0xf3, 0x0f}, {0xf3, 0x44, 0x0f}, {0x64}, {0x64, 0x48}}
	var b [MaxInsn]byte
	for i := range 100_000 {
		for at := range b {
			b[at] = byte(random.Uint32())
		}
		copy(b[:], begins[i%len(begins)])
		sameX86(t, b[:1+random.IntN(MaxInsn)])
	}
}

// sameX86 compares both decoders, and returns the size of the instruction, 0 if there is none, and whether it was a common one.
func sameX86(t *testing.T, b []byte) (size int, fast bool) {
	var got, want insn
	got.reg, want.reg = noReg, noReg
	if hint(b) > 0 || isVEX(b) {
		decodeX86(b, &want)
		return int(want.size), true
	}
	slowX86(b, &want)
	if fast = fastX86(b, &got); fast && got != want {
		t.Errorf("% x is %+v, want %+v", b, got, want)
	}
	if !fast && got != (insn{reg: noReg}) {
		t.Errorf("% x left %+v", b, got)
	}
	return int(want.size), fast
}

// x86Code is code of compilers for C and Go.
func x86Code(tb testing.TB) (all [][]byte) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil || runtime.GOARCH != "amd64" {
		tb.Skip("this program is not of amd64: ", err)
	}
	for _, name := range []string{self, "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/ld-musl-x86_64.so.1"} {
		f, err := elf.Open(name)
		if err != nil {
			continue
		}
		if s := f.Section(".text"); s != nil && f.Machine == elf.EM_X86_64 {
			b, err := s.Data()
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, b[:min(len(b), 1<<18)])
		}
		f.Close()
	}
	return all
}

func BenchmarkDecodeX86(b *testing.B) {
	code := x86Code(b)[0]
	for name, decode := range map[string]func([]byte, *insn){"common": decodeX86, "all": func(b []byte, in *insn) {
		*in = insn{reg: noReg}
		slowX86(b, in)
	}} {
		b.Run(name, func(b *testing.B) {
			var in insn
			at := 0
			for b.Loop() {
				if at+MaxInsn > len(code) {
					at = 0
				}
				decode(code[at:at+MaxInsn], &in)
				at += max(int(in.size), 1)
			}
		})
	}
}

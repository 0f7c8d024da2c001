package flow

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sysprof/syscalltab/needs"
)

// bytesAt is code at one address.
type bytesAt struct {
	base uint64
	b    []byte
	file uint32
	ends map[uint64]bool // functions, before these addresses
}

func (c bytesAt) At(addr uint64) ([]byte, bool) {
	if off := addr - c.base; off < uint64(len(c.b)) {
		return c.b[off:min(off+MaxInsn, uint64(len(c.b)))], true
	}
	return nil, true
}

func (c bytesAt) Data(into []byte, addr uint64) int {
	if off := addr - c.base; off < uint64(len(c.b)) {
		return copy(into, c.b[off:])
	}
	return 0
}

func (c bytesAt) Place(addr uint64) (uint32, uint64) { return c.file, addr }

func (c bytesAt) Ends(addr uint64) (ends, ok bool) { return c.ends[addr], true }

const codeBase = 0x10000

// parse makes code of hexadecimal digits; what follows a # is the source.
func parse(t testing.TB, text string) bytesAt {
	t.Helper()
	c := bytesAt{base: codeBase}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		b, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			t.Fatal(err)
		}
		c.b = append(c.b, b...)
	}
	return c
}

func TestForward(t *testing.T) {
	for name, test := range map[string]struct {
		arch    Arch
		code    string
		verdict Verdict
		cfa     Place
		saved   map[uint8]Place
	}{
		"pops": {AMD64, `
			48 83 c4 20 # add $32,%rsp
			5b          # pop %rbx
			5d          # pop %rbp
			c3          # ret`, Found, Place{Reg: x86RSP, Add: 56}, map[uint8]Place{x86RBX: {Reg: x86RSP, Add: 32}, x86RBP: {Reg: x86RSP, Add: 40}}},
		"leave": {AMD64, `
			48 8b 5d f8 # mov -8(%rbp),%rbx
			c9          # leave
			c3          # ret`, Found, Place{Reg: x86RBP, Add: 16}, map[uint8]Place{x86RBX: {Reg: x86RBP, Add: -8}, x86RBP: {Reg: x86RBP}}},
		"by another register": {AMD64, `
			4c 8b 55 f8 # mov -8(%rbp),%r10
			c9          # leave
			49 8d 62 f8 # lea -8(%r10),%rsp
			c3          # ret`, Found, Place{Reg: x86RBP, Deref: true, Off: -8}, map[uint8]Place{x86RBP: {Reg: x86RBP}}},
		"ways that differ": {AMD64, `
			85 c0       # test %eax,%eax
			74 01       # jz +1
			c3          # ret
			5b          # pop %rbx
			c3          # ret`, Unsure, Place{}, nil},
		"a loop":                     {AMD64, `eb fe # jmp .`, Never, Place{}, nil},
		"a stop":                     {AMD64, `f4 # hlt`, Never, Place{}, nil},
		"where only a register says": {AMD64, `ff e0 # jmp *%rax`, Unsure, Place{}, nil},
		"a return address of its own": {AMD64, `
			50          # push %rax
			c3          # ret`, Unsure, Place{}, nil},
		"exit": {AMD64, `
			b8 e7 00 00 00 # mov $231,%eax
			0f 05       # syscall
			c3          # ret`, Never, Place{}, nil},
		"a call that does not return": {AMD64, `
			e8 01 00 00 00 # call +1
			c3          # ret
			eb fe       # jmp .`, Never, Place{}, nil},
		"a call that does": {AMD64, `
			e8 03 00 00 00 # call +3
			58          # pop %rax
			58          # pop %rax
			c3          # ret
			c3          # ret`, Found, Place{Reg: x86RSP, Add: 24}, nil},
		"vzeroupper": {AMD64, `
			c5 f8 77    # vzeroupper
			c3          # ret`, Found, Place{Reg: x86RSP, Add: 8}, nil},
		"arm64 frame": {ARM64, `
			f3 0b 40 f9 # ldr x19, [sp, #16]
			fd 7b c2 a8 # ldp x29, x30, [sp], #32
			c0 03 5f d6 # ret`, Found, Place{Reg: a64SP, Add: 32}, map[uint8]Place{19: {Reg: a64SP, Add: 16}, 29: {Reg: a64SP}}},
		"arm64 by the frame pointer": {ARM64, `
			bf 03 00 91 # mov sp, x29
			fd 7b c1 a8 # ldp x29, x30, [sp], #16
			bf 23 03 d5 # autiasp
			c0 03 5f d6 # ret`, Found, Place{Reg: 29, Add: 16}, map[uint8]Place{29: {Reg: 29}}},
		"arm64 without a frame": {ARM64, `
			01 00 00 d4 # svc #0
			c0 03 5f d6 # ret`, Found, Place{Reg: a64SP}, nil},
		"arm64 exit": {ARM64, `
			a8 0b 80 d2 # mov x8, #93
			01 00 00 d4 # svc #0
			c0 03 5f d6 # ret`, Never, Place{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			frame, v := NewFollower().Forward(parse(t, test.code), test.arch, codeBase, true)
			if v != test.verdict {
				t.Fatalf("%v, want %v", v, test.verdict)
			}
			if v != Found {
				return
			}
			if frame.CFA != test.cfa || frame.NSaved != len(test.saved) {
				t.Errorf("%+v, want CFA %+v and %v", frame, test.cfa, test.saved)
			}
			for reg, want := range test.saved {
				if got, ok := frame.saved(reg); !ok || got != want {
					t.Errorf("register %d at %+v, want %+v", reg, got, want)
				}
			}
		})
	}
}

// A function that another follows, and that ends with a call which never returns, is followed from its beginning.
func TestFrom(t *testing.T) {
	code := parse(t, `
		53             # push %rbx
		48 83 ec 20    # sub $32,%rsp
		e8 0a 00 00 00 # call +10: never
		55             # push %rbp, of the next function
		5d             # pop %rbp
		c3             # ret
		90 90 90 90 90 90 90
		eb fe          # never: jmp .`)
	f := NewFollower()
	const pc = codeBase + 10
	if _, v := f.Forward(code, AMD64, pc, false); v != Never {
		t.Errorf("forward: %v, want never", v)
	}
	frame, v := f.From(code, AMD64, codeBase, pc, maxFrom)
	want := Place{Reg: x86RSP, Add: 48}
	if rbx, _ := frame.saved(x86RBX); v != Found || frame.CFA != want || rbx != (Place{Reg: x86RSP, Add: 32}) {
		t.Errorf("%v, %+v", v, frame)
	}
}

// TestJumpTables: code behind a jump by a table is found from where the function begins, whatever follows the table; and so is
// that a function returns, unless nothing shows that the return is its own.
func TestJumpTables(t *testing.T) {
	for name, test := range map[string]struct {
		code    string
		pc      uint64 // behind the call that is looked for
		add     int64  // from the stack pointer there to the CFA
		returns Verdict
	}{
		"distances": {`
			53 48 83 ec 10       # push %rbx; sub $16,%rsp
			48 8d 15 2a 00 00 00 # lea table(%rip),%rdx
			48 63 04 82          # movslq (%rdx,%rax,4),%rax
			48 01 d0             # add %rdx,%rax
			3e ff e0             # notrack jmp *%rax
			ff d1 eb fc          # 16: call *%rcx; jmp to it
			48 83 c4 10 5b c3    # 1a: add $16,%rsp; pop %rbx; ret
			90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
			e0 ff ff ff e0 ff ff ff e0 ff ff ff e0 ff ff ff e4 ff ff ff 00 00 00 80`, 0x18, 32, Found},
		"addresses": {`
			48 83 ec 18             # sub $24,%rsp
			ff 24 c5 20 00 01 00    # jmp *table(,%rax,8)
			ff d1 eb fc             # b: call *%rcx; jmp to it
			48 83 c4 18 c3          # f: add $24,%rsp; ret
			90 90 90 90 90 90 90 90 90 90 90 90
			0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0f 00 01 00 00 00 00 00 00 00`,
			0xd, 32, Found},
		"another function behind the table": {`
			48 83 ec 18             # sub $24,%rsp
			ff 24 c5 20 00 01 00    # jmp *table(,%rax,8)
			ff d1 eb fc             # b: call *%rcx; jmp to it
			48 83 c4 08 c3          # f: add $8,%rsp; ret, of another function
			90 90 90 90 90 90 90 90 90 90 90 90
			0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0f 00 01 00 00 00 00 00 00 00`,
			0xd, 32, Unsure},
		"another function, and a register is not given back": {`
			53 48 89 fb             # push %rbx; mov %rdi,%rbx
			ff 24 c5 20 00 01 00    # jmp *table(,%rax,8)
			ff d1 eb fc             # b: call *%rcx; jmp to it
			48 83 c4 08 c3          # f: add $8,%rsp; ret, of another function
			90 90 90 90 90 90 90 90 90 90 90 90
			0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 0f 00 01 00 00 00 00 00 00 00`,
			0xd, 16, Unsure},
		"another function, and no frame": {`
			ff 24 c5 20 00 01 00    # jmp *table(,%rax,8)
			ff d1 eb fc             # 7: call *%rcx; jmp to it
			c3                      # b: ret, of another function
			90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
			07 00 01 00 00 00 00 00 07 00 01 00 00 00 00 00 07 00 01 00 00 00 00 00 07 00 01 00 00 00 00 00 0b 00 01 00 00 00 00 00 00 00`,
			0x9, 8, Unsure},
	} {
		code := parse(t, test.code)
		f := NewFollower()
		frame, v := f.From(code, AMD64, codeBase, codeBase+test.pc, maxFrom)
		if want := (Place{Reg: x86RSP, Add: test.add}); v != Found || frame.CFA != want {
			t.Errorf("%s: %v, %+v, want %+v", name, v, frame.CFA, want)
		}
		if v := f.Returns(code, AMD64, codeBase); v != test.returns {
			t.Errorf("%s: it returns: %v, want %v", name, v, test.returns)
		}
		if _, v := f.Forward(code, AMD64, codeBase, true); v == Found {
			t.Errorf("%s: it was followed through the table", name)
		}
	}
}

func TestEndsWithCall(t *testing.T) {
	for text, want := range map[string]bool{
		"e8 01 02 03 04": true, "ff d0": true, "41 ff d4": true, "ff 10": true, "ff 50 08": true, "ff 14 c8": true,
		"ff 54 24 08": true, "ff 15 01 02 03 04": true, "ff 90 01 02 03 04": true, "ff 94 24 01 02 03 04": true,
		"ff 14 c5 01 02 03 04": true,
		"ff e0":                false, "0f 05": false, "c3": false, "90": false, "e9 01 02 03 04": false, "ff 25 01 02 03 04": false,
	} {
		b := parse(t, text).b
		padded := append(make([]byte, LongestCall-len(b)), b...)
		if got := EndsWithCall(AMD64, padded); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]bool{"01 00 00 94": true, "00 00 3f d6": true, "01 00 00 14": false, "c0 03 5f d6": false} {
		if got := EndsWithCall(ARM64, append(make([]byte, 4), parse(t, text).b...)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestInterpreterReturns: a function returns of which nearly every part ends with a jump by the same table, as the loop of an
// interpreter does, and if only one part returns.
func TestInterpreterReturns(t *testing.T) {
	const parts, size, head, returning = 90, 32, 16, 30
	const table = codeBase + head + parts*size
	lookup := append([]byte{0x48, 0x8b, 0x04, 0xcd}, binary.LittleEndian.AppendUint32(nil, table)...) // mov table(,%rcx,8),%rax
	code := append([]byte{0x53}, lookup...)                                                           // push %rbx
	code = append(code, 0xff, 0xe0)                                                                   // jmp *%rax
	pad := func(n int) {
		for len(code) < n {
			code = append(code, 0x90)
		}
	}
	for part := range parts {
		pad(head + part*size)
		if part == returning {
			code = append(code, 0x5b, 0xc3) // pop %rbx; ret
			continue
		}
		pad(head + part*size + 20)
		code = append(append(code, lookup...), 0xff, 0xe0)
	}
	pad(head + parts*size)
	for part := range parts {
		code = binary.LittleEndian.AppendUint64(code, uint64(codeBase+head+part*size))
	}
	if v := NewFollower().Returns(bytesAt{base: codeBase, b: code}, AMD64, codeBase); v != Found {
		t.Errorf("it returns: %v, want %v", v, Found)
	}
}

// TestLastCallByRegister: a function returns that ends with a jump to where a register says, if it has taken down its frame
// before; one that had none may jump by a table.
func TestLastCallByRegister(t *testing.T) {
	for name, test := range map[string]struct {
		code string
		want Verdict
	}{
		"frame taken down":  {`53 48 89 fb ff d6 48 8b 43 10 5b ff e0`, Found}, // push %rbx; mov %rdi,%rbx; call *%rsi; mov 16(%rbx),%rax; pop %rbx; jmp *%rax
		"frame still there": {`53 48 89 fb ff d6 48 8b 43 10 ff e0`, Unsure},
		"register changed":  {`53 48 89 fb ff d6 48 8b 43 10 59 ff e0`, Unsure}, // pop %rcx
		"no frame":          {`48 8b 47 10 ff e0`, Unsure},
	} {
		if v := NewFollower().Returns(parse(t, test.code), AMD64, codeBase); v != test.want {
			t.Errorf("%s: it returns: %v, want %v", name, v, test.want)
		}
	}
}

// TestMainBegins: what a program's first code hands on first is where main begins.
func TestMainBegins(t *testing.T) {
	for name, test := range map[string]struct {
		arch  Arch
		code  string
		main  uint64
		wants Verdict
	}{
		"at once":              {AMD64, "31 ed 48 8d 3d 06 00 00 00 e8 01 00 00 00 f4 90 90 90 c3", codeBase + 15, Found},
		"by a function":        {AMD64, "48 89 e7 e8 01 00 00 00 f4 48 c7 c7 00 00 01 00 e9 00 00 00 00 c3", codeBase, Found},
		"nowhere in code":      {AMD64, "48 c7 c7 00 00 00 01 e8 01 00 00 00 f4 c3", 0, Unsure},
		"from a table":         {AMD64, "48 8b 3d 07 00 00 00 ff 15 00 00 00 00 f4 00 00 01 00 00 00 00 00", 0, Unsure},
		"never":                {AMD64, "48 89 e7 75 fe f4", 0, Unsure},
		"ARM64":                {ARM64, "1d0080d2 00000090 00400091 01000094 c0035fd6", codeBase + 16, Found},
		"ARM64, from a table":  {ARM64, "00000090 000840f9 01000094 c0035fd6 00000100 00000000", codeBase, Found},
		"ARM64, by a function": {ARM64, "e0030091 01000094 00000090 00400091 01000014 c0035fd6", codeBase + 16, Found},
	} {
		code := parse(t, test.code)
		if main, v := NewFollower().Main(code, test.arch, codeBase); v != test.wants || v == Found && main != test.main {
			t.Errorf("%s: %#x, %v want %#x, %v", name, main, v, test.main, test.wants)
		}
	}
}

// TestReaches: a function comes to an address, or that is of another one.
func TestReaches(t *testing.T) {
	for name, test := range map[string]struct {
		code string
		addr uint64
		is   bool
	}{
		"its first instruction":        {"31 c0 c3", 0, true},
		"in its second":                {"31 c0 48 31 c0 c3", 4, true},
		"its return":                   {"31 c0 c3", 2, true},
		"behind its return":            {"31 c0 c3 31 c0 c3", 4, false},
		"behind a return, by a branch": {"74 01 c3 31 c0 c3", 3, true},
		"before it":                    {"31 c0 c3", ^uint64(0), false},
		"in its last call":             {"e8 00 00 00 00 b8 e7 00 00 00 0f 05 c3", 4, true},
		"behind what never returns":    {"e8 01 00 00 00 c3 b8 e7 00 00 00 0f 05", 5, false},
		"behind what may return":       {"ff 15 00 10 00 00 c3", 6, false},
		"behind what is not known":     {"ff e0 c3", 2, false},
	} {
		if got := NewFollower().Reaches(parse(t, test.code), AMD64, codeBase, codeBase+test.addr); got != test.is {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestHolds: a function surely holds an address, or it may be another's.
func TestHolds(t *testing.T) {
	for name, test := range map[string]struct {
		arch      Arch
		code      string
		end, addr uint64
		is        bool
	}{
		"its first instruction":              {AMD64, "31 c0 c3", 3, 0, true},
		"in its second":                      {AMD64, "31 c0 48 31 c0 c3", 6, 4, true},
		"behind its return":                  {AMD64, "31 c0 c3 31 c0 c3", 6, 4, false},
		"behind a return, by a branch":       {AMD64, "74 01 c3 31 c0 c3", 6, 3, true},
		"behind the next function's":         {AMD64, "74 01 c3 31 c0 c3", 3, 3, false},
		"by way of another function":         {AMD64, "53 74 05 31 c0 31 c0 c3 31 c0 eb f5", 8, 11, false},
		"by a jump, in a frame":              {AMD64, "53 eb 01 c3 31 c0 5b c3", 8, 4, true},
		"by a jump, without a frame":         {AMD64, "eb 01 c3 31 c0 c3", 6, 3, false},
		"by a jump, behind the frame":        {AMD64, "53 5b eb 01 c3 31 c0 c3", 8, 5, false},
		"by a jump to what follows":          {AMD64, "53 eb 00 31 c0 5b c3", 7, 3, false},
		"behind what may return":             {AMD64, "ff 15 00 10 00 00 c3", 7, 6, false},
		"a case":                             {AMD64, "53 ff 24 fd 0a 00 01 00 5b c3 1a 00 01 00 00 00 00 00 1a 00 01 00 00 00 00 00 31 c0 5b c3", 30, 27, true},
		"by a branch of ARM64, in a frame":   {ARM64, "fd 7b bf a9 02 00 00 14 c0 03 5f d6 fd 7b c1 a8 c0 03 5f d6", 20, 15, true},
		"by a branch of ARM64, without":      {ARM64, "02 00 00 14 c0 03 5f d6 e0 03 1f aa c0 03 5f d6", 16, 11, false},
		"by a condition of ARM64, without":   {ARM64, "40 00 00 54 c0 03 5f d6 e0 03 1f aa c0 03 5f d6", 16, 11, true},
		"by a branch of ARM64, what follows": {ARM64, "fd 7b bf a9 01 00 00 14 fd 7b c1 a8 c0 03 5f d6", 16, 11, false},
	} {
		if got := NewFollower().Holds(parse(t, test.code), test.arch, codeBase, codeBase+test.end, codeBase+test.addr); got != test.is {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestLeaves: what has called main exits when that returns.
func TestLeaves(t *testing.T) {
	for name, test := range map[string]struct {
		code  string
		ends  uint64 // of a function
		wants Verdict
	}{
		"exits":                 {"89 c7 e8 01 00 00 00 f4 b8 e7 00 00 00 0f 05 f4", 0, Found},
		"calls what returns":    {"89 c7 e8 01 00 00 00 f4 c3", 0, Unsure},
		"calls what is unknown": {"89 c7 ff d0 f4", 0, Unsure},
		"goes on":               {"89 c7 75 00 b8 e7 00 00 00 0f 05 f4", 0, Unsure},
		// What is called calls what is unknown, at the end of its code or not.
		"and that ends behind a call":   {"89 c7 e8 01 00 00 00 f4 51 ff 15 00 10 00 00 c3", 15, Found},
		"and that does not end there":   {"89 c7 e8 01 00 00 00 f4 51 ff 15 00 10 00 00 c3", 16, Unsure},
		"and that returns before":       {"89 c7 e8 01 00 00 00 f4 74 01 c3 ff 15 00 10 00 00 c3", 17, Unsure},
		"and that has such a call more": {"89 c7 e8 01 00 00 00 f4 ff 15 00 10 00 00 ff 15 00 10 00 00 c3", 20, Unsure},
	} {
		code := parse(t, test.code)
		code.ends = map[uint64]bool{codeBase + test.ends: true}
		if v := NewFollower().Leaves(code, AMD64, codeBase); v != test.wants {
			t.Errorf("%s: %v, want %v", name, v, test.wants)
		}
	}
}

// TestLengths compares the length of each instruction of musl's libc and of the vector code of glibc's with objdump's.
func TestLengths(t *testing.T) {
	objdump := needs.Program(t, "objdump", "binutils")
	for _, file := range []string{"/usr/lib/x86_64-linux-musl/libc.so", "/lib/x86_64-linux-gnu/libm.so.6"} {
		if _, err := os.Stat(file); err != nil {
			t.Logf("there is no %s", file)
			continue
		}
		cmd := exec.Command(objdump, "-d", "-w", file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{} // by their first bytes
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fields := strings.Split(lines.Text(), "\t")
			if len(fields) < 3 {
				continue
			}
			b, err := hex.DecodeString(strings.Join(strings.Fields(fields[1]), ""))
			// FWAIT, which objdump takes as part of what follows it.
			if err != nil || len(b) == 0 || b[0] == 0x9b || seen[string(b[:min(len(b), 5)])] || strings.Contains(fields[2], "bad") {
				continue
			}
			seen[string(b[:min(len(b), 5)])] = true
			more := make([]byte, MaxInsn)
			for i := range more {
				more[i] = 0xc3
			}
			copy(more, b)
			var in insn
			if decodeX86(more, &in); in.kind != unknown && int(in.size) != len(b) {
				t.Errorf("% x: %d bytes: %s", b, in.size, fields[2])
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(seen) < 1000 {
			t.Errorf("%s: %d instructions", file, len(seen))
		}
	}
}

// FuzzFollow follows code that may be anything. It must end, and within the bounds.
func FuzzFollow(f *testing.F) {
	f.Add(parse(f, "53 48 83 ec 20 e8 0a 00 00 00 55 5d c3 90 90 90 90 90 90 90 eb fe").b, uint16(10), uint8(0))
	f.Add(parse(f, "f3 0b 40 f9 fd 7b c2 a8 c0 03 5f d6").b, uint16(4), uint8(1))
	f.Add(parse(f, "74 fe 75 fe e8 f7 ff ff ff ff e0 c5 f8 77 62 f1 fe 48 6f 06 c9 c3").b, uint16(9), uint8(0))
	follower, file := NewFollower(), uint32(0)
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flags uint8) {
		file++ // none of which anything is known
		code, arch := bytesAt{base: codeBase, b: data, file: file}, Arch(flags&1)
		pc := codeBase + uint64(at)
		for _, innermost := range []bool{false, true} {
			frame, v := follower.Forward(code, arch, pc, innermost)
			clear(follower.known)
			again, v2 := follower.Forward(code, arch, pc, innermost)
			if v != v2 || frame != again {
				t.Fatalf("%v %+v, then %v %+v", v, frame, v2, again)
			}
		}
		follower.From(code, arch, codeBase, pc, maxFrom)
		follower.Returns(code, arch, codeBase)
		follower.Exits(code, arch, pc)
		follower.Straight(code, arch, codeBase, pc)
		follower.Reaches(code, arch, codeBase, pc)
		follower.Holds(code, arch, codeBase, pc+32, pc)
		follower.CallBefore(code, arch, pc)
		if follower.budget < -maxForward {
			t.Fatalf("%d instructions too many", -follower.budget)
		}
	})
}

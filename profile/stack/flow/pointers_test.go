package flow

import (
	"slices"
	"testing"
)

func TestPointees(t *testing.T) {
	for name, test := range map[string]struct {
		arch    Arch
		code    string
		call    uint64 // what is behind it
		want    []uint64
		verdict Verdict
	}{
		"a register": {AMD64, `
			c3                   # ret
			48 8d 05 f8 ff ff ff # lea -8(%rip),%rax
			ff d0                # call *%rax`, 10, []uint64{0}, Found},
		"several": {AMD64, `
			c3                   # ret
			c3                   # ret
			48 8d 05 f7 ff ff ff # lea -9(%rip),%rax
			eb 07                # jmp +7
			48 8d 05 ef ff ff ff # lea -17(%rip),%rax
			ff d0                # call *%rax`, 20, []uint64{1, 0}, Found},
		"a table": {AMD64, `
			c3                   # ret
			48 8d 05 03 00 00 00 # lea 3(%rip),%rax
			ff 14 e8             # call *(%rax,%rbp,8)
			00 00 01 00 00 00 00 00
			05 00 01 00 00 00 00 00
			ff ff 01 00 00 00 00 00`, 11, []uint64{11, 5, 0}, Found},
		"of a table": {AMD64, `
			48 8b 04 c5 0a 00 01 00 # mov codeBase+10(,%rax,8),%rax
			ff d0                # call *%rax
			00 00 01 00 00 00 00 00`, 10, []uint64{0}, Found},
		"nothing": {AMD64, `
			48 89 f8             # mov %rdi,%rax
			ff d0                # call *%rax`, 5, nil, Found},
		"no call by a register": {AMD64, `
			c3                   # ret
			48 8d 05 f8 ff ff ff # lea -8(%rip),%rax
			e8 f3 ff ff ff       # call -13`, 13, nil, Unsure},
		"a register of ARM64": {ARM64, `
			00 00 00 90 # adrp x0, codeBase
			00 00 00 91 # add x0, x0, #0
			00 00 3f d6 # blr x0`, 12, []uint64{0}, Found},
		"a table of ARM64": {ARM64, `
			00 00 00 90 # adrp x0, codeBase
			00 40 00 91 # add x0, x0, #16
			00 78 73 f8 # ldr x0, [x0, x19, lsl #3]
			00 00 3f d6 # blr x0
			08 00 01 00 00 00 00 00
			04 00 01 00 00 00 00 00`, 16, []uint64{16, 8, 4, 0}, Found},
	} {
		t.Run(name, func(t *testing.T) {
			code := parse(t, test.code)
			got, v := NewFollower().Pointees(code, test.arch, codeBase+test.call, codeBase+test.call, 1<<10)
			for i := range got {
				got[i] -= codeBase
			}
			if !slices.Equal(got, test.want) || v != test.verdict {
				t.Errorf("%#x, %d, want %#x, %d", got, v, test.want, test.verdict)
			}
		})
	}
}

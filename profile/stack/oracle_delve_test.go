package stack

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-delve/delve/pkg/dwarf/frame"
)

// all makes the oracle look at every ELF file of the machine; it takes minutes.
var all = os.Getenv("SYSPROF_ORACLE") == "all"

// Rows of these are compared in an ordinary run. They have, between them, C, C++ and
// assembly, the dynamic loader, position-dependent and static code.
var someFiles = []string{
	"/bin/bash", "/bin/ls", "/usr/bin/git", "/usr/bin/gcc", "/usr/bin/ld.bfd", "/usr/bin/gdb", "/usr/bin/strace",
	"/usr/bin/openssl", "/usr/bin/perl", "/usr/bin/python3.11", "/usr/sbin/nginx", "/usr/bin/redis-server",
	"/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6",
	"/lib/x86_64-linux-gnu/libgcc_s.so.1", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
	"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
	"/usr/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/x86_64-linux-gnu/libpthread.so.0",
}

// TestRowsEqualDelve compares, for addresses in every function of every file, the whole
// decoded row with what delve's frame package makes of it.
func TestRowsEqualDelve(t *testing.T) {
	files := someFiles
	if all {
		files = nil
		for _, root := range []string{"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"} {
			filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					files = append(files, path)
				}
				return nil
			})
		}
	}
	var total tally
	for _, path := range files {
		n, err := compareFile(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		total.files += min(n.rows, 1)
		total.rows += n.rows
		total.panics += n.panics
		total.other += n.other
	}
	t.Logf("%d files, %d rows equal; delve gave up on %d; of %d the search table names another entry",
		total.files, total.rows, total.panics, total.other)
	if total.rows < 10000 {
		t.Errorf("only %d rows compared", total.rows)
	}
}

type tally struct{ files, rows, panics, other int }

func compareFile(path string) (n tally, err error) {
	f, err := elf.Open(path)
	if err != nil || f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return n, nil
	}
	defer f.Close()
	s := f.Section(".eh_frame")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return n, nil
	}
	data, err := s.Data()
	if err != nil {
		return n, nil
	}
	fdes, err := delveParse(data, s.Addr)
	if err != nil {
		return n, nil // delve can't read it
	}
	r, err := os.Open(path)
	if err != nil {
		return n, nil
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return n, err
	}
	o := NewObjects(nil, 0, 0)
	obj := load(r, st.Size(), o)
	if obj.eh == nil {
		if len(fdes) == 0 {
			return n, nil
		}
		return n, fmt.Errorf("%d entries, none found", len(fdes))
	}
	u := NewUnwinder()
	for _, want := range fdes {
		if want.End() <= want.Begin() {
			continue
		}
		size := want.End() - want.Begin()
		for _, pc := range []uint64{0, 1, 4, 5, size / 3, size / 2, size - 1} {
			pc = want.Begin() + min(pc, size-1)
			if err := compareRow(u, obj, want, pc, &n); err != nil {
				return n, fmt.Errorf("%#x: %w", pc, err)
			}
		}
	}
	return n, nil
}

func compareRow(u *Unwinder, obj *tables, fde *frame.FrameDescriptionEntry, pc uint64, n *tally) error {
	want, ok := delveRow(fde, pc)
	if !ok {
		n.panics++
		return nil
	}
	addr, ok := obj.eh.find(pc)
	if !ok {
		return fmt.Errorf("no entry; delve has [%#x,%#x)", fde.Begin(), fde.End())
	}
	if err := obj.eh.fdeAt(addr, &u.s, &u.d, &u.c); err != nil {
		return err
	}
	if u.d.lo != fde.Begin() || u.d.hi != fde.End() {
		if pc >= u.d.lo && pc < u.d.hi {
			n.other++ // two entries for one address
			return nil
		}
		return fmt.Errorf("entry [%#x,%#x), delve has [%#x,%#x)", u.d.lo, u.d.hi, fde.Begin(), fde.End())
	}
	if err := u.m.run(&u.c, &u.d, archs[AMD64].nregs, pc); err != nil {
		return err
	}
	if u.c.ra != want.RetAddrReg {
		return fmt.Errorf("return address in %d, delve says %d", u.c.ra, want.RetAddrReg)
	}
	cfa := want.CFA
	if cfa.Rule == frame.RuleExpression && u.m.cfa.kind == ruleCFA {
		cfa.Rule = frame.RuleCFA // it keeps an expression after def_cfa_register (libgcrypt); libgcc does as we do
	}
	if got, want := u.ruleString(u.m.cfa), delveRule(cfa); got != want {
		return fmt.Errorf("CFA %s, delve says %s", got, want)
	}
	for reg := range uint64(archs[AMD64].nregs) {
		rule, set := want.Regs[reg]
		wantRule := "unset"
		if set {
			wantRule = delveRule(rule)
		}
		got := u.ruleString(u.m.regs[reg])
		if got == "unset" && wantRule == "undefined" {
			continue // how delve writes a register that was restored to nothing
		}
		if wantRule == "undefined" && u.m.regs[reg] == u.m.initial.regs[reg] {
			continue // restored to what the CIE says, which delve forgets; readelf agrees with us
		}
		if got != wantRule {
			return fmt.Errorf("register %d: %s, delve says %s", reg, got, wantRule)
		}
	}
	n.rows++
	return nil
}

func (u *Unwinder) ruleString(r rule) string {
	switch r.kind {
	case ruleUnset:
		return "unset"
	case ruleUndefined:
		return "undefined"
	case ruleSame:
		return "same"
	case ruleRegister:
		return fmt.Sprintf("register %d", r.reg)
	case ruleCFA:
		return fmt.Sprintf("reg %d + %d", r.reg, r.off)
	case ruleExpression:
		return fmt.Sprintf("expression %x", u.m.expr(r))
	case ruleValExpr:
		return fmt.Sprintf("valexpression %x", u.m.expr(r))
	case ruleValOffset:
		return fmt.Sprintf("valoffset %d", r.off)
	}
	return fmt.Sprintf("offset %d", r.off)
}

func delveRule(r frame.DWRule) string {
	switch r.Rule {
	case frame.RuleUndefined:
		return "undefined"
	case frame.RuleSameVal:
		return "same"
	case frame.RuleRegister:
		return fmt.Sprintf("register %d", r.Reg)
	case frame.RuleCFA:
		return fmt.Sprintf("reg %d + %d", r.Reg, r.Offset)
	case frame.RuleExpression:
		return fmt.Sprintf("expression %x", r.Expression)
	case frame.RuleValExpression:
		return fmt.Sprintf("valexpression %x", r.Expression)
	case frame.RuleValOffset:
		return fmt.Sprintf("valoffset %d", r.Offset)
	}
	return fmt.Sprintf("offset %d", r.Offset)
}

func delveParse(data []byte, addr uint64) (fdes frame.FrameDescriptionEntries, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("delve: %v", r)
		}
	}()
	return frame.Parse(data, binary.LittleEndian, 0, 8, addr)
}

func delveRow(fde *frame.FrameDescriptionEntry, pc uint64) (row *frame.FrameContext, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	row, err := fde.EstablishFrame(pc)
	return row, err == nil
}

package stack

// Code made at run time that has called something may have nothing left to do but to return. The trampolines by which Python names
// its functions in perf maps (3.12 and later, Python/asm_trampoline.S) are such: sub $8,%rsp; call *%rcx; add $8,%rsp; ret. They
// keep no frame pointer, and most builds of Python have none to keep. As all code that is read here, this is taken not to change
// while return addresses into it are on the stack.

// maxAtOnce is how much of the code behind a call is looked at.
const maxAtOnce = 16

// returnsAtOnce steps from the n-th frame, whose code is in range r and was made at run time, to its caller, if all that comes behind the
// call is that the stack pointer is put back, and a return to behind another call. Otherwise it returns NoInfo.
func (u *Unwinder) returnsAtOnce(s *Space, r *execRange, n int) Reason {
	w := &u.w
	if w.a != &archs[AMD64] || u.Mode != Full || n == 1 || w.exact || r.mapping.IsFile() || r.mapping.IsVDSO() {
		return NoInfo
	}
	const (
		pop = 0x5d // pop %rbp
		ret = 0xc3
	)
	sp, fp := w.sp(), uint64(0)
	for b := w.code[:w.readCode(w.pc, maxAtOnce)]; len(b) > 0; {
		switch {
		case len(b) >= 4 && b[0] == 0x48 && b[1] == 0x83 && b[2] == 0xc4 && b[3] < 0x80: // add $…,%rsp
			sp += uint64(b[3])
			b = b[4:]
		case b[0] == pop && fp == 0:
			fp = sp
			sp += 8
			b = b[1:]
		case b[0] == ret:
			return u.returnsFrom(s, sp, fp)
		default:
			return NoInfo
		}
	}
	return NoInfo
}

// returnsFrom steps to what the return address at sp leads to. The caller's frame pointer is at fp, if that is not 0.
func (u *Unwinder) returnsFrom(s *Space, sp, fp uint64) Reason {
	w := &u.w
	ra, ok := w.word(sp)
	if !ok {
		return NoInfo
	}
	if reason := u.returnsToCall(s, ra); reason != stepped {
		return reason
	}
	if fp != 0 {
		w.setSaved(w.a.fp, fp)
	}
	w.set(w.a.sp, sp+8)
	w.pc = ra
	return stepped
}

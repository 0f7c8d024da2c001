package stack

const windowSize = 16 << 10

// A recording is a stopped thread, kept: no process is needed to unwind it again.
type recording struct {
	regs  Regs
	maps  []Mapping
	sp    uint64
	stack []byte
	vdso  []byte
	vaddr uint64
}

func (r *recording) ReadMemory(p []byte, addr uint64) int {
	switch {
	case addr-r.vaddr < uint64(len(r.vdso)):
		return copy(p, r.vdso[addr-r.vaddr:])
	case addr-r.sp < uint64(len(r.stack)):
		return copy(p, r.stack[addr-r.sp:])
	}
	return 0
}

// window is what a profiler would have read.
func (r *recording) window(w *Window) {
	w.Reset(r, r.sp, r.stack[:min(windowSize, len(r.stack))])
}

package ptrace

// Registers are a thread's registers at a stop. They go by the architecture's DWARF numbers: on amd64
// rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15 (System V psABI, figure 3.36); on arm64 x0 to x30,
// then sp; on riscv64 x0 to x31.
type Registers struct {
	IP uint64 // at an entry-stop: behind the instruction that makes the call
	R  [33]uint64
}

// EntryStop is where a thread stands at an entry-stop.
type EntryStop struct {
	IP, SP uint64

	w   *worker
	tid int32
}

// Registers reads the general registers, nil if the thread has died. They are valid until the next stop
// of any thread.
func (e *EntryStop) Registers() *Registers {
	if e.w.readRegisters(e.tid) != nil {
		return nil
	}
	return &e.w.regs
}

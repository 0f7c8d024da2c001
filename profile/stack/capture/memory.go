package capture

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// memory is a process's memory, read by /proc/PID/mem.
//
// process_vm_readv(2) waits for pages that a userfaultfd(2) handler has to bring, perhaps one of the same process,
// which stands still. A read of /proc/PID/mem fails on these (mm/userfaultfd.c, handle_userfault, without
// FAULT_FLAG_ALLOW_RETRY), and takes as long otherwise.
type memory struct {
	fd    int
	users atomic.Int32 // who reads, and the process
}

// maxMemories bounds the descriptors.
const maxMemories = 256

// openMemory opens the memory that a process has now: after an execve it has another.
func openMemory(pid int32) *memory {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	m := &memory{fd: fd}
	m.users.Store(1)
	return m
}

// done ends one use of the memory.
func (m *memory) done() {
	if m != nil && m.users.Add(-1) == 0 {
		unix.Close(m.fd)
	}
}

// tracee is a Thread whose memory is read in this way.
type tracee struct {
	Thread
	memory *memory // nil: it cannot be opened, and the thread's own way must do
}

func (t *tracee) ReadMemory(p []byte, addr uint64) int {
	if t.memory == nil {
		return t.Thread.ReadMemory(p, addr)
	}
	n, _ := unix.Pread(t.memory.fd, p, int64(addr))
	return max(n, 0)
}

package ptrace_test

import (
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
	"sysprof/syscalltab/needs"
)

const inMemory = "known"

// The target has two pages, of which the second would have to be brought by a handler of userfaultfd(2), which it
// has none of. It makes a call with the address of the text at the end of the first one.
var _ = target("userfaultfd", func(l *ledger, args []string) {
	const (
		api      = 0xc018aa3f // UFFDIO_API (linux/userfaultfd.h)
		register = 0xc020aa00 // UFFDIO_REGISTER
		version  = 0xaa
		missing  = 1
	)
	size := unix.Getpagesize()
	pages, err := unix.Mmap(-1, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	text := pages[size-len(inMemory):]
	copy(text, inMemory)
	uffd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		must(errno)
	}
	second := uint64(uintptr(unsafe.Pointer(&pages[size])))
	for _, ioctl := range []struct {
		nr       uintptr
		argument [4]uint64
	}{{api, [4]uint64{version}}, {register, [4]uint64{second, uint64(size), missing}}} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uffd, ioctl.nr, uintptr(unsafe.Pointer(&ioctl.argument))); errno != 0 {
			must(errno)
		}
	}
	l.Calls[unix.SYS_GETPGID]++
	l.Errors[unix.SYS_GETPGID]++
	syscall.RawSyscall(unix.SYS_GETPGID, uintptr(unsafe.Pointer(&text[0])), 0, 0) // there is no such process
})

// TestMemoryThatATraceeBrings is not waited for.
func TestMemoryThatATraceeBrings(t *testing.T) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	needs.That(t, errno == 0, "userfaultfd", "run the tests as root, or set vm.unprivileged_userfaultfd to 1")
	unix.Close(int(fd))
	file := filepath.Join(t.TempDir(), "ledger")
	var read atomic.Value
	tracer, r := trace(t, ptrace.Options{
		Command: targetCommand(file, "userfaultfd"), Follow: true,
		OnEntry: func(c *profile.Call, at *ptrace.EntryStop) uint32 {
			if c.Nr == unix.SYS_GETPGID {
				var memory [64]byte
				read.Store(string(memory[:at.ReadMemory(memory[:], c.Args[0])]))
			}
			return 0
		},
	})
	finish(t, tracer)
	if got := read.Load(); got != inMemory {
		t.Errorf("read: %q, want %q", got, inMemory)
	}
	r.demand(t, native(), readLedger(t, file))
}

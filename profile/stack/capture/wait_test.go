package capture

import (
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/stack"
	"sysprof/syscalltab/needs"
)

// TestAFileThatDoesNotAnswer, as on FUSE whose server is traced, cuts the stack, and nobody waits for it again.
func TestAFileThatDoesNotAnswer(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(t)
	answer := make(chan struct{})
	c.objects = stack.NewObjects(func(m *stack.Mapping) (stack.File, error) {
		<-answer
		return c.files.open(m)
	}, 0, 0)
	begun := time.Now()
	first := take(c, call, at)
	if first == 0 || c.Cut() != 1 {
		t.Errorf("stack %d, %d are cut", first, c.Cut())
	}
	for range 1000 {
		if take(c, call, at) != first {
			t.Fatal("the stack is another one")
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the program stood still for %v", took)
	}
	close(answer)
	eventually(t, "the stack is whole", func() bool {
		before := c.Cut()
		return take(c, call, at) != first && c.Cut() == before
	})
}

// TestAReadThatWantsACPU is waited for longer than one that waits for the file: on a busy machine most that is slow is slow for
// that.
func TestAReadThatWantsACPU(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(t)
	c.objects = stack.NewObjects(func(m *stack.Mapping) (stack.File, error) {
		for begun := time.Now(); time.Since(begun) < maxWait*2; {
		}
		return c.files.open(m)
	}, 0, 0)
	c.reading.patience = time.Minute // they are several, and others may have the CPU
	take(c, call, at)
	equal(t, "stacks that are cut", c.Cut(), 0)
}

// TestMemoryThatNobodyBrings is memory on userfaultfd(2) whose handler does not answer.
func TestMemoryThatNobodyBrings(t *testing.T) {
	const (
		api      = 0xc018aa3f // UFFDIO_API (linux/userfaultfd.h)
		register = 0xc020aa00 // UFFDIO_REGISTER
		version  = 0xaa
		missing  = 1
	)
	uffd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	needs.That(t, errno == 0, "userfaultfd", "run the tests as root, or set vm.unprivileged_userfaultfd to 1")
	defer unix.Close(int(uffd))
	ioctl := func(nr uintptr, argument []uint64) {
		t.Helper()
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uffd, nr, uintptr(unsafe.Pointer(unsafe.SliceData(argument)))); errno != 0 {
			t.Fatal("userfaultfd:", errno)
		}
	}
	ioctl(api, []uint64{version, 0, 0})
	size := uint64(unix.Getpagesize())
	page, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	check(t, err)
	addr := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(page))))
	ioctl(register, []uint64{addr, size, missing, 0})
	c := New(false, 0)
	defer c.Close()
	c.mu.Lock()
	m := c.memory(c.process(pid), pid)
	c.mu.Unlock()
	defer m.done()
	done := make(chan int, 1)
	go func() {
		done <- (&tracee{&standing{tid: pid}, m}).ReadMemory(make([]byte, 64), addr)
	}()
	select {
	case n := <-done:
		equal(t, "bytes read", n, 0)
	case <-time.After(10 * time.Second):
		t.Error("it waits for the handler")
	}
	check(t, unix.Munmap(page)) // ends who waits
}

// TestMemoryIsOpenedAnewAfterAnExec, which gives the process other memory.
func TestMemoryIsOpenedAnewAfterAnExec(t *testing.T) {
	c := New(false, 0)
	defer c.Close()
	mapped(t, c, pid)
	memory := func() *memory {
		c.mu.Lock()
		defer c.mu.Unlock()
		m := c.memory(c.processes[pid], pid)
		m.done()
		return m
	}
	before := memory()
	if memory() != before {
		t.Error("it is opened for each stack")
	}
	c.Finished(&profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "execve")})
	if memory() == before {
		t.Error("it is that of the program before")
	}
	equal(t, "open", c.memories, 1)
}

package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// calibrationPage is what the calibration child shares with the tracer.
type calibrationPage struct {
	gate       gate // with what became of a filter
	batches    int
	untraced   [calibrationBatches]int64
	traced     [calibrationBatches]int64
	references [calibrationBatches]int64 // untraced
	stat       [256]byte                 // what fstat writes
}

// After each batch, the child makes a smaller one of one kind of reference call, in turn.
const (
	referenceKinds = 3
	referenceCalls = 24
	referenceSize  = 8 << 10 // bytes to map
)

// referenceNrs are what the kinds of reference calls consist of: a short call that looks a descriptor
// up and writes to the caller's memory, a longer one, and one that allocates memory.
var referenceNrs = [referenceKinds][]uint64{
	{unix.SYS_FSTAT}, {unix.SYS_OPENAT, unix.SYS_CLOSE}, {unix.SYS_MMAP, unix.SYS_MUNMAP},
}

// calibration returns what the child wrote down, nil if it has not come to its end.
func (p *calibrationPage) calibration(crossCPU bool) *Calibration {
	if p.traced[p.batches-1] == 0 {
		return nil
	}
	c := &Calibration{
		CrossCPU:   crossCPU,
		BatchCalls: calibrationCalls,
		UntracedNs: append([]int64(nil), p.untraced[:p.batches]...),
		TracedNs:   append([]int64(nil), p.traced[:p.batches]...),
	}
	for kind := range referenceKinds {
		r := Reference{Nrs: referenceNrs[kind], BatchCalls: referenceCalls}
		for batch := kind; batch < p.batches; batch += referenceKinds {
			r.UntracedNs = append(r.UntracedNs, p.references[batch])
		}
		c.References = append(c.References, r)
	}
	return c
}

// forkCalibration forks the calibration child. It returns in the parent only.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkCalibration(page *calibrationPage, filter *unix.SockFprog) (int32, error) {
	pid, errno := raw.Fork()
	if errno != 0 {
		return 0, errno
	}
	if pid == 0 {
		page.child(filter)
	}
	return pid, nil
}

// child is what the child does: all batches untraced, then the same traced. The rules of raw.Fork hold for it and all
// that it calls.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *calibrationPage) child(filter *unix.SockFprog) {
	p.gate.childAwaitSeizure()
	root := childOpenRoot()
	for batch := 0; batch < p.batches; batch++ {
		p.untraced[batch] = childTimeCalls()
		p.references[batch] = p.childTimeReferences(batch%referenceKinds, root)
	}
	p.gate.childPass()
	if filter != nil {
		p.gate.filter.childInstall(filter)
	}
	for batch := 0; batch < p.batches; batch++ {
		p.traced[batch] = childTimeCalls()
		p.childTimeReferences(batch%referenceKinds, root)
	}
	raw.ChildExit(0)
}

// childTimeCalls makes a batch of calls, and returns how many nanoseconds they took.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childTimeCalls() int64 {
	begin := childNow()
	for range calibrationCalls {
		syscall.RawSyscall6(unix.SYS_GETPPID, 0, 0, 0, 0, 0, 0)
	}
	return childNow() - begin
}

// childTimeReferences makes a batch of one kind of reference calls, and returns how many nanoseconds they took.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *calibrationPage) childTimeReferences(kind int, root uintptr) int64 {
	const noFile = ^uintptr(0) // the mapping is of no file
	begin := childNow()
	for i := 0; i < referenceCalls; i++ {
		switch kind {
		case 0:
			syscall.RawSyscall6(unix.SYS_FSTAT, root, uintptr(unsafe.Pointer(&p.stat)), 0, 0, 0, 0)
		case 1:
			syscall.RawSyscall6(unix.SYS_CLOSE, childOpenRoot(), 0, 0, 0, 0, 0)
			i++
		case 2:
			addr, _, _ := syscall.RawSyscall6(unix.SYS_MMAP, 0, referenceSize, unix.PROT_READ|unix.PROT_WRITE,
				unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE, noFile, 0)
			syscall.RawSyscall6(unix.SYS_MUNMAP, addr, referenceSize, 0, 0, 0, 0)
			i++
		}
	}
	return childNow() - begin
}

// rootPath is the path of a directory, for the kernel.
var rootPath = [2]byte{'/', 0}

// childOpenRoot opens a directory, and returns the descriptor.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childOpenRoot() uintptr {
	const atRoot = ^uintptr(99) // AT_FDCWD, −100
	fd, _, _ := syscall.RawSyscall6(unix.SYS_OPENAT, atRoot, uintptr(unsafe.Pointer(&rootPath)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	return fd
}

// childNow reads the clock.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childNow() int64 {
	var now unix.Timespec
	syscall.RawSyscall6(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&now)), 0, 0, 0, 0)
	return now.Sec*1e9 + now.Nsec
}

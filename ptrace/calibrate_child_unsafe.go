package ptrace

import (
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// calibrationPage is what the calibration child shares with the tracer.
type calibrationPage struct {
	gate     gate // with what became of a filter
	batches  int
	untraced [mostCalibrationBatches]int64
	traced   [mostCalibrationBatches]int64
}

// calibrations returns what the child wrote down, of which so many batches were made on the tracer's CPU. There are none if it
// has not come to its end.
func (p *calibrationPage) calibrations(sameCPU int) (all []*Calibration) {
	if p.traced[p.batches-1] == 0 {
		return nil
	}
	for _, of := range []struct {
		crossCPU bool
		from, to int
	}{{false, 0, sameCPU}, {true, sameCPU, p.batches}} {
		if of.from < of.to {
			all = append(all, &Calibration{
				CrossCPU:   of.crossCPU,
				BatchCalls: calibrationCalls,
				UntracedNs: slices.Clone(p.untraced[of.from:of.to]),
				TracedNs:   slices.Clone(p.traced[of.from:of.to]),
			})
		}
	}
	return all
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
	for batch := 0; batch < p.batches; batch++ {
		p.untraced[batch] = childTimeCalls()
	}
	p.gate.childPass()
	if filter != nil {
		p.gate.filter.childInstall(filter)
	}
	for batch := 0; batch < p.batches; batch++ {
		p.traced[batch] = childTimeCalls()
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

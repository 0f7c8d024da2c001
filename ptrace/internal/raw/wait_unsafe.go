package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wait waits for a stop, or the end, of any tracee or child of the calling thread (wait4(2)).
//
// It keeps the caller's P while it waits, so that a garbage collection of the Go runtime, or whatever else stops the world, waits for it.
//
// __WNOTHREAD leaves out the tracees of other threads of this process, and the kernel need not look through those
// threads for them.
func Wait(status *unix.WaitStatus) (int32, unix.Errno) {
	return wait4(status, unix.WALL|unix.WNOTHREAD)
}

// Poll is Wait for a stop that has come already. It returns 0 if there is none.
func Poll(status *unix.WaitStatus) (int32, unix.Errno) {
	return wait4(status, unix.WALL|unix.WNOTHREAD|unix.WNOHANG)
}

func wait4(status *unix.WaitStatus, options uintptr) (int32, unix.Errno) {
	tid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(status)), options, 0, 0, 0)
	return int32(tid), errno
}

// NewTimer makes a timer that sends sig to thread tid of this process (timer_create(2)), not set yet.
func NewTimer(tid, sig int32) (id int32, err error) {
	// struct sigevent: sigev_value, sigev_signo, sigev_notify, sigev_notify_thread_id, padding.
	const sigevThreadID = 4
	event := struct {
		value         uint64
		signo, notify int32
		tid           int32
		_             [11]int32
	}{signo: sig, notify: sigevThreadID, tid: tid}
	_, _, errno := syscall.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return -1, errno
	}
	return id, nil
}

// SetTimer makes a timer expire every so many nanoseconds, or never if that is 0 (timer_settime(2)).
func SetTimer(id int32, everyNs int64) error {
	every := [2]unix.Timespec{unix.NsecToTimespec(everyNs), unix.NsecToTimespec(everyNs)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&every)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// DeleteTimer deletes a timer (timer_delete(2)).
func DeleteTimer(id int32) { syscall.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0) }

package ptrace

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// alarm is a perf event of a thread that sleeps in a call (perf_event_open(2)). It tells another thread by a signal
// (F_SETSIG) when the call returns, without any effect on the sleeper.
type alarm struct {
	kind alarmKind
	fd   int
	ring []byte // of records; nil if there are none
}

// alarmKind is what the event waits for.
//
// Measured on Linux 6.18 in a virtual machine: to open and close a breakpoint takes 12 µs. A CPU has four of them for each
// thread, riscv64 none that the kernel would give away, and there are virtual machines in which they can be set but never
// fire (PVM, in which the guest's kernel runs in user mode). There the scheduler tells instead: it writes a record when the
// thread gets a CPU. That is earlier than the return, and is so, too, if the call only looks whether it is to wait on: it
// begins again, then, with its whole timeout. A ring for such records takes two pages, which an ordinary user may have for a
// hundred threads or so (kernel.perf_event_mlock_kb).
type alarmKind uint8

const (
	noAlarm  alarmKind = iota
	atReturn           // a breakpoint where the call returns to
	atRun              // a record of the thread's next switch
)

// alarmKinds are tried in turn.
var alarmKinds = []alarmKind{atReturn, atRun}

// workingAlarm returns the kind of alarm that works on this machine, as the calling thread has found out with itself,
// whose id is tid. It has blocked the signals of alarms.
func workingAlarm(tid int32) alarmKind {
	for _, kind := range alarmKinds {
		if works(kind, tid) {
			return kind
		}
	}
	return noAlarm
}

func works(kind alarmKind, tid int32) bool {
	if kind == atReturn && breakpointLength == 0 {
		return false
	}
	// Where there is no interrupt for it, the signal is sent by the next tick (kernel/irq_work.c).
	const patience = 50 * time.Millisecond
	a, err := setAlarm(kind, tid, uint64(reflect.ValueOf(landmark).Pointer()), tid)
	if err != nil {
		return false
	}
	defer a.close()
	landmark()
	if kind == atRun {
		sleepBriefly := unix.Timespec{Nsec: 1000}
		unix.Nanosleep(&sleepBriefly, nil)
	}
	told := hasFired(a.fd) && raw.TakeWithin(lookoutSignals, patience)
	a.silence()
	for raw.TakePending(lookoutSignals) { // a switch back
	}
	return told
}

// landmark is where a breakpoint is tried.
//
//go:noinline
func landmark() {}

// setAlarm sets an alarm for thread tid, which sleeps in a call that returns to pc. Thread owner is told.
func setAlarm(kind alarmKind, tid int32, pc uint64, owner int32) (a alarm, err error) {
	const (
		anyCPU  = -1
		noGroup = -1
		setSig  = 10 // F_SETSIG
	)
	a.kind = kind
	if a.fd, err = unix.PerfEventOpen(kind.event(pc), int(tid), anyCPU, noGroup, unix.PERF_FLAG_FD_CLOEXEC); err != nil {
		return alarm{}, fmt.Errorf("open an alarm: %w", err)
	}
	defer func() {
		if err != nil {
			a.close()
			err = fmt.Errorf("set an alarm: %w", err)
		}
	}()
	if kind == atRun {
		// Without PROT_WRITE old records are overwritten. The first page is not one of records.
		if a.ring, err = unix.Mmap(a.fd, 0, 2*unix.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return a, err
		}
	}
	if _, err = unix.FcntlInt(uintptr(a.fd), setSig, fireSignal); err != nil {
		return a, err
	}
	if err = raw.SetOwner(a.fd, owner); err != nil {
		return a, err
	}
	if _, err = unix.FcntlInt(uintptr(a.fd), unix.F_SETFL, unix.O_ASYNC); err != nil {
		return a, err
	}
	if kind == atReturn {
		return a, unix.IoctlSetInt(a.fd, unix.PERF_EVENT_IOC_REFRESH, 1) // for once
	}
	return a, unix.IoctlSetInt(a.fd, unix.PERF_EVENT_IOC_ENABLE, 0)
}

// event is the event of an alarm, not set yet, whose count is not 0 once it has fired.
func (kind alarmKind) event(pc uint64) *unix.PerfEventAttr {
	const (
		sizeVer1 = 72 // PERF_ATTR_SIZE_VER1: as far as bp_len, for any kernel
		execute  = 4  // HW_BREAKPOINT_X
		bits     = unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv
	)
	if kind == atReturn {
		return &unix.PerfEventAttr{
			Type:    unix.PERF_TYPE_BREAKPOINT,
			Size:    sizeVer1,
			Sample:  1, // each time
			Bits:    bits,
			Wakeup:  1,
			Bp_type: execute,
			Ext1:    pc,               // bp_addr
			Ext2:    breakpointLength, // bp_len
		}
	}
	return &unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_TASK_CLOCK,
		Size:   sizeVer1,
		Bits:   bits | unix.PerfBitContextSwitch | unix.PerfBitWatermark,
		Wakeup: 1, // byte of records
	}
}

// silence has the alarm send no more signals. It may be the zero alarm.
func (a alarm) silence() {
	if a.kind == atRun {
		unix.IoctlSetInt(a.fd, unix.PERF_EVENT_IOC_DISABLE, 0)
	}
}

// close removes the alarm. It may be the zero alarm.
func (a alarm) close() {
	if a.kind == noAlarm {
		return
	}
	if a.ring != nil {
		unix.Munmap(a.ring)
	}
	unix.Close(a.fd)
}

// hasFired reports whether an alarm has fired.
func hasFired(fd int) bool {
	var count [8]byte
	n, err := unix.Read(fd, count[:])
	return err != nil || n != len(count) || binary.NativeEndian.Uint64(count[:]) > 0
}

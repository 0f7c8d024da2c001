package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
	"sysprof/syscalltab"
)

// An interrupt makes a call that sleeps begin again (see hideInterrupt), and one that waits with a timeout but has no
// restart block (epoll_wait, recv with SO_RCVTIMEO, sigtimedwait, semtimedop: signal(7)) then waits for all of it
// again. A program that is attached to often enough would never time out. Others return what they have done so far (a
// write of much, recv with MSG_WAITALL, io_uring_enter), which cannot be hidden at all.
//
// So a thread that sleeps in such a call is seized and left asleep. A breakpoint waits for it where its call returns
// to: a perf event of its own (perf_event_open(2), PERF_TYPE_BREAKPOINT), which fires once and tells the lookout by a
// signal (F_SETSIG), without any effect on the thread. Only then is the thread interrupted. What it calls until that
// arrives is not seen, nor what one calls that wakes while others are still being attached to: it would have to stand
// still until all are. Whatever else becomes of a sleeper (a signal for it, its death) is a stop, or
// an end, as that of any other tracee. At the end of a run sleepers sleep on (see settle).
//
// Measured on Linux 6.18 in a virtual machine: opening and closing a breakpoint takes 12 µs. A CPU has four of them
// for each thread.
//
// There may be no breakpoint: the kernel, or whoever guards a container, can refuse perf_event_open; debuggers may have
// taken all; the architecture may have none (riscv64), or the hypervisor takes debug registers and lets none fire, as
// one was seen to; or there are not enough descriptors. Then the thread is interrupted at once, as all others are, and its
// timeout begins again.

// sleep is the call that a thread sleeps in which has been seized without an interrupt.
type sleep struct {
	fd   int // of its breakpoint; 0: it is not left asleep
	abi  syscalltab.ABI
	nr   uint64
	args [6]uint64
	pc   uint64 // where the call returns to

	before asleep // the call, if a signal breaks it off
}

// watch sets a breakpoint for a thread that is about to be seized, if it sleeps in a call that does not go on from
// where it was when it is interrupted. It does so before the seize, since the first breakpoint of a machine waits for
// all CPUs (kernel/events/core.c, account_event: synchronize_rcu), and who has been seized may stand still already.
func (w *worker) watch(tid, pid int32) (s sleep) {
	if breakpointLength == 0 {
		return sleep{}
	}
	call, ok := sleepingCall(tid)
	if !ok {
		return sleep{}
	}
	s.pc, s.before = call.pc, asleepAt(&call)
	s.abi, s.nr, s.args = abiOf(tid, &call), call.nr, call.args
	if s.abi != syscalltab.Unknown {
		s.nr = s.abi.Demultiplex(call.nr, &call.args)
	}
	// Who is in state D is not interrupted, and T has been already.
	if isUnharmed(tid, pid, s.abi, s.nr, &call.args) || stateOf(tid) != 'S' {
		return sleep{}
	}
	if s.abi == syscalltab.Unknown {
		s.abi = w.t.native
	}
	var err error
	if s.fd, err = w.t.lookout.open(w, tid, s.pc); err != nil {
		return sleep{}
	}
	return s
}

// letSleep has tr, which has just been seized, sleep on until its call returns. It reports false if tr has to be
// interrupted at once: there is no breakpoint, or tr was awake before there was.
func (w *worker) letSleep(tr *tracee, s sleep) bool {
	if s.fd == 0 {
		return false
	}
	call, asleep := sleepingCall(tr.call.TID)
	if !asleep || call.pc != s.pc || call.nr != s.abi.KernelNumber(s.nr) || hasFired(s.fd) {
		w.t.lookout.close(s.fd)
		return false
	}
	tr.sleep = s
	return true
}

// woke is told that the call of a sleeper has returned.
func (w *worker) woke(tid int32, fd int) {
	tr := w.table.tracees[tid]
	if tr == nil || tr.sleep.fd != fd || !hasFired(fd) {
		return // the signal was on its way when the sleeper had stopped, or another thread got the descriptor
	}
	if w.t.run.is() < counting {
		return // it would stand still until all have been attached to: then wakeFirst asks again
	}
	tr.restart.sinceNs = w.t.now()
	w.interrupt(tr)
}

// wakeAll is woke for all sleepers whose calls have returned.
func (w *worker) wakeAll() {
	for tid, tr := range w.table.tracees {
		if tr.sleep.fd != 0 {
			w.woke(tid, tr.sleep.fd)
		}
	}
}

// wakeFirst is wakeAll for those who have woken up while others were attached to, some of them long ago: who is in such
// a call again is left asleep again. (Later that would not do: one that never runs for long would never be traced.)
func (w *worker) wakeFirst() {
	if w.t.run.is() != counting {
		return
	}
	for tid, tr := range w.table.tracees {
		if tr.sleep.fd == 0 || !hasFired(tr.sleep.fd) {
			continue
		}
		tr.restart.sinceNs = w.t.now()
		again := w.watch(tid, tr.call.PID)
		w.isAwake(tr)
		if !w.letSleep(tr, again) {
			w.interrupt(tr)
		}
	}
}

// isAwake is told that tr is not left asleep any more, if it was.
func (w *worker) isAwake(tr *tracee) {
	if tr.sleep.fd != 0 {
		w.t.lookout.close(tr.sleep.fd)
		tr.sleep.fd = 0
	}
}

// sleeps reports whether tr is still in the call in which it was found asleep.
func (tr *tracee) sleeps() bool { return tr.sleep.fd != 0 && !hasFired(tr.sleep.fd) }

// lookout is told by breakpoints that the calls of sleepers have returned, and tells their workers. It has a thread
// of its own, which exists once there is a sleeper.
type lookout struct {
	mu    sync.Mutex // guards what follows
	tid   int32      // of its thread; 0: there is none
	vain  error      // why there can be none
	gone  chan struct{}
	quit  bool
	posts map[int]post // by the descriptor of the breakpoint
	files *quota       // breakpoints at a time
}

// post is where a sleeper's wake is to be told.
type post struct {
	w   *worker
	tid int32
}

// fireSignal is what breakpoints send. It is blocked in the lookout's thread, and sent to no other.
const fireSignal = raw.LastSignal - 1

// overflowSignal comes instead if too many signals wait for the user (fcntl(2), F_SETSIG; RLIMIT_SIGPENDING).
const overflowSignal = unix.SIGIO

// open sets a breakpoint for a thread of a worker's.
func (l *lookout) open(w *worker, tid int32, pc uint64) (fd int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.start(); err != nil {
		return 0, err
	}
	if !l.files.take() {
		return 0, unix.EMFILE
	}
	defer func() {
		if err != nil {
			l.files.give()
		}
	}()
	fd, err = openBreakpoint(tid, pc)
	if err != nil {
		return 0, fmt.Errorf("open a breakpoint: %w", err)
	}
	if err := arm(fd, l.tid); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("set a breakpoint: %w", err)
	}
	l.posts[fd] = post{w, tid}
	l.makeRoom(fd)
	return fd, nil
}

// makeRoom has the process's table of descriptors grow once where it would else do so again and again: each time waits
// for all CPUs (fs/file.c, expand_fdtable: synchronize_rcu), some 10 ms.
//
// Precondition: l.mu is locked.
func (l *lookout) makeRoom(fd int) {
	const few, room = 24, 4096
	if len(l.posts) == few {
		if high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, min(room, 2*int(l.files.most))-1); err == nil {
			unix.Close(high)
		}
	}
}

// close removes a breakpoint, unless fd is 0.
func (l *lookout) close(fd int) {
	if fd == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.posts, fd)
	unix.Close(fd)
	l.files.give()
}

// start starts the thread, if it has not been yet.
//
// Precondition: l.mu is locked.
func (l *lookout) start() error {
	if l.tid != 0 || l.vain != nil {
		return l.vain
	}
	l.posts = make(map[int]post)
	l.gone = make(chan struct{})
	started := make(chan error)
	onOwnThread(func() {
		l.tid = int32(unix.Gettid())
		err := errors.Join(raw.Block(fireSignal), raw.Block(overflowSignal), tryBreakpoint(l.tid))
		started <- err
		if err == nil {
			l.run()
		}
	}, func() { close(l.gone) })
	if err := <-started; err != nil {
		l.tid, l.vain = 0, fmt.Errorf("be told by breakpoints: %w", err)
	}
	return l.vain
}

const lookoutSignals = 1<<(fireSignal-1) | 1<<(overflowSignal-1)

// run tells the workers of what fires until it is to quit.
func (l *lookout) run() {
	info := new(raw.SignalInfo)
	for {
		sig, err := raw.WaitSignal(lookoutSignals, info)
		if err != nil {
			continue // EINTR: by a signal of another kind
		}
		l.mu.Lock()
		if l.quit {
			l.mu.Unlock()
			return
		}
		if sig == overflowSignal {
			l.tellAll()
		} else if p, ok := l.posts[info.Descriptor()]; ok {
			fd := info.Descriptor()
			p.w.thread.post(func() { p.w.woke(p.tid, fd) })
		}
		l.mu.Unlock()
	}
}

// tellAll has all workers look after their sleepers.
//
// Precondition: l.mu is locked.
func (l *lookout) tellAll() {
	told := make(map[*worker]bool)
	for _, p := range l.posts {
		if !told[p.w] {
			told[p.w] = true
			p.w.thread.post(p.w.wakeAll)
		}
	}
}

// stop ends the thread.
//
// Precondition: no worker works any more.
func (l *lookout) stop() {
	l.mu.Lock()
	l.quit = true
	tid := l.tid
	l.mu.Unlock()
	if tid != 0 {
		unix.Tgkill(unix.Getpid(), int(tid), fireSignal)
		<-l.gone
	}
}

// openBreakpoint makes a breakpoint for a thread, which counts how often the thread has come to pc. It is not set yet.
func openBreakpoint(tid int32, pc uint64) (fd int, err error) {
	const (
		sizeVer1 = 72 // PERF_ATTR_SIZE_VER1: as far as bp_len, for any kernel
		execute  = 4  // HW_BREAKPOINT_X
		anyCPU   = -1
		noGroup  = -1
	)
	attr := unix.PerfEventAttr{
		Type:    unix.PERF_TYPE_BREAKPOINT,
		Size:    sizeVer1,
		Sample:  1, // each time
		Bits:    unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
		Wakeup:  1,
		Bp_type: execute,
		Ext1:    pc,               // bp_addr
		Ext2:    breakpointLength, // bp_len
	}
	return unix.PerfEventOpen(&attr, int(tid), anyCPU, noGroup, unix.PERF_FLAG_FD_CLOEXEC)
}

// tryBreakpoint has the calling thread, tid, come to a breakpoint. It is an error if that does not fire.
func tryBreakpoint(tid int32) error {
	fd, err := openBreakpoint(tid, uint64(reflect.ValueOf(comeHere).Pointer()))
	if err != nil {
		return fmt.Errorf("open a breakpoint: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return fmt.Errorf("set a breakpoint: %w", err)
	}
	comeHere()
	if !hasFired(fd) {
		return errors.New("breakpoints do not fire on this machine")
	}
	return nil
}

//go:noinline
func comeHere() {}

// arm sets a breakpoint for once, and has thread tid be told of it.
func arm(fd int, tid int32) error {
	const setSig = 10 // F_SETSIG
	if _, err := unix.FcntlInt(uintptr(fd), setSig, fireSignal); err != nil {
		return err
	}
	if err := raw.SetOwner(fd, tid); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_ASYNC); err != nil {
		return err
	}
	return unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_REFRESH, 1)
}

// hasFired reports whether the thread of a breakpoint has come there.
func hasFired(fd int) bool {
	var count [8]byte
	n, err := unix.Read(fd, count[:])
	return err != nil || n != len(count) || binary.NativeEndian.Uint64(count[:]) > 0
}

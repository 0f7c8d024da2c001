package ptrace

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// lookout is told by alarms that the calls of sleepers have returned, and tells their workers. It has a thread
// of its own, which exists once there is a sleeper.
type lookout struct {
	mu    sync.Mutex // guards what follows
	tid   int32      // of its thread; 0: there is none
	gone  chan struct{}
	quit  bool
	kind  alarmKind    // of alarms; noAlarm if none works here
	posts map[int]post // by the descriptor of the alarm
	files *quota       // alarms at a time
}

// post is where a sleeper's wake is to be told.
type post struct {
	w     *worker
	tid   int32
	alarm alarm
}

// fireSignal is what alarms send. It is blocked in the lookout's thread, and sent to no other.
const fireSignal = raw.LastSignal - 1

// overflowSignal comes instead if too many signals wait for the user (fcntl(2), F_SETSIG; RLIMIT_SIGPENDING).
const overflowSignal = unix.SIGIO

// open sets an alarm for a thread of a worker's, which sleeps in a call that returns to pc.
func (l *lookout) open(w *worker, tid int32, pc uint64) (fd int, kind alarmKind, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quit { // it is attached to while the run ends: a thread that was started now would not be ended by anybody
		return 0, noAlarm, unix.ECANCELED
	}
	if err := l.start(); err != nil {
		return 0, noAlarm, err
	}
	if l.kind == noAlarm {
		return 0, noAlarm, unix.EOPNOTSUPP
	}
	if !l.files.take() {
		return 0, noAlarm, unix.EMFILE
	}
	a, err := setAlarm(l.kind, tid, pc, l.tid)
	if err != nil {
		l.files.give()
		return 0, noAlarm, err
	}
	l.posts[a.fd] = post{w, tid, a}
	l.makeRoom(a.fd)
	return a.fd, a.kind, nil
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

// close removes an alarm, unless fd is 0.
func (l *lookout) close(fd int) {
	if fd == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts[fd].alarm.close()
	delete(l.posts, fd)
	l.files.give()
}

// start starts the thread, if it has not been yet.
//
// Precondition: l.mu is locked.
func (l *lookout) start() error {
	if l.tid != 0 {
		return nil
	}
	l.posts = make(map[int]post)
	l.gone = make(chan struct{})
	started := make(chan error)
	onOwnThread(func() {
		l.tid = int32(unix.Gettid())
		err := errors.Join(raw.Block(fireSignal), raw.Block(overflowSignal))
		if err == nil {
			l.kind = workingAlarm(l.tid)
		}
		started <- err
		if err == nil {
			l.run()
		}
	}, func() { close(l.gone) })
	if err := <-started; err != nil {
		l.tid = 0
		return fmt.Errorf("block the signals of alarms: %w", err)
	}
	return nil
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
		} else if p, ok := l.posts[info.Descriptor()]; ok && hasFired(p.alarm.fd) {
			// (Else the signal is of an alarm that was closed meanwhile, whose descriptor another one has now.)
			fd := info.Descriptor()
			p.alarm.silence()
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

package ptrace_test

import (
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter is a thread of the target "waiters", in one call.
type waiter struct {
	sleeper
	Args  [6]uintptr
	Timed bool // it ends by its timeout; else when the target is told to finish
	Left  bool // it must not be interrupted
}

// waited is what became of it.
type waited struct {
	Ret    int
	Errno  int
	Lasted time.Duration
}

// The target has a thread in each of many calls with a timeout of so many milliseconds, and in some that return what
// they have done so far. It tells of them, and, asked, how those went that are over.
var _ = target("waiters", func(_ *ledger, args []string) {
	debug.SetGCPercent(-1)
	signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1)
	ms, err := strconv.Atoi(args[0])
	must(err)
	all, finish := waiters(ms)
	var mu sync.Mutex
	results := map[string]waited{}
	var started sync.WaitGroup
	for i := range all {
		w := &all[i]
		started.Add(1)
		locked(func() {
			w.TID = unix.Gettid()
			a := w.Args
			started.Done()
			begin := time.Now()
			r, _, errno := syscall.Syscall6(uintptr(w.Nr), a[0], a[1], a[2], a[3], a[4], a[5])
			result := waited{int(r), int(errno), time.Since(begin)}
			mu.Lock()
			results[w.Name] = result
			mu.Unlock()
			select {}
		})
	}
	started.Wait()
	reply(all)
	serve(func(line string) any {
		switch line {
		case "finish":
			finish()
		case "exit":
			os.Exit(0)
		case "exec":
			must(os.Setenv(targetEnv, "server"))
			must(syscall.Exec(self(), []string{"server"}, os.Environ()))
		}
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(results)
	})
})

// waiters prepares the calls of the target. Finish has those end that have no timeout.
func waiters(ms int) (all []waiter, finish func()) {
	ts := unix.NsecToTimespec(int64(ms) * 1e6)
	tv := unix.NsecToTimeval(int64(ms) * 1e6)
	ptr := func(p unsafe.Pointer) uintptr { return uintptr(p) } // all that it is given escapes, and is kept
	add := func(name string, timed, left bool, nr int, args ...uintptr) {
		w := waiter{sleeper: sleeper{Name: name, Nr: nr}, Timed: timed, Left: left}
		copy(w.Args[:], args)
		all = append(all, w)
	}
	pair := func() (a, b uintptr) {
		sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(err)
		must(unix.SetsockoptTimeval(sv[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
		must(unix.SetsockoptTimeval(sv[0], unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
		return uintptr(sv[0]), uintptr(sv[1])
	}
	k := &struct {
		buf, big []byte
		event    [16]byte
		set      uint64
		word     uint32
		op       struct {
			num    uint16
			op, fl int16
		}
		ts   [4]unix.Timespec
		poll unix.PollFd
	}{buf: make([]byte, 64), big: make([]byte, 1<<20), set: 1 << (unix.SIGUSR2 - 1)}
	k.op.op = -1
	for i := range k.ts {
		k.ts[i] = ts
	}
	finishes := []func(){func() { runtime.KeepAlive(k) }}
	buf, event, time0 := ptr(unsafe.Pointer(&k.buf[0])), ptr(unsafe.Pointer(&k.event)), ptr(unsafe.Pointer(&k.ts[0]))

	ep, err := unix.EpollCreate1(0)
	must(err)
	add("epoll_pwait", true, true, unix.SYS_EPOLL_PWAIT, uintptr(ep), event, 1, uintptr(ms))
	add("epoll_pwait2", true, true, unix.SYS_EPOLL_PWAIT2, uintptr(ep), event, 1, time0, 0, 8)
	a, _ := pair()
	add("recvfrom", true, true, unix.SYS_RECVFROM, a, buf, 1)
	a, _ = pair()
	add("read of a socket", true, true, unix.SYS_READ, a, buf, 1)
	a, _ = pair()
	for unix.Sendto(int(a), k.big[:4096], unix.MSG_DONTWAIT, nil) == nil {
	}
	add("sendto", true, true, unix.SYS_SENDTO, a, ptr(unsafe.Pointer(&k.big[0])), 4096)
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(listener, &unix.SockaddrUnix{}))
	must(unix.Listen(listener, 1))
	must(unix.SetsockoptTimeval(listener, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	add("accept4", true, true, unix.SYS_ACCEPT4, uintptr(listener))
	add("rt_sigtimedwait", true, true, unix.SYS_RT_SIGTIMEDWAIT, ptr(unsafe.Pointer(&k.set)), 0, time0, 8)
	sem, _, errno := syscall.Syscall(unix.SYS_SEMGET, 0, 1, 0o600)
	if errno == 0 {
		add("semtimedop", true, true, unix.SYS_SEMTIMEDOP, sem, ptr(unsafe.Pointer(&k.op)), 1, time0)
	}
	aio := new(uintptr)
	if _, _, errno := syscall.Syscall(unix.SYS_IO_SETUP, 1, ptr(unsafe.Pointer(aio)), 0); errno == 0 {
		add("io_getevents", true, true, unix.SYS_IO_GETEVENTS, *aio, 1, 1, ptr(unsafe.Pointer(&k.big[0])), time0)
	}
	params := new([30]uint32)
	if ring, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, 1, ptr(unsafe.Pointer(params)), 0); errno == 0 {
		const wait, extended = 1, 1 << 3
		argument := &[3]uint64{0, 8, uint64(time0)}
		finishes = append(finishes, func() { runtime.KeepAlive(argument) })
		add("io_uring_enter", true, true, unix.SYS_IO_URING_ENTER, ring, 0, 1, wait|extended, ptr(unsafe.Pointer(argument)), 24)
	}

	add("nanosleep", true, false, unix.SYS_NANOSLEEP, time0)
	add("ppoll", true, false, unix.SYS_PPOLL, 0, 0, ptr(unsafe.Pointer(&k.ts[1])))
	add("pselect6", true, false, unix.SYS_PSELECT6, 0, 0, 0, 0, ptr(unsafe.Pointer(&k.ts[2])))
	add("futex", true, false, unix.SYS_FUTEX, ptr(unsafe.Pointer(&k.word)), 0, 0, time0)

	sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Sendto(sv[1], []byte("ab"), 0, nil))
	add("recvfrom with MSG_WAITALL", false, true, unix.SYS_RECVFROM, uintptr(sv[0]), ptr(unsafe.Pointer(&k.buf[8])), 4, unix.MSG_WAITALL)
	var pipe [2]int
	must(unix.Pipe2(pipe[:], 0))
	add("write of much", false, true, unix.SYS_WRITE, uintptr(pipe[1]), ptr(unsafe.Pointer(&k.big[0])), uintptr(len(k.big)))
	plain, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	add("recvfrom without a timeout", false, false, unix.SYS_RECVFROM, uintptr(plain[0]), ptr(unsafe.Pointer(&k.buf[16])), 4)
	return all, func() {
		must(unix.Sendto(sv[1], []byte("cd"), 0, nil))
		must(unix.Sendto(plain[1], []byte("ef"), 0, nil))
		go func() { // there is less if the write has returned already
			for drain := make([]byte, 1<<16); ; {
				unix.Read(pipe[0], drain)
			}
		}()
		for _, f := range finishes {
			f()
		}
	}
}

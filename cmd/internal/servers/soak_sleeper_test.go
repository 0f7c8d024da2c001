package servers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// sleptWell is what has become of the sleeper's calls: how many there were, and the names of those that went wrong.
type sleptWell struct {
	Calls       int
	Interrupted []string // EINTR, though there was no signal
	Early       []string // before their time
}

// wait is a call that takes some time, unless something is wrong.
type wait struct {
	name  string
	args  []uintptr // with the number first
	takes time.Duration
}

// The target is threads that do nothing but wait, each by another call, and sees if one returns before its time or
// because of a signal, of which there are none. Asked, it tells what it saw since the last time.
var _ = drive.Target("sleeper", func(args []string) {
	var mu sync.Mutex
	var seen sleptWell
	var started sync.WaitGroup
	for _, w := range waits() {
		started.Add(1)
		go func() {
			runtime.LockOSThread()
			started.Done()
			for {
				begin := time.Now()
				errno := w.make()
				took := time.Since(begin)
				mu.Lock()
				seen.Calls++
				if errno == unix.EINTR {
					seen.Interrupted = append(seen.Interrupted, w.name)
				} else if took < w.takes {
					seen.Early = append(seen.Early, fmt.Sprintf("%s after %v (%v)", w.name, took, errno))
				}
				mu.Unlock()
			}
		}()
	}
	started.Wait()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		mu.Lock()
		data, err := json.Marshal(seen)
		seen = sleptWell{}
		mu.Unlock()
		drive.Must(err)
		fmt.Println(string(data))
	}
})

// make makes the call. The kernel may write to a timeout, so each call has its own.
func (w *wait) make() unix.Errno {
	left := unix.NsecToTimespec(int64(w.takes))
	var a [7]uintptr
	copy(a[:], w.args)
	for i := range a {
		if a[i] == timeout {
			a[i] = uintptr(unsafe.Pointer(&left))
		}
	}
	_, _, errno := syscall.Syscall6(a[0], a[1], a[2], a[3], a[4], a[5], a[6])
	return errno
}

// timeout stands for the address of a timeout in the arguments of a wait.
const timeout = ^uintptr(12344)

// waits returns the waits of the sleeper, and what they need.
func waits() []wait {
	const length = 10 * time.Millisecond
	lived := &struct { // by the whole process
		event unix.EpollEvent
		word  uint32
		set   uint64
		read  [1]byte
	}{set: 1 << (unix.SIGUSR1 - 1)}
	at := func(p unsafe.Pointer) uintptr { return uintptr(p) }
	ep, err := unix.EpollCreate1(0)
	drive.Must(err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	drive.Must(err)
	limit := unix.NsecToTimeval(int64(length))
	drive.Must(unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	drive.Must(err)
	drive.Must(unix.Bind(listener, &unix.SockaddrUnix{}))
	drive.Must(unix.Listen(listener, 1))
	drive.Must(unix.SetsockoptTimeval(listener, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	var pipe [2]int
	drive.Must(unix.Pipe(pipe[:]))
	go func() {
		for ; ; time.Sleep(length) {
			unix.Write(pipe[1], []byte{0})
		}
	}()
	sleepers = lived // kept from the garbage collector
	const millis = uintptr(length / time.Millisecond)
	return []wait{
		{"epoll_pwait", []uintptr{unix.SYS_EPOLL_PWAIT, uintptr(ep), at(unsafe.Pointer(&lived.event)), 1, millis}, length},
		{"ppoll", []uintptr{unix.SYS_PPOLL, 0, 0, timeout}, length},
		{"pselect6", []uintptr{unix.SYS_PSELECT6, 0, 0, 0, 0, timeout}, length},
		{"nanosleep", []uintptr{unix.SYS_NANOSLEEP, timeout}, length},
		{"clock_nanosleep", []uintptr{unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, timeout}, length},
		{"futex", []uintptr{unix.SYS_FUTEX, at(unsafe.Pointer(&lived.word)), 0, 0, timeout}, length},
		{"rt_sigtimedwait", []uintptr{unix.SYS_RT_SIGTIMEDWAIT, at(unsafe.Pointer(&lived.set)), 0, timeout, 8}, length},
		// A socket's timeout is counted in ticks of the kernel, and begins within one.
		{"recvfrom", []uintptr{unix.SYS_RECVFROM, uintptr(pair[0]), at(unsafe.Pointer(&lived.read)), 1}, 0},
		{"accept4", []uintptr{unix.SYS_ACCEPT4, uintptr(listener)}, 0},
		{"read", []uintptr{unix.SYS_READ, uintptr(pipe[0]), at(unsafe.Pointer(&lived.read)), 1}, 0},
	}
}

// sleepers is memory that calls of the sleeper name by its address.
var sleepers any

// Command bare is a target of package ptrace's tests that does what Go itself never does: calls in
// the 32-bit ABI from 64-bit code, a vfork whose child sleeps, handlers that are not the runtime's.
// It prints what it did as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func int80(nr uint32) int32
func vforkRead(fd uintptr, buf *byte) int
func chain(stop *uint32, stack *byte, calls uint64)
func handlerPC() uintptr
func restorerPC() uintptr

var (
	handled uint64 // calls of the handler
	mixed   uint64 // the values that they got
	code    int64  // the last si_code
)

// result is what the test compares.
type result struct {
	Handled, Mixed, Want uint64
	Code                 int64
	Interrupted          int // calls that returned EINTR
	Parts                []result
}

func main() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(4)
	time.AfterFunc(2*time.Minute, func() { os.Exit(99) })
	var r result
	switch os.Args[1] {
	case "int80":
		for range 25 {
			int80(64) // getppid
		}
		for range 5 {
			int80(7777)
		}
		for range 40 {
			syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
		}
	case "vfork":
		fmt.Println(syscall.Gettid())
		vforkRead(0, new(byte))
		fmt.Println("vfork has returned")
		b := make([]byte, 1)
		for n, _ := os.Stdin.Read(b); n == 1; n, _ = os.Stdin.Read(b) {
		}
	case "signals":
		r = signals()
	case "chains":
		var all uint64
		all--
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
		stop, stacks := new(uint32), new([4][64]byte)
		calls, _ := strconv.ParseUint(os.Args[2], 10, 64)
		for i := range stacks {
			chain(stop, &stacks[i][48], calls)
		}
		fmt.Println("ready")
		os.Stdin.Read(make([]byte, 1))
		atomic.StoreUint32(stop, 1)
	}
	data, _ := json.Marshal(r)
	if file := os.Getenv("SYSPROF_TEST_LEDGER"); file != "" {
		if err := os.WriteFile(file, data, 0o666); err != nil {
			panic(err)
		}
	} else {
		fmt.Println(string(data))
	}
}

const (
	saSiginfo, saOnstack, saRestorer, saRestart = 4, 0x08000000, 0x04000000, 0x10000000
	sigRealTime                                 = syscall.Signal(40)
	siQueue                                     = -1
)

// handle installs the handler, and forgets what it has counted.
func handle(sig syscall.Signal, flags uint64) {
	action := [4]uint64{uint64(handlerPC()), saSiginfo | saOnstack | saRestorer | flags, uint64(restorerPC()), 0}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	handled, mixed, code = 0, 0, 0
}

func seen() uint64 { return atomic.LoadUint64(&handled) }

// queue sends sig with a value to the calling thread.
func queue(sig syscall.Signal, value uint64) {
	var info [16]uint64
	*(*int32)(unsafe.Pointer(&info[0])) = int32(sig)
	code := int32(siQueue)
	*(*int32)(unsafe.Add(unsafe.Pointer(&info[0]), 8)) = code
	info[3] = value
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_TGSIGQUEUEINFO, uintptr(syscall.Getpid()), uintptr(syscall.Gettid()),
		uintptr(sig), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		panic(errno)
	}
}

func mask(how int, sig syscall.Signal) {
	set := uint64(1) << (sig - 1)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
}

// part ends one part with what was counted.
func part(want uint64, interrupted int) result {
	return result{Handled: seen(), Mixed: mixed, Code: code, Want: want, Interrupted: interrupted}
}

func signals() (all result) {
	// One by one, with values.
	handle(syscall.SIGUSR1, 0)
	for i := range uint64(500) {
		queue(syscall.SIGUSR1, i<<32|7)
	}
	all.Parts = append(all.Parts, part(500, 0))

	// Real-time signals that pile up while they are blocked.
	handle(sigRealTime, 0)
	const block, unblock = 0, 1
	mask(block, sigRealTime)
	for i := range uint64(100) {
		queue(sigRealTime, i+1)
	}
	mask(unblock, sigRealTime)
	all.Parts = append(all.Parts, part(100, 0))

	// A standard signal that is sent again while it is pending is one signal.
	handle(syscall.SIGUSR1, 0)
	mask(block, syscall.SIGUSR1)
	for range 10 {
		queue(syscall.SIGUSR1, 3)
	}
	mask(unblock, syscall.SIGUSR1)
	all.Parts = append(all.Parts, part(1, 0))

	// Ends of children, one at a time, with their exit statuses.
	handle(syscall.SIGCHLD, saRestart)
	for i := range uint64(30) {
		pid := fork(uintptr(i))
		for seen() != i+1 {
			runtime.Gosched()
		}
		var status syscall.WaitStatus
		syscall.Wait4(pid, &status, 0, nil)
	}
	all.Parts = append(all.Parts, part(30, 0))

	// A handler that interrupts a read, with and without SA_RESTART.
	for _, flags := range []uint64{0, saRestart} {
		handle(syscall.SIGUSR1, flags)
		all.Parts = append(all.Parts, part(20, interruptReads(20, flags == 0)))
		all.Parts[len(all.Parts)-1].Handled = seen()
		all.Parts[len(all.Parts)-1].Mixed = 0
	}
	return all
}

// fork starts a child that ends at once.
//
//go:noinline
func fork(status uintptr) int {
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
		}
	}
	return int(pid)
}

// interruptReads sends n signals to this thread, each while it sleeps in a read, and returns how
// many reads said EINTR.
func interruptReads(n int, each bool) (interrupted int) {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	tid := syscall.Gettid()
	go func() {
		runtime.LockOSThread()
		for i := range n {
			for seen() != uint64(i) || !asleepInRead(tid, pipe[0]) {
				runtime.Gosched()
			}
			syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(tid), uintptr(syscall.SIGUSR1))
			for seen() == uint64(i) {
				runtime.Gosched()
			}
		}
		for !asleepInRead(tid, pipe[0]) {
			runtime.Gosched()
		}
		syscall.Write(pipe[1], []byte{0})
	}()
	for {
		b := make([]byte, 1)
		switch n, err := syscall.Read(pipe[0], b); {
		case err == syscall.EINTR:
			interrupted++
		case n == 1 && err == nil:
			return interrupted
		default:
			panic(err)
		}
	}
}

func asleepInRead(tid, fd int) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
	state, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	return strings.HasPrefix(string(data), fmt.Sprintf("0 0x%x ", fd)) && strings.Contains(string(state), "S (sleeping)")
}

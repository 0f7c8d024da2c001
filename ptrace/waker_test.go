package ptrace_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

const pingPongs = 200

// Two threads that wake each other by turns. The reads have no other size than 3, and no other call has.
var _ = target("pingpong", func(l *ledger, args []string) {
	var ping, pong [2]int
	must(unix.Pipe(ping[:]))
	must(unix.Pipe(pong[:]))
	done := make(chan struct{})
	turn := func(from, to int, first bool) {
		runtime.LockOSThread()
		buf := make([]byte, 3)
		for range pingPongs {
			if first {
				unix.Write(to, buf)
			}
			unix.Read(from, buf)
			if !first {
				unix.Write(to, buf)
			}
		}
	}
	go func() {
		turn(ping[0], pong[1], false)
		close(done)
	}()
	turn(pong[0], ping[1], true)
	<-done
})

// A thread that sleeps until somebody writes who is not traced, while another thread writes all the time.
var _ = target("woken from outside", func(l *ledger, args []string) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(err)
	from, err := strconv.Atoi(args[0])
	must(err)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		buf := make([]byte, 3)
		for {
			if n, _ := unix.Read(from, buf); n <= 0 {
				return
			}
			unix.Nanosleep(&unix.Timespec{Nsec: 200_000}, nil)
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			unix.Write(int(null.Fd()), []byte{1})
			unix.Getppid()
			unix.Getppid()
			unix.Getppid()
		}
	}
})

// readsOfThree counts the calls read(2) of three bytes, and how many of them a traced thread has ended.
func readsOfThree(calls []profile.Call) (all, woken int) {
	for i := range calls {
		if c := &calls[i]; c.Nr == unix.SYS_READ && c.Args[2] == 3 {
			all++
			if c.Woken {
				woken++
			}
		}
	}
	return all, woken
}

func TestWokenByATracedThread(t *testing.T) {
	_, r, _ := launch(t, "pingpong")
	all, woken := readsOfThree(r.calls)
	// A read that finds something does not sleep: that may be every other one.
	if all != 2*pingPongs || woken < all*4/10 {
		t.Errorf("%d of %d reads were ended by the other thread, want %d", woken, all, 2*pingPongs)
	}
}

func TestWokenFromOutside(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETFD, 0) // the tracee inherits its end
	file := filepath.Join(t.TempDir(), "ledger")
	tracer, r := trace(t, ptrace.Options{Command: targetCommand(file, "woken from outside", strconv.Itoa(fds[0])), Follow: true})
	unix.Close(fds[0])
	for range pingPongs {
		unix.Write(fds[1], []byte("abc"))
		time.Sleep(500 * time.Microsecond)
	}
	unix.Close(fds[1])
	finish(t, tracer)
	if all, woken := readsOfThree(r.calls); all == 0 || woken > all*7/10 {
		t.Errorf("%d of %d reads were ended by a traced thread, they say; it was a program that is not traced", woken, all)
	}
	for i := range r.calls {
		if c := &r.calls[i]; c.Woken && (c.Nr == unix.SYS_NANOSLEEP || c.Nr == unix.SYS_CLOCK_NANOSLEEP) {
			t.Fatal("nobody but the clock wakes a nanosleep")
		}
	}
}

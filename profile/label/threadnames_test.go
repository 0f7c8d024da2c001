package label

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

func ofThread(c *profile.Call) int32 { return c.TID }

func TestThreadName(t *testing.T) {
	l := newThreadNames(newNames(), ofThread).(*threadNames)
	name, err := os.ReadFile("/proc/self/comm")
	check(t, err)
	c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "read")}
	equal(t, "my name", l.names.of(l.value(c)), strings.TrimSpace(string(name)))
	check(t, os.WriteFile("/proc/self/comm", []byte("renamed"), 0))
	defer os.WriteFile("/proc/self/comm", name, 0)
	equal(t, "a kept name", l.names.of(l.value(c)), strings.TrimSpace(string(name)))
	l.returned(&profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "prctl")})
	equal(t, "my new name", l.names.of(l.value(c)), "renamed")
	gone := &profile.Call{PID: 1<<22 + 1, TID: 1<<22 + 1, ABI: native}
	equal(t, "nobody's name", l.names.of(l.value(gone)), "")
}

// TestAnotherThreadGivesTheName, as pthread_setname_np does.
func TestAnotherThreadGivesTheName(t *testing.T) {
	l := newThreadNames(newNames(), ofThread).(*threadNames)
	own, err := os.ReadFile("/proc/self/comm")
	check(t, err)
	defer os.WriteFile("/proc/self/comm", own, 0)
	call := func(name string, args ...uint64) *profile.Call {
		c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, name)}
		copy(c.Args[:], args)
		return c
	}
	check(t, os.WriteFile("/proc/self/comm", []byte("before"), 0))
	equal(t, "the name", l.names.of(l.value(call("read"))), "before")
	fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/comm", pid), unix.O_RDWR|unix.O_CLOEXEC, 0)
	check(t, err)
	opened := call("openat", 0, 0, unix.O_RDWR)
	opened.TID++ // another thread
	opened.Ret = int64(fd)
	l.returned(opened)
	_, err = unix.Write(fd, []byte("after"))
	check(t, err)
	closed := call("close", uint64(fd))
	closed.TID++
	l.returned(closed)
	unix.Close(fd)
	equal(t, "the name after that", l.names.of(l.value(call("read"))), "after")
	if len(l.naming) != 0 || len(l.known) != 1 {
		t.Errorf("%v, %v", l.naming, l.known)
	}
}

// TestTheNameOfAProcess is that of its first thread, whichever thread makes the call.
func TestTheNameOfAProcess(t *testing.T) {
	p, err := Parse("comm,thread_name")
	check(t, err)
	own, err := os.ReadFile("/proc/self/comm")
	check(t, err)
	named, done := make(chan int32), make(chan bool)
	var name func()
	name = func() {
		runtime.LockOSThread() // never unlocked: it has another name
		tid := int32(unix.Gettid())
		if tid == pid { // another goroutine is on another thread as long as this one is here
			go name()
			<-done
			runtime.UnlockOSThread()
			return
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", tid), []byte("other"), 0); err != nil {
			t.Error(err)
		}
		named <- tid
		<-done
	}
	go name()
	tid := <-named
	defer close(done)
	labels := p.Labels(p.Values(&profile.Call{PID: pid, TID: tid, ABI: native, Nr: number(t, "read")}))
	want := []Label{{Name: "comm", Text: strings.TrimSpace(string(own)), IsText: true}, {Name: "thread_name", Text: "other", IsText: true}}
	if !slices.Equal(labels, want) {
		t.Errorf("%v, want %v", labels, want)
	}
}

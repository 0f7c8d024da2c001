package capture

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile/stack"
)

// reading reads what is missing of files on goroutines of their own, and bounds how long tracees, which stand still
// meanwhile, have to wait for that. A file may be on a slow disk, or on FUSE and served by a program that is traced:
// that answers only when nobody waits for it any more.
//
// A stack that needs a file ends there when it has waited for too long. The read goes on, so that later stacks are
// whole. What is in memory already is read at once, and never comes here.
type reading struct {
	mu       sync.Mutex
	running  map[uint32]*underway // by file
	slow     map[uint32]bool      // files that were waited for in vain
	patience time.Duration        // how long may be waited …
	at       time.Time            // … as of then
}

// underway is one read.
type underway struct {
	done   chan struct{}
	thread atomic.Int32 // which reads, 0 before it does
}

const (
	// maxWait is for one read. Opening the largest library takes less than 10 ms where it need not be fetched from a disk. It is
	// waited for longer, as far as patience goes, while the read only wants a CPU: so it is on its way.
	maxWait = 100 * time.Millisecond
	// maxWaitOfNobody is for one read while no tracee waits.
	maxWaitOfNobody = time.Second
	// maxPatience is for all reads in a row, and patienceRegained the part of the time by which it grows again.
	maxPatience      = time.Second
	patienceRegained = 0.01
	// maxReading bounds the goroutines. A hundred reads that do not end are not alone.
	maxReading = 64
)

func newReading() *reading {
	return &reading{running: make(map[uint32]*underway), slow: make(map[uint32]bool), patience: maxPatience, at: time.Now()}
}

// read reads what a stack needs, and reports whether it was there in time. standing says that a tracee stands still meanwhile.
func (r *reading) read(need stack.Need, standing bool) bool {
	r.mu.Lock()
	read, ok := r.start(need)
	begun := time.Now()
	r.patience = min(maxPatience, r.patience+time.Duration(patienceRegained*float64(begun.Sub(r.at))))
	r.at = begun
	most, atMost := maxWait, r.patience
	if !standing {
		most, atMost = maxWaitOfNobody, maxWaitOfNobody
	}
	wait := min(most, atMost)
	if r.slow[need.File()] {
		wait = 0
	}
	r.mu.Unlock()
	if !ok {
		return false
	}
	ok = read.inTime(wait)
	for left := atMost - wait; !ok && wait > 0 && left > 0 && read.wantsCPU(); left -= wait {
		ok = read.inTime(min(wait, left))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if standing {
		r.patience -= time.Since(begun)
	}
	if !ok && wait == most {
		r.slow[need.File()] = true
	}
	return ok
}

// inTime waits for the end of a read, and reports whether it came.
func (u *underway) inTime(wait time.Duration) bool {
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-u.done:
		return true
	case <-late.C:
	}
	select {
	case <-u.done: // late is who waits
		return true
	default:
		return false
	}
}

// wantsCPU reports whether the thread that reads runs, or would if it had a CPU, and waits for no file.
func (u *underway) wantsCPU() bool {
	thread := u.thread.Load()
	if thread == 0 {
		return true // it has not come to it
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", thread))
	// "tid (comm) state …", proc_pid_stat(5)
	_, behind, _ := bytes.Cut(stat, []byte(") "))
	return bytes.HasPrefix(behind, []byte("R "))
}

// start reads in the background, unless the file is being read already. It reports false if too much is
// being read.
func (r *reading) start(need stack.Need) (read *underway, ok bool) {
	if read = r.running[need.File()]; read != nil {
		return read, true
	}
	if len(r.running) >= maxReading {
		return nil, false
	}
	read = &underway{done: make(chan struct{})}
	r.running[need.File()] = read
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		read.thread.Store(int32(unix.Gettid()))
		need.Read()
		r.mu.Lock()
		delete(r.running, need.File())
		r.mu.Unlock()
		close(read.done)
	}()
	return read, true
}

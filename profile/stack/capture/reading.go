package capture

import (
	"sync"
	"time"

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
	running  map[uint32]chan struct{} // by file
	slow     map[uint32]bool          // files that were waited for in vain
	patience time.Duration            // how long may be waited …
	at       time.Time                // … as of then
}

const (
	// maxWait is for one read. Opening the largest library takes less than 10 ms where it need not be fetched from a disk.
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
	return &reading{running: make(map[uint32]chan struct{}), slow: make(map[uint32]bool), patience: maxPatience, at: time.Now()}
}

// read reads what a stack needs, and reports whether it was there in time. standing says that a tracee stands still meanwhile.
func (r *reading) read(need stack.Need, standing bool) bool {
	r.mu.Lock()
	done, ok := r.start(need)
	begun := time.Now()
	r.patience = min(maxPatience, r.patience+time.Duration(patienceRegained*float64(begun.Sub(r.at))))
	r.at = begun
	most := maxWait
	wait := min(most, r.patience)
	if !standing {
		most = maxWaitOfNobody
		wait = most
	}
	if r.slow[need.File()] {
		wait = 0
	}
	r.mu.Unlock()
	if !ok {
		return false
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-done:
		ok = true
	case <-late.C:
		select {
		case <-done: // late is who waits
		default:
			ok = false
		}
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

// start reads in the background, unless the file is being read already. The channel is closed when that is done. It
// reports false if too much is being read.
func (r *reading) start(need stack.Need) (done chan struct{}, ok bool) {
	if done = r.running[need.File()]; done != nil {
		return done, true
	}
	if len(r.running) >= maxReading {
		return nil, false
	}
	done = make(chan struct{})
	r.running[need.File()] = done
	go func() {
		need.Read()
		r.mu.Lock()
		delete(r.running, need.File())
		r.mu.Unlock()
		close(done)
	}()
	return done, true
}

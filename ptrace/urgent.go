package ptrace

import (
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Where hundreds of threads want two CPUs, what takes a few milliseconds otherwise takes seconds, since it waits for its
// turn again and again. So threads of this process get the CPU before others for what is over soon, and while others wait
// for it: who has been seized may stand still until all have been, and who reads the table waits for that.
//
// There are two ways. Niceness may be raised with CAP_SYS_NICE, or RLIMIT_NICE. Anybody may ask for short slices (since
// Linux 6.12, Documentation/scheduler/sched-eevdf.rst): who has used little of what is its due then comes next, and gets
// no more by that. Somebody who has made this process nice, or given it another policy, wants it to wait.
const (
	mostUrgent, usual = -20, 0  // nice values
	shortNs           = 100_000 // the shortest slice that there is (kernel/sched/syscalls.c, __setparam_fair)
)

// beUrgent has the calling thread get the CPU before others from now on.
func beUrgent() {
	if was, ok := unhurried(0); ok {
		raise(0, was)
	}
}

// unhurried returns how a thread of this process is scheduled, 0 for the caller. It reports false if that is not as usual.
func unhurried(tid int) (*unix.SchedAttr, bool) {
	is, err := unix.SchedGetAttr(tid, 0)
	return is, err == nil && is.Policy == unix.SCHED_NORMAL && is.Flags == 0 && is.Nice == usual && (is.Runtime == 0 || is.Runtime > shortNs)
}

// raise makes a thread urgent that is scheduled as usual, as far as this process may. It reports whether it has done so.
func raise(tid int, usually *unix.SchedAttr) bool {
	urgent := *usually
	urgent.Nice, urgent.Runtime = mostUrgent, shortNs
	if unix.SchedSetAttr(tid, &urgent, 0) == nil {
		return true
	}
	urgent.Nice = usually.Nice
	// Runtime is 0 where a kernel knows no slices.
	return usually.Runtime != 0 && unix.SchedSetAttr(tid, &urgent, 0) == nil
}

// Haste is that all threads of this process get the CPU before others. A nil Haste is none.
type Haste struct {
	usually *unix.SchedAttr

	mu   sync.Mutex
	over bool
}

// Hurry has all threads of this process get the CPU before others, until Enough is called, as far as it may. So do those
// that they start meanwhile, and processes, unless they are started by Calmly. What it is for has to be over soon.
func Hurry() *Haste {
	usually, ok := unhurried(0)
	if !ok {
		return nil
	}
	h := &Haste{usually: usually}
	raise(0, usually) // at once: until then this waits as all do
	eachThread(func(tid int) (changed bool) {
		was, ok := unhurried(tid)
		return ok && raise(tid, was)
	})
	return h
}

// Enough ends the haste, if it has not ended yet. A thread that is being started meanwhile may be in haste a moment longer.
func (h *Haste) Enough() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.over = true
	calmed := make(map[int]bool)
	calm := func(tid int) (changed bool) {
		calmed[tid] = true
		return isUrgent(tid) && unix.SchedSetAttr(tid, h.usually, 0) == nil
	}
	eachThread(calm)
	go func() {
		for _, after := range lateLooks {
			time.Sleep(after)
			// Who has been calm, and is urgent again, has a reason.
			eachThread(func(tid int) (changed bool) { return !calmed[tid] && calm(tid) })
		}
	}()
}

// lateLooks are how long after each other it is looked for threads that have not been calmed, since clone(2) copies how its
// caller is scheduled (kernel/sched/core.c, sched_fork) before /proc shows the new thread. On a busy machine it may wait for
// a CPU in between: beside four busy loops for two CPUs a thread stayed in haste in 12 of 278 runs that did not look again.
var lateLooks = [...]time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second}

// Calmly runs f on a thread that is scheduled as usual, as will be the processes that f starts on it.
func (h *Haste) Calmly(f func()) {
	if h == nil {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if isUrgent(0) && unix.SchedSetAttr(0, h.usually, 0) == nil {
		defer h.resume()
	}
	f()
}

// resume has the calling thread hurry, too, if the others do.
func (h *Haste) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		beUrgent()
	}
}

// isUrgent reports whether a thread is as raise makes it.
func isUrgent(tid int) bool {
	var is unix.SchedAttr
	return raw.Attributes(tid, &is) == nil && is.Policy == unix.SCHED_NORMAL && (is.Nice == mostUrgent || is.Nice == usual && is.Runtime == shortNs)
}

// eachThread changes the threads of this process, and those that others have started before these were changed. It allocates
// next to nothing, and needs one descriptor: it runs beside tracing, and before it is known that there are some for the
// Go runtime's poller, which os.Open makes, and without which the runtime dies.
func eachThread(change func(tid int) (changed bool)) {
	const mostTimes = 10
	list, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(list)
	entries := make([]byte, 4<<10)
	for again, times := true, 0; again && times < mostTimes; times++ {
		again = false
		unix.Seek(list, 0, io.SeekStart)
		for {
			n, err := unix.ReadDirent(list, entries)
			if n <= 0 || err != nil {
				break
			}
			for left := entries[:n]; len(left) > 0; {
				var tid int
				if tid, left = nextThread(left); tid > 0 && change(tid) {
					again = true
				}
			}
		}
	}
}

// nextThread returns the number that the first of these entries of a directory is named by, 0 if it has another name, and
// the other entries (getdents64(2), struct linux_dirent64).
func nextThread(entries []byte) (tid int, others []byte) {
	const lengthAt, nameAt = 16, 19
	if len(entries) < nameAt {
		return 0, nil
	}
	length := int(binary.NativeEndian.Uint16(entries[lengthAt:]))
	if length < nameAt || length > len(entries) {
		return 0, nil
	}
	for _, digit := range entries[nameAt:length] {
		if digit == 0 {
			break
		}
		if digit < '0' || digit > '9' {
			return 0, entries[length:]
		}
		tid = tid*10 + int(digit-'0')
	}
	return tid, entries[length:]
}

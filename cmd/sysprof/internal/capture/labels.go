package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// Labels finds out what the calls of a profile can be told apart by: the name of the thread that makes
// them, and the file, pipe or socket that they work on. Names are handed out as numbers, 0 for none.
// It is safe for concurrent use, as long as each thread's stops are told in their order. What the kernel has
// to be asked for is asked for outside of the lock.
type Labels struct {
	calls map[syscalltab.ABI]descriptorCalls

	mu      sync.Mutex // guards what follows
	names   []string
	numbers map[string]uint32
	comms   map[int32]uint32       // by thread
	tables  map[int32]*descriptors // by process
	now     map[int32]work         // by thread: what the call in progress does
	naming  map[int32]int32        // by process: a descriptor through which threads are given names
}

// descriptors is what is known of a process's descriptors.
type descriptors struct {
	names    map[int32]uint32
	changing map[int32]int // how many calls are in progress that make a descriptor something else, …
	closing  int           // … and how many that close no one knows which
	changes  uint32        // how many there were
	shared   bool          // with another process, whose calls change them, too: nothing is kept
}

// work is what a call in progress works on, and which descriptor it makes something else.
type work struct {
	name    uint32
	changes change
	fd      int32
}

// change says which descriptors a call makes something else.
type change uint8

const (
	changesNone change = iota
	changesOne
	changesMany
)

// descriptorCalls are the numbers of the calls that end what a descriptor, or the name of a thread, is.
type descriptorCalls struct {
	close, closeRange, dup2, dup3, execve, execveat, prctl uint64
	bind, connect, listen                                  uint64 // give a socket its address
	fork, vfork, clone, clone3                             uint64 // make processes and threads
	open, openat                                           uint64
	takesFD                                                map[uint64]bool // its first argument is a descriptor
}

// NewLabels returns Labels that know nothing yet.
func NewLabels() *Labels {
	l := &Labels{
		calls: make(map[syscalltab.ABI]descriptorCalls),
		names: []string{"", other}, numbers: map[string]uint32{"": 0, other: 1},
		comms: make(map[int32]uint32), tables: make(map[int32]*descriptors), now: make(map[int32]work),
		naming: make(map[int32]int32),
	}
	for _, abi := range syscalltab.Native() {
		number := func(name string) uint64 {
			nr, ok := abi.Number(name)
			if !ok {
				return ^uint64(0)
			}
			return nr
		}
		d := descriptorCalls{close: number("close"), closeRange: number("close_range"), dup2: number("dup2"),
			dup3: number("dup3"), execve: number("execve"), execveat: number("execveat"), prctl: number("prctl"),
			bind: number("bind"), connect: number("connect"), listen: number("listen"),
			fork: number("fork"), vfork: number("vfork"), clone: number("clone"), clone3: number("clone3"),
			open: number("open"), openat: number("openat"), takesFD: make(map[uint64]bool)}
		for nr, name := range abi.Each() {
			// Classes say which calls work on descriptors, but not in which argument. In these it is
			// not the first one, or the first one is a directory's that AT_FDCWD may stand for.
			inFirst := abi.InClass(nr, "%desc") || abi.InClass(nr, "%network")
			if inFirst && !slices.Contains(firstIsNoFD, name) && !strings.HasSuffix(name, "at") && !strings.HasSuffix(name, "at2") {
				d.takesFD[nr] = true
			}
		}
		l.calls[abi] = d
	}
	return l
}

// firstIsNoFD are calls of strace's classes desc and network whose first argument is no descriptor.
var firstIsNoFD = []string{
	"open", "creat", "openat", "socket", "socketpair", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64",
	"select", "_newselect", "pselect6", "pselect6_time64", "mmap", "mmap2", "old_mmap", "epoll_create",
	"epoll_create1", "eventfd", "eventfd2", "inotify_init", "inotify_init1", "timerfd_create", "memfd_create",
	"memfd_secret", "fanotify_init", "perf_event_open", "userfaultfd", "bpf", "io_uring_setup", "pidfd_open",
	"mq_open", "name_to_handle_at", "fsopen", "fspick", "open_tree", "move_mount", "symlinkat", "io_submit",
	"socketcall", "landlock_create_ruleset",
}

// Entered notes what a call works on, while it still is that; or, if nobody wants to know, only whether it
// changes that.
func (l *Labels) Entered(call *profile.Call, wanted bool) {
	calls, ok := l.calls[call.ABI]
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over(call.PID, call.TID) // it was not seen to return
	var w work
	if fd := int32(call.Args[0]); wanted && calls.takesFD[call.Nr] && fd >= 0 { // none, or AT_FDCWD
		w.name = l.descriptor(call.PID, fd)
	}
	switch call.Nr {
	case calls.close, calls.bind, calls.connect, calls.listen:
		w.changes, w.fd = changesOne, int32(call.Args[0])
	case calls.dup2, calls.dup3:
		w.changes, w.fd = changesOne, int32(call.Args[1])
	case calls.closeRange:
		w.changes = changesMany
	case calls.clone, calls.clone3:
		if l.sharesDescriptors(call, &calls) {
			l.table(call.PID).shared = true
		}
	}
	if w == (work{}) {
		return
	}
	l.now[call.TID] = w
	switch t := l.table(call.PID); w.changes {
	case changesOne:
		t.changing[w.fd]++
	case changesMany:
		t.closing++
	}
}

// descriptor returns the number of what a descriptor is.
//
// Precondition: l.mu is held. It is not while the kernel is asked.
func (l *Labels) descriptor(pid, fd int32) uint32 {
	t := l.table(pid)
	// In the middle of a change it may be the one thing or the other already.
	stable := func() bool { return t.changing[fd] == 0 && t.closing == 0 && !t.shared }
	if known, ok := t.names[fd]; ok && stable() {
		return known
	}
	before := t.changes
	l.mu.Unlock()
	what := describe(pid, fd)
	l.mu.Lock()
	name := l.number(what)
	// Of a number that is closed nothing tells us who is given it next, and when.
	if what != closed && stable() && t.changes == before {
		t.names[fd] = name
	}
	return name
}

// sharesDescriptors reports whether a clone makes another process with the same descriptors.
func (l *Labels) sharesDescriptors(call *profile.Call, calls *descriptorCalls) bool {
	flags := call.Args[0]
	if call.Nr == calls.clone3 { // they come first in struct clone_args (linux/sched.h)
		var memory [8]byte
		ptrace.ReadMemory(call.TID, call.Args[0], memory[:])
		flags = binary.NativeEndian.Uint64(memory[:])
	}
	return flags&(unix.CLONE_FILES|unix.CLONE_THREAD) == unix.CLONE_FILES
}

func (l *Labels) table(pid int32) *descriptors {
	t := l.tables[pid]
	if t == nil {
		t = &descriptors{names: make(map[int32]uint32), changing: make(map[int32]int)}
		l.tables[pid] = t
	}
	return t
}

// over ends what the thread's call did to descriptors.
func (l *Labels) over(pid, tid int32) {
	w, ok := l.now[tid]
	if !ok {
		return
	}
	delete(l.now, tid)
	t := l.tables[pid]
	if t == nil || w.changes == changesNone {
		return
	}
	t.changes++
	switch {
	case w.changes == changesMany:
		t.closing = max(t.closing-1, 0)
		clear(t.names)
	case t.changing[w.fd] > 1:
		t.changing[w.fd]--
		delete(t.names, w.fd)
	default:
		delete(t.changing, w.fd)
		delete(t.names, w.fd)
	}
}

// Comm returns the number of the calling thread's name.
func (l *Labels) Comm(call *profile.Call) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.comms[call.TID]; ok {
		return known
	}
	l.mu.Unlock()
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", call.TID))
	l.mu.Lock()
	known := l.number(string(bytes.TrimSpace(comm)))
	if len(l.naming) == 0 {
		l.comms[call.TID] = known
	}
	return known
}

// FD returns the number of what the call works on.
func (l *Labels) FD(call *profile.Call) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now[call.TID].name
}

// Finished forgets what the call has changed.
func (l *Labels) Finished(call *profile.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over(call.PID, call.TID)
	switch calls := l.calls[call.ABI]; call.Nr {
	case calls.execve, calls.execveat:
		delete(l.tables, call.PID)
		delete(l.comms, call.TID)
		delete(l.naming, call.PID)
	case calls.prctl:
		delete(l.comms, call.TID)
	case calls.fork, calls.vfork, calls.clone, calls.clone3:
		// One may have had that number before, whose death nobody has told us of.
		child := int32(call.Ret)
		delete(l.tables, child)
		delete(l.comms, child)
		delete(l.naming, child)
		if t := l.tables[call.PID]; t != nil && t.shared && call.Ret > 0 {
			l.table(child).shared = true // or it is a thread, and has none of its own
		}
	case calls.open:
		l.opened(call, call.Args[1])
	case calls.openat:
		l.opened(call, call.Args[2])
	case calls.close:
		if fd, ok := l.naming[call.PID]; ok && fd == int32(call.Args[0]) {
			delete(l.naming, call.PID)
			clear(l.comms)
		}
	}
}

// opened looks whether a file that was opened is one by which a thread gives another one its name, as
// pthread_setname_np does: it opens, writes and closes /proc/self/task/TID/comm. No name is kept meanwhile.
func (l *Labels) opened(call *profile.Call, flags uint64) {
	if call.Errno != 0 || flags&unix.O_ACCMODE == unix.O_RDONLY || len(l.comms) == 0 {
		return
	}
	l.mu.Unlock()
	what := describe(call.PID, int32(call.Ret))
	l.mu.Lock()
	if strings.HasPrefix(what, "/proc/") && strings.HasSuffix(what, "/comm") {
		l.naming[call.PID] = int32(call.Ret)
	}
}

// Ended forgets a thread, and with its last one a process.
func (l *Labels) Ended(pid, tid int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over(pid, tid)
	delete(l.comms, tid)
	delete(l.tables, tid) // only a process's last thread has them
	delete(l.naming, tid)
}

// Name returns the name of a number.
func (l *Labels) Name(number uint32) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[number]
}

const (
	// maxNames bounds how many names are kept: a program may open a file after the other.
	maxNames = 20_000

	other  = "[other]"  // stands for all names beyond those
	closed = "[closed]" // what a descriptor is that is none
)

// number returns the number of a name.
//
// Precondition: l.mu is held.
func (l *Labels) number(name string) uint32 {
	if known, ok := l.numbers[name]; ok {
		return known
	}
	if len(l.names) >= maxNames {
		return l.numbers[other]
	}
	known := uint32(len(l.names))
	l.names = append(l.names, name)
	l.numbers[name] = known
	return known
}

// describe says what a descriptor is: a path, "pipe", "tcp 127.0.0.1:6379", ….
func describe(pid, fd int32) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		return closed
	}
	if strings.HasPrefix(target, "/") {
		return strings.TrimSuffix(target, " (deleted)")
	}
	// "pipe:[4711]", "anon_inode:[eventpoll]", "anon_inode:inotify"; a pipe's inode tells nothing.
	kind, rest, _ := strings.Cut(target, ":")
	rest = strings.Trim(rest, "[]")
	switch kind {
	case "socket":
		return describeSocket(pid, fd, rest)
	case "anon_inode":
		return rest
	}
	return kind
}

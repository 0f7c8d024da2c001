package label

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// descriptors knows what the descriptors of processes are: the file, pipe or socket that a call works on. What
// one is, is asked for when a call that takes it is entered, while it still is that, and kept until a call may
// have made it something else.
type descriptors struct {
	names            *names
	sharesWithParent func(pid int32) (parent int32, shared bool)

	mu     sync.Mutex                 // guards what follows
	tables map[int32]*descriptorTable // by process
	now    map[int32]work             // by thread: what the call in progress does
}

// descriptorTable is what is known of one process's descriptors.
type descriptorTable struct {
	known    map[int32]uint32
	ends     map[int32]end // of connections that were seen to be made
	changing map[int32]int // how many calls are in progress that make a descriptor something else
	closing  int           // how many calls are in progress that close several at once
	changes  uint32        // how many calls have changed something
	shared   bool          // with another process, whose calls change them, too: nothing is kept
}

// work is what a call in progress works on, and which descriptor it makes something else.
type work struct {
	name    uint32
	changes change
	fd      int32
}

// change is which descriptors a call makes something else.
type change uint8

const (
	changesNone   change = iota
	changesFirst         // the one that its first argument names: close, or a socket that gets its address
	changesSecond        // the one that its second argument names
	changesMany
	changesAll // of a process: another program
)

// end is which end of a connection a socket is.
type end uint8

const (
	unknownEnd  end = iota // it was connected before it was traced, or inherited
	clientEnd              // it was connected
	acceptedEnd            // it was accepted
)

var makesEnd = syscalltab.NewPerCall(map[string]end{"connect": clientEnd, "accept": acceptedEnd, "accept4": acceptedEnd})

var changes = syscalltab.NewPerCall(map[string]change{
	"close": changesFirst, "bind": changesFirst, "connect": changesFirst, "listen": changesFirst,
	"dup2": changesSecond, "dup3": changesSecond,
	"close_range": changesMany,
	"execve":      changesAll, "execveat": changesAll,
})

// takesFD are the calls whose first argument is a descriptor.
var takesFD = sync.OnceValue(func() *syscalltab.PerCall[bool] { return syscalltab.NewPerCall(callsOnDescriptors()) })

// callsOnDescriptors goes by classes, which say what calls work on, but not in which argument: in some it is not
// the first one, or that is a directory's that AT_FDCWD may stand for.
func callsOnDescriptors() map[string]bool {
	found := make(map[string]bool)
	for _, abi := range syscalltab.Native() {
		for nr, name := range abi.Each() {
			onDescriptor := abi.InClass(nr, "%desc") || abi.InClass(nr, "%network")
			if onDescriptor && !slices.Contains(firstIsNoFD, name) && !strings.HasSuffix(name, "at") && !strings.HasSuffix(name, "at2") {
				found[name] = true
			}
		}
	}
	return found
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

// pathFlags is in which argument calls that take a path have flags by which there need be none.
var pathFlags = syscalltab.NewPerCall(map[string]int{"newfstatat": 3, "fstatat64": 3, "statx": 2})

// isOfFD reports whether a call that takes a path is about the descriptor before it, as the C library's fstat(3) is. It may
// have a path nevertheless, which is not looked at.
func isOfFD(c *profile.Call) bool {
	at := pathFlags.Of(c.ABI, c.Nr)
	return at > 0 && c.Args[at]&unix.AT_EMPTY_PATH != 0
}

// opens are the calls that return a new descriptor of a file that they were given the path of.
var opens = syscalltab.NewPerCall(map[string]bool{"open": true, "openat": true, "openat2": true, "creat": true})

func newDescriptors(n *names) tracker {
	return &descriptors{names: n, sharesWithParent: sharesWithParent, tables: make(map[int32]*descriptorTable), now: make(map[int32]work)}
}

func (d *descriptors) watched() []string { return slices.Concat(changes.Names(), makesEnd.Names()) }

func (d *descriptors) entered(c *profile.Call, wanted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(c.PID, c.TID) // a call that was not seen to return
	fd := int32(c.Args[0])
	takes := wanted && fd >= 0 && (takesFD().Of(c.ABI, c.Nr) || isOfFD(c)) // -1 is none, or AT_FDCWD
	w := work{changes: changes.Of(c.ABI, c.Nr)}
	if w.changes == changesAll {
		w.changes = changesNone // not before it has returned
	}
	if !takes && w.changes == changesNone && makesEnd.Of(c.ABI, c.Nr) == unknownEnd {
		return
	}
	t := d.table(c.PID)
	if takes {
		w.name = d.describe(c.PID, fd)
	}
	switch w.changes {
	case changesFirst:
		w.fd = fd
	case changesSecond:
		w.fd = int32(c.Args[1])
	}
	d.now[c.TID] = w
	switch w.changes {
	case changesFirst, changesSecond:
		t.changing[w.fd]++
	case changesMany:
		t.closing++
	}
}

// describe returns the number of what a descriptor is.
//
// Precondition: d.mu is held. It is not while the kernel is asked.
func (d *descriptors) describe(pid, fd int32) uint32 {
	t := d.table(pid)
	// In the middle of a change it may be the one thing or the other already.
	stable := func() bool { return t.changing[fd] == 0 && t.closing == 0 && !t.shared }
	if known, ok := t.known[fd]; ok && stable() {
		return known
	}
	before, its := t.changes, t.ends[fd]
	d.mu.Unlock()
	what := describe(pid, fd, its)
	number := d.names.number(what)
	d.mu.Lock()
	// Nothing tells which file a closed number is given to next, or when, so that nothing is kept of it.
	if what != closed && stable() && t.changes == before {
		t.known[fd] = number
	}
	return number
}

// table returns what is known of a process's descriptors. A process that has made another one that shares them has
// to know of that before the other changes any: this is asked for at the other's first call on a descriptor, before
// that has done anything.
//
// Precondition: d.mu is held. It is not while the kernel is asked.
func (d *descriptors) table(pid int32) *descriptorTable {
	if t := d.tables[pid]; t != nil {
		return t
	}
	d.mu.Unlock()
	parent, shared := d.sharesWithParent(pid)
	d.mu.Lock()
	t := d.tableOf(pid)
	if shared {
		t.shared = true
		d.tableOf(parent).shared = true
	}
	return t
}

// tableOf finds or makes a table.
func (d *descriptors) tableOf(pid int32) *descriptorTable {
	t := d.tables[pid]
	if t == nil {
		t = &descriptorTable{known: make(map[int32]uint32), ends: make(map[int32]end), changing: make(map[int32]int)}
		d.tables[pid] = t
	}
	return t
}

// finish ends what the thread's call did to descriptors.
func (d *descriptors) finish(pid, tid int32) {
	w, ok := d.now[tid]
	if !ok {
		return
	}
	delete(d.now, tid)
	t := d.tables[pid]
	if t == nil || w.changes == changesNone {
		return
	}
	t.changes++
	if w.changes == changesMany {
		t.closing = max(t.closing-1, 0)
		clear(t.known)
		clear(t.ends)
		return
	}
	if t.changing[w.fd]--; t.changing[w.fd] <= 0 {
		delete(t.changing, w.fd)
	}
	delete(t.known, w.fd)
	delete(t.ends, w.fd)
}

func (d *descriptors) value(c *profile.Call) uint32 {
	d.mu.Lock()
	name := d.now[c.TID].name
	if c.Errno == 0 && c.Ret >= 0 && opens.Of(c.ABI, c.Nr) { // which is known now, and kept for the next call on it
		name = d.describe(c.PID, int32(c.Ret))
	}
	d.mu.Unlock()
	if name != 0 && isConnecting(c) {
		// What it was before the call tells nothing. The thread cannot have done anything else to it yet: its next call on
		// it, too, has to be seen.
		if what := describe(c.PID, int32(c.Args[0]), clientEnd); what != closed {
			return d.names.number(what)
		}
	}
	return name
}

// isConnecting reports whether a call connects a socket, or has not returned yet.
func isConnecting(c *profile.Call) bool {
	return makesEnd.Of(c.ABI, c.Nr) == clientEnd && (c.Errno == 0 || c.Errno == int32(unix.EINPROGRESS))
}

func (d *descriptors) returned(c *profile.Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(c.PID, c.TID)
	if changes.Of(c.ABI, c.Nr) == changesAll {
		delete(d.tables, c.PID)
	}
	switch its := makesEnd.Of(c.ABI, c.Nr); {
	case its == acceptedEnd && c.Errno == 0:
		d.isEnd(c.PID, int32(c.Ret), its)
	case isConnecting(c):
		d.isEnd(c.PID, int32(c.Args[0]), its)
	}
}

// isEnd takes note of which end of a connection a descriptor is. Of those that another process shares it is not known
// what they are next.
func (d *descriptors) isEnd(pid, fd int32, its end) {
	if t := d.tables[pid]; t != nil && !t.shared {
		delete(t.known, fd)
		t.ends[fd] = its
	}
}

func (d *descriptors) ended(pid, tid int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(pid, tid)
	delete(d.tables, tid) // a thread that is not its process's first one has none
}

// closed is what a descriptor is that is none.
const closed = "[closed]"

// describe says what a descriptor is: a path, "pipe", "tcp 127.0.0.1:6379".
func describe(pid, fd int32, its end) string {
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
		return describeSocket(pid, fd, rest, its)
	case "anon_inode":
		return rest
	}
	return kind
}

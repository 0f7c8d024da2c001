package label

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// threadNames knows what threads are called, those that make calls or the first ones of their processes, whose name is that
// of the process. A name is read when it is first asked for, and kept until something
// may have changed it: the thread itself by prctl or execve, or another thread, which opens
// /proc/PID/task/TID/comm, writes and closes it, as pthread_setname_np(3) does. No name is kept while such a file
// is open.
type threadNames struct {
	names *names
	whose func(*profile.Call) int32 // the thread whose name a call's value is

	mu     sync.Mutex // guards what follows
	known  map[int32]uint32
	naming map[namingFile]bool
}

// namingFile is an open file that a thread can be given a name through.
type namingFile struct{ pid, fd int32 }

// naming is what a call may do to the names of threads.
type naming uint8

const (
	namesNothing naming = iota
	namesItself         // the calling thread
	replacesProgram
	opensFile  // its second argument has the flags
	opensAt    // its third argument has them
	opensFor   // its third argument points to them, so that they are not known
	createsNew // always for writing
	copiesFile
	closesFile
	closesMany
)

var namings = syscalltab.NewPerCall(map[string]naming{
	"prctl": namesItself, "execve": replacesProgram, "execveat": replacesProgram,
	"open": opensFile, "openat": opensAt, "openat2": opensFor, "creat": createsNew,
	"dup": copiesFile, "dup2": copiesFile, "dup3": copiesFile, "fcntl": copiesFile, "fcntl64": copiesFile,
	"close": closesFile, "close_range": closesMany,
})

func newThreadNames(n *names, whose func(*profile.Call) int32) tracker {
	return &threadNames{names: n, whose: whose, known: make(map[int32]uint32), naming: make(map[namingFile]bool)}
}

func (t *threadNames) watched() []string { return namings.Names() }

func (t *threadNames) value(c *profile.Call) uint32 {
	tid := t.whose(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.known[tid]; ok {
		return known
	}
	t.mu.Unlock()
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tid))
	number := t.names.number(string(bytes.TrimSpace(comm)))
	t.mu.Lock()
	if len(t.naming) == 0 {
		t.known[tid] = number
	} else {
		t.names.changed() // no Memo is to keep it either
	}
	return number
}

func (t *threadNames) returned(c *profile.Call) {
	how := namings.Of(c.ABI, c.Nr)
	if how == namesNothing {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch how {
	case namesItself:
		t.forget(c.TID)
	case replacesProgram:
		t.forget(c.TID)
		t.closeAll(c.PID) // comm files are close-on-exec or rare: at worst a name is read again
	case opensFile:
		t.opened(c, c.Args[1])
	case opensAt:
		t.opened(c, c.Args[2])
	case opensFor, createsNew:
		t.opened(c, unix.O_WRONLY)
	case copiesFile:
		if c.Errno == 0 && t.naming[namingFile{c.PID, int32(c.Args[0])}] {
			t.opened(c, unix.O_WRONLY)
		}
	case closesFile:
		if file := (namingFile{c.PID, int32(c.Args[0])}); t.naming[file] {
			delete(t.naming, file)
			t.forgetAll()
		}
	case closesMany:
		for file := range t.naming {
			if file.pid == c.PID && uint64(uint32(file.fd)) >= c.Args[0]&0xffffffff && uint64(uint32(file.fd)) <= c.Args[1]&0xffffffff {
				delete(t.naming, file)
				t.forgetAll()
			}
		}
	}
}

// opened looks whether a file that was opened is one that gives a thread its name.
//
// Precondition: t.mu is held. It is not while the kernel is asked.
func (t *threadNames) opened(c *profile.Call, flags uint64) {
	if c.Errno != 0 || flags&unix.O_ACCMODE == unix.O_RDONLY || len(t.known) == 0 {
		return
	}
	fd := int32(c.Ret)
	t.mu.Unlock()
	what := describe(c.PID, fd, unknownEnd)
	t.mu.Lock()
	if strings.HasPrefix(what, "/proc/") && strings.HasSuffix(what, "/comm") {
		t.naming[namingFile{c.PID, fd}] = true
		t.forgetAll() // it may have been written to already
	}
}

// closeAll removes the open files of a process.
func (t *threadNames) closeAll(pid int32) {
	for file := range t.naming {
		if file.pid == pid {
			delete(t.naming, file)
			t.forgetAll()
		}
	}
}

// forget has the name of a thread read again.
func (t *threadNames) forget(tid int32) {
	delete(t.known, tid)
	t.names.changed()
}

// forgetAll has all names read again.
func (t *threadNames) forgetAll() {
	clear(t.known)
	t.names.changed()
}

func (t *threadNames) ended(pid, tid int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(tid)
	if tid == pid {
		t.closeAll(pid)
	}
}

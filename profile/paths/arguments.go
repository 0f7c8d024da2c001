package paths

import (
	"strings"
	"sync"

	"sysprof/syscalltab"
)

// arguments are those of a call that say which files it is about.
type arguments struct {
	descriptors []int8
	paths       []syscalltab.PathArgument
	several     several
	opens       bool // its result is a descriptor of the file
	executes    bool // the file is the program that there is afterwards
}

// several are calls that have their descriptors in memory.
type several uint8

const (
	none several = iota
	polled
	selected
)

// argumentsOf finds a call's arguments, nil if it has none that count.
func argumentsOf(abi syscalltab.ABI, nr uint64) *arguments {
	if abi == syscalltab.I386 && inMemory().Of(abi, nr) {
		return nil
	}
	return byCall().Of(abi, nr)
}

var byCall = sync.OnceValue(func() *syscalltab.PerCall[*arguments] { return syscalltab.NewPerCall(argumentsByName()) })

// inMemory are calls of i386 that have all of their arguments in memory, or others than elsewhere, as one of them takes two.
var inMemory = sync.OnceValue(func() *syscalltab.PerCall[bool] {
	return syscalltab.NewPerCall(map[string]bool{"mmap": true, "select": true, "fanotify_mark": true})
})

func callsWithArguments() []string { return byCall().Names() }

// argumentsByName goes by the paths that calls take, by strace's classes, and by what strace's pathtrace.c makes of them: the first
// argument of a call of %desc or %network is a descriptor, but for those below.
func argumentsByName() map[string]*arguments {
	all := make(map[string]*arguments)
	fd := &arguments{descriptors: []int8{0}}
	for _, abi := range syscalltab.Native() {
		for nr, name := range abi.Each() {
			switch {
			case abi.InClass(nr, "%file"):
				all[name] = &arguments{paths: abi.Paths(nr)}
			case abi.InClass(nr, "%desc"), abi.InClass(nr, "%network"):
				all[name] = fd
			}
		}
	}
	for _, other := range others() {
		for name := range strings.FieldsSeq(other.calls) {
			all[name] = &other.arguments
		}
	}
	for name := range strings.FieldsSeq(without) {
		delete(all, name)
	}
	for _, name := range []string{"open", "creat", "openat", "openat2", "open_by_handle_at"} {
		a := *all[name]
		a.opens = true
		all[name] = &a
	}
	for _, name := range []string{"execve", "execveat"} {
		a := *all[name]
		a.executes = true
		all[name] = &a
	}
	return all
}

// without are calls of the classes that have neither a path nor a descriptor, when they begin.
const without = `
	bpf epoll_create epoll_create1 eventfd eventfd2 fanotify_init fsopen getcwd inotify_init inotify_init1 io_uring_setup
	landlock_create_ruleset landlock_restrict_self memfd_create memfd_secret mq_open perf_event_open pidfd_open pipe pipe2
	process_madvise socket socketcall socketpair timerfd_create userfaultfd`

type otherArguments struct {
	calls string
	arguments
}

// others are the calls with other arguments than the first one.
func others() []otherArguments {
	fds := func(list ...int8) []int8 { return list }
	return []otherArguments{
		{`dup2 dup3 kexec_file_load sendfile sendfile64 tee`, arguments{descriptors: fds(0, 1)}},
		{`copy_file_range splice`, arguments{descriptors: fds(0, 2)}},
		{`epoll_ctl`, arguments{descriptors: fds(2)}},
		{`mmap mmap2`, arguments{descriptors: fds(4)}},
		{`open_by_handle_at`, arguments{descriptors: fds(0)}},
		{`inotify_add_watch`, arguments{descriptors: fds(0), paths: []syscalltab.PathArgument{{Directory: syscalltab.FromHere, Path: 1}}}},
		{`fsconfig fchmod fchown fchown32`, arguments{descriptors: fds(0)}},
		{`poll ppoll ppoll_time64`, arguments{several: polled}},
		{`_newselect pselect6 pselect6_time64 select`, arguments{several: selected}},
	}
}

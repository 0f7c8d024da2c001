package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// enoughDescriptors returns an error if this process cannot open some files: the Go runtime ends a program
// that cannot have a descriptor for its poller. (It has raised the limit as far as it may.)
func enoughDescriptors() error {
	const needed = 16 // of the runtime, the files of /proc that are read, and those that are written
	for range needed {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return fmt.Errorf("not even %d files can be opened: %w; raise the limit (ulimit -n)", needed, err)
		}
		defer unix.Close(fd)
	}
	return nil
}

// inheritedDescriptors lists the descriptors beyond stderr that this process was started with: the
// open ones that an execve would pass on. (All that Go opens is close-on-exec.)
func inheritedDescriptors() []int {
	entries, _ := os.ReadDir("/proc/self/fd")
	var inherited []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			inherited = append(inherited, fd)
		}
	}
	return inherited
}

// closeInherited closes the descriptors that the launched command has, too. Otherwise whoever reads
// from a pipe of the command's would wait for us when the command has closed it. stderr stays,
// where tables and errors go; when tables go elsewhere and stderr is a pipe, it is closed as well.
// What these files are written to (--json=/dev/stdout) stays, too.
func closeInherited(inherited []int, stderrToo bool, files ...string) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	standard := []int{0, 1}
	var stat unix.Stat_t
	if stderrToo && unix.Fstat(2, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFIFO {
		standard = append(standard, 2)
	}
	for _, fd := range standard {
		if !isOneOf(fd, files) {
			unix.Dup3(null, fd, unix.O_CLOEXEC)
		}
	}
	for _, fd := range inherited {
		if !isOneOf(fd, files) {
			unix.Close(fd)
		}
	}
}

// isOneOf reports whether a descriptor shows one of these files.
func isOneOf(fd int, files []string) bool {
	var stat, own unix.Stat_t
	return slices.ContainsFunc(files, func(path string) bool {
		return path != "" && unix.Stat(path, &stat) == nil && unix.Fstat(fd, &own) == nil &&
			stat.Dev == own.Dev && stat.Ino == own.Ino
	})
}

package main

import (
	"fmt"
	"os"
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
// from a pipe of the command's would wait for us when the command has closed it. stderr stays, see messages.
// What is written to is open as a descriptor of its own.
func closeInherited(inherited []int) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	for fd := range 2 {
		unix.Dup3(null, fd, unix.O_CLOEXEC)
	}
	for _, fd := range inherited {
		unix.Close(fd)
	}
}

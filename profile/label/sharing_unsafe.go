package label

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sharesWithParent reports whether a process shares its descriptors with its parent, so that calls of each change those
// of both, and which process that is. It says so, too, if the kernel does not tell: CONFIG_KCMP is not set, or a
// container forbids it.
//
// The flags of the call that made the process would tell as well. Those of clone3(2) are in memory, though, which may
// be memory that is brought by a thread that stands still (userfaultfd(2)), so that who reads it waits for ever.
func sharesWithParent(pid int32) (parent int32, shared bool) {
	if parent = parentOf(pid); parent == 0 {
		return 0, false
	}
	same, err := sameDescriptors(pid, parent)
	return parent, same || err != nil && err != unix.ESRCH
}

// sameDescriptors reports whether two threads have one table of descriptors (kcmp(2)).
func sameDescriptors(a, b int32) (bool, error) {
	const kcmpFiles = 2 // KCMP_FILES of <linux/kcmp.h>
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpFiles, 0, 0, 0)
	if errno != 0 {
		return false, errno
	}
	return order == 0, nil
}

// parentOf is the process that is another's parent, 0 if there is none that is visible here.
func parentOf(pid int32) int32 {
	// proc(5): pid, comm in parentheses, which may contain anything, state, ppid.
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.ParseInt(string(fields[1]), 10, 32)
	return int32(parent)
}

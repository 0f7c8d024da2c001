package foreign

import (
	"strings"

	"golang.org/x/sys/unix"
)

// walk opens a name below dir one component after the other. It follows no link and goes never up, so that some
// names that openat2(2) would find are not found.
func walk(dir int, name string) (int, error) {
	at, err := unix.Dup(dir)
	if err != nil {
		return -1, err
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			unix.Close(at)
			return -1, unix.EXDEV
		}
		next, err := unix.Openat(at, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

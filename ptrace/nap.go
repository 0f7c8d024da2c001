package ptrace

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps for a part of a millisecond. time.Sleep takes a whole one when the process has nothing else to do, since the
// runtime then waits in epoll_wait(2), whose timeout is in milliseconds: asked for 50 µs it took 1,080 µs here, and
// nanosleep(2) 120.
func nap(d time.Duration) {
	asked := unix.NsecToTimespec(d.Nanoseconds())
	unix.Nanosleep(&asked, nil)
}

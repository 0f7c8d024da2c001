package ptrace

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// quotas bound the descriptors that are held for tracees, of which there may be thousands. What has to be opened to
// deal with a tracee (its files in /proc) must not be refused for these: a thread whose state is not known is not
// waited for at the end, and its call is broken off.
type quotas struct {
	waits       quota // traceeWaits
	cpu         quota // cpuClock
	breakpoints quota // sleep
}

// quota is how many there may be of something, and are. The zero value grants nothing.
type quota struct {
	most  int64
	taken atomic.Int64
}

// set divides what this process may have.
func (q *quotas) set() {
	const (
		mostAtAll   = 1 << 20 // if there is no limit
		whenUnknown = 1024    // the usual limit
	)
	limit := int64(whenUnknown)
	var is unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &is) == nil {
		limit = int64(min(is.Cur, mostAtAll))
	}
	q.divide(limit)
}

// divide leaves an eighth of the limit for whatever else is opened during a run.
func (q *quotas) divide(limit int64) {
	const mostWaits = 256 // more tell nothing more
	q.waits.most = min(mostWaits, limit/8)
	q.breakpoints.most = limit / 4
	q.cpu.most = limit / 2
}

// take reports whether there may be one more, which is there then.
func (q *quota) take() bool {
	if q.taken.Add(1) > q.most {
		q.taken.Add(-1)
		return false
	}
	return true
}

// give takes back one that there was.
func (q *quota) give() { q.taken.Add(-1) }

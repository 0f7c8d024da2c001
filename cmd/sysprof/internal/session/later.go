package session

import (
	"slices"
	"sync"
)

// later are the processes that have been attached to during the run.
type later struct {
	mu   sync.Mutex
	pids []int
}

// mostLater is how many of them are remembered.
const mostLater = 50_000

// Attached takes note of a process that has been attached to during the run.
func (s *Session) Attached(pid int) {
	s.later.mu.Lock()
	defer s.later.mu.Unlock()
	if len(s.later.pids) < mostLater {
		s.later.pids = append(s.later.pids, pid)
	}
}

func (l *later) all() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pids)
}

package session

import (
	"slices"
	"sync"
	"time"

	"sysprof/profile"
)

// Single is one call.
type Single struct {
	PID, TID int32
	Errno    int32
	Took     time.Duration
}

// mostSingles is how many of the slowest calls of a key are kept.
const mostSingles = 3

// singles are the slowest calls of an interval, in parts that are fed by one tracer thread each.
type singles struct {
	mu    sync.Mutex
	parts []*slowest
}

// slowest is a part of them.
type slowest struct {
	mu    sync.Mutex
	byKey map[profile.Key]*[mostSingles]Single // the slowest first; those that are not there took 0
}

func (s *singles) part() *slowest {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := &slowest{byKey: make(map[profile.Key]*[mostSingles]Single)}
	s.parts = append(s.parts, part)
	return part
}

// add takes a call. It may be called on nil.
func (s *slowest) add(c *profile.Call) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := profile.Key{ABI: c.ABI, Nr: c.Nr}
	kept := s.byKey[key]
	if kept == nil {
		kept = new([mostSingles]Single)
		s.byKey[key] = kept
	}
	insert(kept, Single{c.PID, c.TID, c.Errno, c.Latency()})
}

// insert keeps a call if it is slower than one of those that are kept.
func insert(kept *[mostSingles]Single, one Single) {
	i := len(kept)
	for i > 0 && kept[i-1].Took < one.Took {
		i--
	}
	if i < len(kept) {
		copy(kept[i+1:], kept[i:])
		kept[i] = one
	}
}

// Singles returns the slowest calls since it was called last, if Config.Singles asks for them.
func (s *Session) Singles() map[profile.Key][]Single {
	s.singles.mu.Lock()
	defer s.singles.mu.Unlock()
	all := make(map[profile.Key]*[mostSingles]Single)
	for _, part := range s.singles.parts {
		part.takeTo(all)
	}
	list := make(map[profile.Key][]Single, len(all))
	for key, kept := range all {
		list[key] = slices.DeleteFunc(kept[:], func(one Single) bool { return one.Took == 0 })
	}
	return list
}

// takeTo hands over what is kept.
func (s *slowest) takeTo(all map[profile.Key]*[mostSingles]Single) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, kept := range s.byKey {
		if all[key] == nil {
			all[key] = new([mostSingles]Single)
		}
		for i, one := range kept {
			insert(all[key], one)
			kept[i] = Single{} // the array stays, so that tracing allocates nothing
		}
	}
}

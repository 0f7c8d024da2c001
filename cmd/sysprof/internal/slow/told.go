package slow

import (
	"time"

	"sysprof/profile"
	"sysprof/report"
)

// Told is a call that an engine has found to be slow by itself.
type Told struct {
	profile.Call                   // as far as it is known
	Hangs           bool           // it has not returned
	Why             profile.Ending // it never will; "": it has, or may
	AtLeast         bool           // it began before it was counted
	Resumes         string         // the call that it goes on with; "": it is one of its own, or that is not known
	Process, Thread string         // their names
	Hidden          bool           // the process cannot be asked about by its number
}

// told keeps what calls that hang were found to be about, until they end. Only who tells of calls uses it.
type told map[int32]toldAbout

type toldAbout struct {
	sinceNs int64
	about   about
}

// maxTold bounds told: of a call that ends among too many others nothing is told.
const maxTold = 1 << 12

// Tell is told of a slow call by an engine that finds them itself. It is called by one goroutine. What a call is about can be asked
// while it hangs; when it has returned the descriptor may be closed, and the memory be another's.
func (l *Log) Tell(t *Told) {
	if l == nil || !l.wants(t.ABI, t.Nr) {
		return
	}
	var asked about
	known, ok := l.told[t.TID]
	switch {
	case ok && known.sinceNs == t.EntrySeenNs:
		asked = known.about
	case t.Hangs && !t.Hidden:
		l.ask(&t.Call, &asked)
		if len(l.told) >= maxTold {
			clear(l.told)
		}
		l.told[t.TID] = toldAbout{t.EntrySeenNs, asked}
	}
	if !t.Hangs {
		delete(l.told, t.TID)
	}
	line := &report.SlowCall{Key: profile.Key{ABI: t.ABI, Nr: t.Nr}, PID: t.PID, TID: t.TID, Process: t.Process, Args: t.Args,
		Paths: asked.paths, PathsKnown: asked.pathsKnown, Descriptor: asked.descriptor, Resumes: t.Resumes,
		Ns: int64(t.RawLatency()), AtLeast: t.AtLeast, Under: t.Hangs, Why: t.Why, Ret: t.Ret, Errno: t.Errno}
	if t.TID != t.PID {
		line.Thread = t.Thread
	}
	l.mu.Lock()
	delete(l.late, t.TID)
	l.mu.Unlock()
	if !t.Hangs {
		l.put(line, 0)
	} else if line.At = time.Now(); !l.sayHanging(line) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.late) < maxTold {
			l.late[t.TID] = line
		}
	}
}

// sayHanging says of a call that it hangs, if there is room for that.
func (l *Log) sayHanging(line *report.SlowCall) bool {
	return l.limit.take(time.Now()) && l.enqueue(item{call: line})
}

// sayLate says which calls hang for which there was no room before, should they still hang.
func (l *Log) sayLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tid, line := range l.late {
		now := time.Now()
		line.Ns += int64(now.Sub(line.At))
		line.At = now
		if !l.sayHanging(line) {
			return
		}
		delete(l.late, tid)
	}
}

// LeftOut is told of slow calls that an engine did not tell of, as there were too many.
func (l *Log) LeftOut(n uint64) {
	if l != nil && n > 0 {
		l.limit.leaveOut(time.Now(), n)
	}
}

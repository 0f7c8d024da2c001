package profile

import (
	"slices"
	"time"
)

// Disagreement is what two engines that saw the same calls say differently of those of one key.
type Disagreement struct {
	Key
	One, Other Seen
	Counts     bool // they have counted differently; else their medians are apart

	// Broken says that the counts differ in nothing but calls whose threads were killed: one engine saw them return before that, the
	// other one did not, and has them in flight.
	Broken bool
}

// Seen is what an engine saw of the calls of a key.
type Seen struct {
	Calls, Errors uint64
	P50           time.Duration

	broken uint64 // calls that a signal, or another thread's execve, has ended with their threads
}

const (
	// Two medians agree that are as near to each other as this: the larger of the two.
	agreeShare = 0.1
	agreeNs    = 300
	// agreeFrom is how many calls have a median that says something.
	agreeFrom = 100
)

// Disagreements lists the calls of which two snapshots of the same calls have counted a different number, in all or with
// one of the errnos, or of which there are some and the medians are further apart than 10 % and 0.3 µs.
func Disagreements(one, other *Snapshot) (all []Disagreement) {
	rows := make(map[Key]*[2]*Row)
	for i, s := range [2]*Snapshot{one, other} {
		for j := range s.Rows {
			r := &s.Rows[j]
			if rows[r.Key] == nil {
				rows[r.Key] = new([2]*Row)
			}
			rows[r.Key][i] = r
		}
	}
	for key, of := range rows {
		d := Disagreement{Key: key, One: seenIn(of[0], one.broken(key)), Other: seenIn(of[1], other.broken(key))}
		d.Counts = d.One.Calls != d.Other.Calls || !sameErrnos(of[0], of[1])
		d.Broken = d.One.returnedLess(&d.Other) || d.Other.returnedLess(&d.One)
		if d.Counts || d.One.Calls >= agreeFrom && apart(d.One.P50, d.Other.P50) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(x, y Disagreement) int { return compareKeys(x.Key, y.Key) })
	return all
}

func apart(a, b time.Duration) bool {
	ns := float64(max(a-b, b-a))
	return ns > agreeNs && ns > agreeShare*float64(max(a, b))
}

// returnedLess reports whether an engine saw fewer calls return than another one, and at least as many more broken off. It may be
// more: of a thread that is killed as it stands at an entry, only who stops threads knows that it was about to make a call.
func (s *Seen) returnedLess(other *Seen) bool {
	return s.Calls < other.Calls && s.broken >= other.broken+(other.Calls-s.Calls)
}

// broken is how many calls of a key were broken off with their threads.
func (s *Snapshot) broken(key Key) (n uint64) {
	for i := range s.InFlight {
		if f := &s.InFlight[i]; f.Key == key && (f.Why == Killed || f.Why == Replaced) {
			n += f.Count
		}
	}
	return n
}

func seenIn(r *Row, broken uint64) Seen {
	if r == nil {
		return Seen{broken: broken}
	}
	return Seen{broken: broken, Calls: r.Calls, Errors: r.Errors, P50: r.Latency().Quantile(0.5)}
}

// sameErrnos reports whether as many calls of two rows failed with each errno.
func sameErrnos(a, b *Row) bool {
	var none Row
	if a == nil {
		a = &none
	}
	if b == nil {
		b = &none
	}
	return slices.EqualFunc(a.Failed, b.Failed, func(x, y Outcome) bool {
		return x.Errno == y.Errno && x.Latency.Count() == y.Latency.Count()
	})
}

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
}

// Seen is what an engine saw of the calls of a key.
type Seen struct {
	Calls, Errors uint64
	P50           time.Duration
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
		d := Disagreement{Key: key, One: seenIn(of[0]), Other: seenIn(of[1])}
		d.Counts = d.One.Calls != d.Other.Calls || !sameErrnos(of[0], of[1])
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

func seenIn(r *Row) Seen {
	if r == nil {
		return Seen{}
	}
	return Seen{Calls: r.Calls, Errors: r.Errors, P50: r.Latency().Quantile(0.5)}
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

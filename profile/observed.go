package profile

import "time"

// observed is all that was seen of the calls made in one condition, by all shards. Its latencies are raw
// until correct has taken the transit off them.
type observed struct {
	rows   map[Key]*Row
	queued map[queueKey]*Histogram // raw latencies that include standing in line
	gaps   Histogram
	left   uncounted
}

// queueKey is an outcome of a row; errno is 0 for success.
type queueKey struct {
	Key
	errno int32
}

func newObserved() *observed {
	return &observed{rows: make(map[Key]*Row), queued: make(map[queueKey]*Histogram)}
}

// row finds or makes the row of k.
func (o *observed) row(k Key) *Row {
	r := o.rows[k]
	if r == nil {
		r = &Row{Key: k, OK: new(Histogram)}
		o.rows[k] = r
	}
	return r
}

// queue adds the queued calls of an outcome, nil if there are none.
func (o *observed) queue(k Key, errno int32, queued *Histogram) {
	if queued == nil {
		return
	}
	key := queueKey{k, errno}
	if o.queued[key] == nil {
		o.queued[key] = new(Histogram)
	}
	o.queued[key].Merge(queued)
}

// calls is how many calls were seen, before correct: in a row or not.
func (o *observed) calls() uint64 {
	n := o.left.calls
	for _, r := range o.rows {
		n += r.OK.Count()
		for _, f := range r.Failed {
			n += f.Latency.Count()
		}
	}
	for _, h := range o.queued {
		n += h.Count()
	}
	return n
}

// account is what correct finds out on its way over the calls of one condition.
type account struct {
	calls, queued uint64
	holdNs        int64
	leastNs       float64 // what the calls took at least, corrected
	runningNs     float64 // what they took as far as the thread ran in them, corrected

	inLineNs float64 // how long exit-stops stood in line, of those …
	lined    uint64  // … of which that is known
	mixed    uint64  // those of which it is part of the latency, and …
	mixedNs  float64 // … what that is at most

	takenNs, coldNs float64 // taken off the latencies of … in all, and for cold caches
	corrected       uint64  // … that many calls
	tooShort        uint64  // of which had less than the transit given by hand
}

// correct turns raw latencies into latencies, in place. Without a transit, fit is nil, they remain raw.
func (o *observed) correct(fit *fitted) account {
	a := account{calls: o.left.calls, queued: o.left.queued, holdNs: o.left.holdNs}
	for _, r := range o.rows {
		r.OK = o.correctOutcome(r, 0, r.OK, fit, &a)
		for i := range r.Failed {
			r.Failed[i].Latency = o.correctOutcome(r, r.Failed[i].Errno, r.Failed[i].Latency, fit, &a)
		}
		if fit != nil {
			r.CPU = fit.cpu(r.CPU)
		}
		a.holdNs = addClamped(a.holdNs, r.HoldNs)
	}
	return a
}

// correctOutcome returns the latencies of all calls of an outcome, of which h are those that were seen at
// once.
func (o *observed) correctOutcome(r *Row, errno int32, h *Histogram, fit *fitted, a *account) *Histogram {
	queued := o.queued[queueKey{r.Key, errno}]
	if queued == nil {
		queued = new(Histogram)
	}
	r.RawNs = addClamped(r.RawNs, nanoseconds(h.sum()+queued.sum()))
	r.Queued += queued.Count()
	a.queued += queued.Count()
	a.calls += h.Count() + queued.Count()
	raw := h
	if fit != nil {
		cold := 0.0
		h, cold = fit.latency(raw)
		a.coldNs += cold
		a.takenNs += raw.sum() - h.sum()
		a.corrected += h.Count()
		if fit.transit.source == ByHand {
			a.tooShort += raw.below(fit.transit.byHandNs)
		}
	}
	if fit != nil {
		inLineNs, lined := inLine(raw, queued)
		a.inLineNs += inLineNs
		a.lined += lined
		if raw.Count() < enoughUnqueued {
			a.mixed += queued.Count()
			a.mixedNs += shortenedSum(queued)
		}
	}
	h = withQueued(h, queued, fit)
	a.runningNs += shortSum(h)
	a.leastNs += leastOf(h)
	return h
}

// leastOf is what short calls took at least: three of four are not below the first quartile.
func leastOf(h *Histogram) float64 {
	const quartile = 0.25
	if ns := h.Quantile(quartile); ns < sleep {
		return float64(ns) * (1 - quartile) * float64(h.Count())
	}
	return 0
}

// sleep is from when on a call is said to have slept rather than run.
const sleep = 50 * time.Microsecond

// shortSum adds up the calls in which the thread ran rather than slept, as far as their length tells.
func shortSum(h *Histogram) float64 {
	sum := 0.0
	for b := range h.Buckets() {
		if b.LowNs >= int64(sleep) {
			break
		}
		sum += float64(h.middle(b)) * float64(b.Count)
	}
	return sum
}

// inLine is how long the exit-stops of queued calls stood in line: by how much most of them took longer than
// most of the others did. It is known of as many calls.
func inLine(raw, queued *Histogram) (ns float64, calls uint64) {
	if raw.Count() < enoughUnqueued || queued.Count() < enoughUnqueued || raw.Quantile(0.5) >= sleep {
		return 0, 0 // of calls that sleep, those that were woken at the same time are queued: they differ
	}
	longer := min(queued.Quantile(0.5)-raw.Quantile(0.5), sleep)
	return float64(max(longer, 0)) * float64(queued.Count()), queued.Count()
}

// shortenedSum adds up calls as far as the thread ran or stood in line in them, rather than slept.
func shortenedSum(h *Histogram) float64 {
	sum := 0.0
	for b := range h.Buckets() {
		sum += float64(min(h.middle(b), int64(sleep))) * float64(b.Count)
	}
	return sum
}

// below is how many values are in buckets below ns.
func (h *Histogram) below(ns int64) uint64 {
	n := uint64(0)
	for b := range h.Buckets() {
		if b.HighNs >= ns {
			break
		}
		n += b.Count
	}
	return n
}

// enoughUnqueued is how many calls of an outcome show what the queued ones are like.
const enoughUnqueued = 20

// withQueued adds the calls of an outcome whose exit-stops stood in line. They are taken to be like the
// others, if there are enough of those to know what they are like; otherwise the time in the line is
// part of the latency.
func withQueued(h, queued *Histogram, fit *fitted) *Histogram {
	switch {
	case queued.Count() == 0:
		return h
	case fit != nil && h.Count() >= enoughUnqueued:
		return resized(h, h.Count()+queued.Count())
	case fit != nil:
		queued, _ = fit.latency(queued)
	}
	both := h.Clone()
	both.Merge(queued)
	return both
}

package inkernel

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"sysprof/profile"
)

// takenRow is what has come in of a row of a group. Where not all calls are timed, those that are stand for others.
type takenRow struct {
	calls        uint64
	sum          float64 // of those that were timed, times their weights
	minNs, maxNs int64   // of these
	buckets      []weighedBucket
}

type weighedBucket struct {
	bucket int
	weight uint64
}

func (r *takenRow) weight() (sum uint64) {
	for _, b := range r.buckets {
		sum += b.weight
	}
	return sum
}

func (r *takenRow) add(from *takenRow) {
	r.calls += from.calls
	if len(from.buckets) == 0 {
		return
	}
	if len(r.buckets) == 0 {
		r.minNs = math.MaxInt64
	}
	r.sum += from.sum
	r.minNs, r.maxNs = min(r.minNs, from.minNs), max(r.maxNs, from.maxNs)
	for _, b := range from.buckets {
		at, found := slices.BinarySearchFunc(r.buckets, b.bucket, func(x weighedBucket, bucket int) int { return cmp.Compare(x.bucket, bucket) })
		if !found {
			r.buckets = slices.Insert(r.buckets, at, weighedBucket{bucket: b.bucket})
		}
		r.buckets[at].weight += b.weight
	}
}

// counted has all calls be as those that were timed.
func (r *takenRow) counted(key rowKey) profile.CountedRow {
	weight, of := r.weight(), r.calls
	to := profile.CountedRow{Key: profile.Key{ABI: kernelABIs()[key.ABI], Nr: uint64(key.Nr)}, Errno: int32(key.Errno), Calls: of,
		SumNs: int64(r.sum), MinNs: r.minNs, MaxNs: r.maxNs}
	s := spread{calls: of, weight: weight}
	for _, b := range r.buckets {
		if n := s.next(b.weight); n > 0 {
			low, high := bounds(b.bucket)
			to.Buckets = append(to.Buckets, profile.Bucket{LowNs: low, HighNs: high, Count: n})
		}
	}
	switch n := len(to.Buckets); {
	case weight == of:
	case n == 0:
		to.SumNs = 0
	default: // those that were timed may have been shorter, and longer
		to.MinNs, to.MaxNs = max(to.MinNs, to.Buckets[0].LowNs), min(to.MaxNs, to.Buckets[n-1].HighNs)
		// Few calls may stand for many that were timed, and not have a bucket where the mean of those is.
		sum := r.sum * (float64(of) / float64(weight))
		to.SumNs = int64(min(max(sum, float64(of)*float64(to.MinNs)), float64(of)*float64(to.MaxNs)))
	}
	return to
}

// taken is the same of calls of which it is not known whose they are.
func (inc *increment) taken() *takenRow {
	r := &takenRow{calls: inc.calls, sum: float64(inc.sum), minNs: inc.minNs, maxNs: inc.maxNs}
	for b, n := range &inc.bucket {
		if n > 0 {
			r.buckets = append(r.buckets, weighedBucket{b, uint64(n)})
		}
	}
	return r
}

func compareKeys(a, b rowKey) int {
	return cmp.Or(cmp.Compare(a.ABI, b.ABI), cmp.Compare(uint64(a.Nr), uint64(b.Nr)), cmp.Compare(a.Errno, b.Errno))
}

// debts are calls of groups of which none has been timed yet. They are handed over with the next ones that are; at the end they
// are taken to have been as those of all groups.
type debts struct {
	owed map[debtor]*debt
	all  map[rowKey]*takenRow // what was timed
}

type debtor struct {
	who     who
	unknown bool
	key     rowKey
}

type debt struct {
	calls uint64
	of    uint32 // a process of the group
}

func (d debtor) group(of uint32) profile.CountedGroup {
	if d.unknown {
		return profile.CountedGroup{Unknown: true}
	}
	return profile.CountedGroup{Whose: d.who.whose(of)}
}

// fit adds to a row what its group owes. It reports false if the row is owed, too.
func (d *debts) fit(from debtor, of uint32, r *takenRow) bool {
	if d.owed == nil {
		d.owed, d.all = make(map[debtor]*debt), make(map[rowKey]*takenRow)
	}
	owed := d.owed[from]
	if len(r.buckets) == 0 {
		if owed == nil {
			owed = new(debt)
			d.owed[from] = owed
		}
		owed.calls += r.calls
		owed.of = of
		return false
	}
	if owed != nil {
		r.calls += owed.calls
		delete(d.owed, from)
	}
	all := d.all[from.key]
	if all == nil {
		all = new(takenRow)
		d.all[from.key] = all
	}
	all.add(r)
	return true
}

// settle hands over what is owed.
func (d *debts) settle() (groups []profile.CountedGroup) {
	of := func(a, b debtor) int {
		return cmp.Or(cmp.Compare(a.who.PID, b.who.PID), cmp.Compare(a.who.TID, b.who.TID), compareKeys(a.key, b.key))
	}
	for _, from := range slices.SortedStableFunc(maps.Keys(d.owed), of) {
		owed := d.owed[from]
		its := takenRow{calls: owed.calls, buckets: []weighedBucket{{weight: 1}}} // nothing is known but that there were some
		if all := d.all[from.key]; all != nil {
			its = *all
			its.calls = owed.calls
		}
		group := from.group(owed.of)
		group.Rows = []profile.CountedRow{its.counted(from.key)}
		groups = append(groups, group)
	}
	clear(d.owed)
	return groups
}

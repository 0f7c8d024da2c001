package profile

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Groups are the calls of a snapshot, told apart by who made them or what they were about. All of them together are the
// rows and the calls in flight of the snapshot, but for the calls that end their threads, which are in no group.
type Groups struct {
	By   []string // the fields by which they are told apart: "pid", "fd"
	List []Group  // by time, the longest first; the one of the others, if there is one, is the last

	// More yields all groups, in about the order of List, which has the largest of them alone, and what the others are together. What
	// it yields is valid until the next one. It is nil if List has all.
	More iter.Seq[*Group]
}

// Each yields all groups. What it yields is valid until the next one.
func (g *Groups) Each() iter.Seq[*Group] {
	if g.More != nil {
		return g.More
	}
	return func(yield func(*Group) bool) {
		for i := range g.List {
			if !yield(&g.List[i]) {
				return
			}
		}
	}
}

// Group is the calls of one group. It may have none that returned.
type Group struct {
	Values []string // of the fields of By, as they are printed; "": there is nothing to say
	Who    string   // or what it is, for people: "postgres (6994) checkpointer"
	Name   string   // Who without the numbers that are others in each run: "postgres checkpointer"

	// Others says of how many groups these are the calls, which were too small to be kept. It is 0 for a group as any other;
	// otherwise there are no Values.
	Others uint64

	Totals            // of all rows; the minimum is that of a bucket
	Rows   []GroupRow // sorted by ABI, then number; no row is without calls

	InFlight []Flight // sorted as in a Snapshot
}

// GroupRow is the calls of one key of a group. A profile has many of these, so that their latencies are known less exactly than
// those of a Row.
type GroupRow struct {
	Key
	Totals           // the minimum is that of a bucket
	Buckets []Bucket // of the latencies of all calls, in ascending order; wider than those of a Histogram

	Failed []GroupFailure // of the calls that failed, sorted by errno; nil if none did, or it is not known how
}

// GroupFailure is the calls of a row of a group that failed in the same way.
type GroupFailure struct {
	Errno        int32
	Calls        uint64
	SumNs, MaxNs int64
	Buckets      []Bucket // as those of the row, which these calls are in, too
}

// GroupBucketError is by how much a quantile of a group's latencies is off at most, as a share of it, as long as there are no more
// rows than there is room to keep them so exactly.
const GroupBucketError = 0.5 / groupBuckets

// Latency returns the distribution of the latencies. Its count, sum and maximum are exact.
func (r *GroupRow) Latency() *Histogram { return histogramOf(r.Buckets, r.SumNs, r.MaxNs) }

// Latency returns the distribution of the latencies. Its count, sum and maximum are exact.
func (f *GroupFailure) Latency() *Histogram { return histogramOf(f.Buckets, f.SumNs, f.MaxNs) }

func histogramOf(buckets []Bucket, sumNs, maxNs int64) *Histogram {
	h := new(Histogram)
	for i, b := range buckets {
		ns := min(b.LowNs+(b.HighNs-b.LowNs)/2, maxNs)
		if i == len(buckets)-1 && b.Count > 0 {
			h.Record(maxNs)
			b.Count--
		}
		h.RecordN(ns, b.Count)
	}
	h.ShiftSum(sumNs - int64(h.Sum()))
	return h
}

// Succeeded returns the calls of the row that did not fail, nothing if that is not known of all. They have no queued calls, hold and CPU
// time, since these are not known by outcome.
func (r *GroupRow) Succeeded() (ok GroupRow, known bool) {
	ok = *r
	for i := range r.Failed {
		f := &r.Failed[i]
		ok.Calls -= min(f.Calls, ok.Calls)
		ok.Errors -= min(f.Calls, ok.Errors)
		ok.SumNs = max(ok.SumNs-f.SumNs, 0)
	}
	if ok.Errors > 0 {
		return GroupRow{}, false
	}
	if len(r.Failed) > 0 {
		ok.Failed, ok.Queued, ok.HoldNs, ok.CPUCalls, ok.CPUNs = nil, 0, 0, 0, 0
		ok.Buckets = without(r.Buckets, r.Failed)
		ok.MinNs, ok.MaxNs = boundsOf(ok.Buckets, ok.MinNs, ok.MaxNs)
	}
	return ok, true
}

// OnlyFailed returns those that did, in the same way.
func (r *GroupRow) OnlyFailed() (failed GroupRow, known bool) {
	failed = GroupRow{Key: r.Key, Failed: r.Failed}
	var buckets bucketSum
	for i := range r.Failed {
		f := &r.Failed[i]
		failed.Calls += f.Calls
		failed.SumNs = addClamped(failed.SumNs, f.SumNs)
		buckets.add(f.Buckets)
	}
	failed.Errors, failed.Buckets = failed.Calls, buckets.all()
	failed.MinNs, failed.MaxNs = boundsOf(failed.Buckets, r.MinNs, r.MaxNs)
	if failed.Calls == r.Calls {
		failed.Totals = r.Totals
	}
	return failed, failed.Calls == r.Errors
}

// boundsOf are the bounds of the latencies of a part of the calls of a row, by their buckets and the bounds of all.
func boundsOf(part []Bucket, minNs, maxNs int64) (int64, int64) {
	if len(part) == 0 {
		return 0, 0
	}
	return max(minNs, part[0].LowNs), min(maxNs, part[len(part)-1].HighNs)
}

// without takes failed calls away from all. What was rounded into another bucket is taken from the nearest one above, or below.
func without(all []Bucket, failed []GroupFailure) []Bucket {
	rest := slices.Clone(all)
	for i := range failed {
		for _, b := range failed[i].Buckets {
			middle := b.LowNs + (b.HighNs-b.LowNs)/2
			at, _ := slices.BinarySearchFunc(rest, middle, func(b Bucket, ns int64) int { return cmp.Compare(b.HighNs, ns) })
			take := func(j int) {
				n := min(rest[j].Count, b.Count)
				rest[j].Count -= n
				b.Count -= n
			}
			for j := at; j < len(rest) && b.Count > 0; j++ {
				take(j)
			}
			for j := min(at, len(rest)) - 1; j >= 0 && b.Count > 0; j-- {
				take(j)
			}
		}
	}
	return slices.DeleteFunc(rest, func(b Bucket) bool { return b.Count == 0 })
}

// Snapshot returns the calls of the group as a snapshot of their own. If it is not known how calls failed, their latencies are with
// those of the calls that succeeded, but Errors says how many failed.
func (g *Group) Snapshot() *Snapshot {
	s := &Snapshot{Total: g.Totals, InFlight: g.InFlight}
	for i := range g.Rows {
		r := &g.Rows[i]
		s.Rows = append(s.Rows, r.Row())
	}
	return s
}

// Row returns the calls as a row of a snapshot. If it is not known how calls failed, their latencies are with those of the calls that
// succeeded.
func (r *GroupRow) Row() Row {
	row := Row{Key: r.Key, Totals: r.Totals, OK: r.Latency()}
	ok, known := r.Succeeded()
	if !known || r.Errors == 0 {
		return row
	}
	row.OK = ok.Latency()
	for i := range r.Failed {
		row.Failed = append(row.Failed, Outcome{r.Failed[i].Errno, r.Failed[i].Latency()})
	}
	return row
}

// Top returns the n largest groups, and one of all others behind them, if there are any. It changes nothing of g.
func (g *Groups) Top(n int) *Groups {
	kept, rest := g.List, []Group(nil)
	if len(kept) > n {
		kept, rest = kept[:n:n], kept[n:]
	}
	if len(rest) == 0 || len(rest) == 1 && rest[0].Others > 0 {
		return g
	}
	return &Groups{By: g.By, List: append(kept, mergeGroups(rest))}
}

// ByName returns the groups with those of the same name added up. The others are called so.
func (g *Groups) ByName() []Group {
	const others = "others"
	same := make(map[string][]Group)
	for _, one := range g.List {
		name := one.Name
		if one.Others > 0 {
			name = others
		}
		same[name] = append(same[name], one)
	}
	list := make([]Group, 0, len(same))
	for name, all := range same {
		one := all[0]
		if len(all) > 1 {
			one = mergeGroups(all)
			one.Who = name
		}
		one.Name = name
		list = append(list, one)
	}
	return list
}

// mergeGroups returns the others that groups are together.
func mergeGroups(groups []Group) Group {
	var sum groupSum
	for i := range groups {
		sum.add(&groups[i])
	}
	return sum.group()
}

// groupsOfAll adds up the groups of snapshots. Groups with the same values are one. There are none if a snapshot has none, or has
// groups by other fields.
func groupsOfAll(snapshots []*Snapshot) *Groups {
	if len(snapshots) == 0 || snapshots[0].Groups == nil {
		return nil
	}
	by := snapshots[0].Groups.By
	same := make(map[string][]Group)
	var order []string
	for _, s := range snapshots {
		if s.Groups == nil || !slices.Equal(s.Groups.By, by) {
			return nil
		}
		for _, g := range s.Groups.List {
			key := strings.Join(g.Values, "\x00") + "\x00"
			if g.Others > 0 {
				key = "" // values are joined by what no other key is without
			}
			if same[key] == nil {
				order = append(order, key)
			}
			same[key] = append(same[key], g)
		}
	}
	list := make([]Group, 0, len(order))
	for _, key := range order {
		all := same[key]
		g := mergeGroups(all)
		g.Values, g.Who, g.Name = all[0].Values, all[0].Who, all[0].Name
		if all[0].Others == 0 {
			g.Others = 0
		}
		list = append(list, g)
	}
	return NewGroups(by, list)
}

// finish sorts the rows and adds them up.
func (g *Group) finish() {
	slices.SortFunc(g.Rows, func(a, b GroupRow) int { return compareKeys(a.Key, b.Key) })
	for i := range g.Rows {
		slices.SortFunc(g.Rows[i].Failed, func(a, b GroupFailure) int { return cmp.Compare(a.Errno, b.Errno) })
	}
	g.Totals = Totals{}
	for i := range g.Rows {
		g.Totals.add(&g.Rows[i].Totals)
	}
}

// StreamGroups are groups that are not all in memory at once: all yields them, by time, the longest first, and the others, if there are
// any, last. Their rows need not be sorted and added up. Of the largest, most of them, it makes a list.
func StreamGroups(by []string, most int, all iter.Seq[*Group]) *Groups {
	g := &Groups{By: by, More: func(yield func(*Group) bool) {
		for one := range all {
			if one.finish(); !yield(one) {
				return
			}
		}
	}}
	var rest groupSum
	for one := range g.More {
		if len(g.List) < most && one.Others == 0 {
			g.List = append(g.List, one.clone())
		} else {
			rest.add(one)
		}
	}
	if rest.others > 0 {
		g.List = append(g.List, rest.group())
	}
	return g
}

// clone returns an independent copy.
func (g *Group) clone() Group {
	c := *g
	c.Values, c.Rows, c.InFlight = slices.Clone(g.Values), slices.Clone(g.Rows), slices.Clone(g.InFlight)
	for i := range c.Rows {
		r := &c.Rows[i]
		r.Buckets, r.Failed = slices.Clone(r.Buckets), slices.Clone(r.Failed)
		for j := range r.Failed {
			r.Failed[j].Buckets = slices.Clone(r.Failed[j].Buckets)
		}
	}
	return c
}

// NewGroups adds up the rows of groups and puts them into their order. It takes the list over.
func NewGroups(by []string, list []Group) *Groups {
	for i := range list {
		list[i].finish()
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(min(a.Others, 1), min(b.Others, 1)),
			cmp.Compare(b.SumNs, a.SumNs),
			cmp.Compare(b.Calls, a.Calls),
			cmp.Compare(b.longestNs(), a.longestNs()),
			slices.CompareFunc(a.Values, b.Values, compareNaturally))
	})
	return &Groups{By: by, List: list}
}

// longestNs is how long the longest of the calls in flight has been under way.
func (g *Group) longestNs() (ns int64) {
	for i := range g.InFlight {
		ns = max(ns, g.InFlight[i].LongestNs)
	}
	return ns
}

// compareNaturally puts numbers in the order of their values.
func compareNaturally(a, b string) int {
	if isNumber(a) && isNumber(b) {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

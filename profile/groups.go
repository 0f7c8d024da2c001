package profile

import (
	"cmp"
	"slices"
	"strings"
)

// Groups are the calls of a snapshot, told apart by who made them or what they were about. All of them together are the
// rows and the calls in flight of the snapshot, but for the calls that end their threads, which are in no group.
type Groups struct {
	By   []string // the fields by which they are told apart: "pid", "fd"
	List []Group  // by time, the longest first; the one of the others, if there is one, is the last
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
}

// GroupBucketError is by how much a quantile of a group's latencies is off at most, as a share of it, as long as there are no more
// rows than there is room to keep them so exactly.
const GroupBucketError = 0.5 / groupBuckets

// Latency returns the distribution of the latencies. Its count, sum and maximum are exact.
func (r *GroupRow) Latency() *Histogram {
	h := new(Histogram)
	for i, b := range r.Buckets {
		ns := min(b.LowNs+(b.HighNs-b.LowNs)/2, r.MaxNs)
		if i == len(r.Buckets)-1 && b.Count > 0 {
			h.Record(r.MaxNs)
			b.Count--
		}
		h.RecordN(ns, b.Count)
	}
	h.ShiftSum(r.SumNs - int64(h.Sum()))
	return h
}

// Snapshot returns the calls of the group as a snapshot of their own. Their latencies are all with those of the calls that
// succeeded, but Errors says how many failed.
func (g *Group) Snapshot() *Snapshot {
	s := &Snapshot{Total: g.Totals, InFlight: g.InFlight}
	for i := range g.Rows {
		r := &g.Rows[i]
		s.Rows = append(s.Rows, Row{Key: r.Key, Totals: r.Totals, OK: r.Latency()})
	}
	return s
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
	return &Groups{g.By, append(kept, mergeGroups(rest))}
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
	var all Group
	byKey := make(map[Key]int)
	for i := range groups {
		g := &groups[i]
		all.Others += max(g.Others, 1)
		for j := range g.Rows {
			from := &g.Rows[j]
			at, ok := byKey[from.Key]
			if !ok {
				at = len(all.Rows)
				byKey[from.Key] = at
				all.Rows = append(all.Rows, GroupRow{Key: from.Key})
			}
			all.Rows[at].add(from)
		}
		for j := range g.InFlight {
			all.InFlight = addFlight(all.InFlight, &g.InFlight[j])
		}
	}
	all.finish()
	return all
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

// add adds the calls of another row.
func (r *GroupRow) add(from *GroupRow) {
	r.Totals.add(&from.Totals)
	r.Buckets = mergeBuckets(r.Buckets, from.Buckets)
}

// finish sorts the rows and adds them up.
func (g *Group) finish() {
	slices.SortFunc(g.Rows, func(a, b GroupRow) int { return compareKeys(a.Key, b.Key) })
	g.Totals = Totals{}
	for i := range g.Rows {
		g.Totals.add(&g.Rows[i].Totals)
	}
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
	return &Groups{by, list}
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

// mergeBuckets adds up two lists of buckets, each in ascending order. Where buckets of one are wider, these stay beside
// those that they overlap with.
func mergeBuckets(a, b []Bucket) []Bucket {
	if len(a) == 0 {
		return slices.Clone(b)
	}
	merged := make([]Bucket, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Or(cmp.Compare(a[0].LowNs, b[0].LowNs), cmp.Compare(a[0].HighNs, b[0].HighNs)); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			sum := a[0]
			sum.Count = addSaturating(sum.Count, b[0].Count)
			merged, a, b = append(merged, sum), a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

package profile

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/syscalltab"
)

// groupOf is a group of some reads and writes of so many ns each.
func groupOf(name string, reads, writes uint64, ns int64) Group {
	g := Group{Values: []string{name}, Who: name + " (7)", Name: name}
	for nr, n := range []uint64{reads, writes} {
		if n > 0 {
			g.Rows = append(g.Rows, GroupRow{Key: Key{syscalltab.AMD64, uint64(nr)},
				Totals:  Totals{Calls: n, Errors: n / 2, SumNs: int64(n) * ns, MinNs: ns, MaxNs: ns},
				Buckets: []Bucket{{ns, ns, n}}})
		}
	}
	return g
}

func names(groups *Groups) (names []string) {
	for _, g := range groups.List {
		if g.Others > 0 {
			names = append(names, "others")
			continue
		}
		names = append(names, g.Values[0])
	}
	return names
}

func TestGroupsAreInTheOrderOfTheirTime(t *testing.T) {
	waits := Group{Values: []string{"waits"}, InFlight: []Flight{{Count: 1, LongestNs: 3}}}
	others := groupOf("", 100, 100, 100)
	others.Values, others.Others = nil, 3
	groups := NewGroups([]string{"comm"}, []Group{others, waits, groupOf("10", 1, 0, 5), groupOf("9", 1, 0, 5), groupOf("much", 7, 7, 100)})
	if d := cmp.Diff([]string{"much", "9", "10", "waits", "others"}, names(groups)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	equal(t, "the calls of the first", groups.List[0].Totals, Totals{Calls: 14, Errors: 6, SumNs: 1400, MinNs: 100, MaxNs: 100})
	before := groups.List[2]
	top := groups.Top(2)
	if d := cmp.Diff([]string{"much", "9", "others"}, names(top)); d != "" {
		t.Errorf("the top (-want +got):\n%s", d)
	}
	rest := top.List[2]
	equal(t, "the others", rest.Totals, Totals{Calls: 201, Errors: 100, SumNs: 20_005, MinNs: 5, MaxNs: 100})
	equal(t, "how many groups they are", rest.Others, 5)
	equal(t, "their calls in flight", rest.InFlight[0].Count, 1)
	equal(t, "their reads", rest.Rows[0].Latency().Count(), 101)
	if d := cmp.Diff(before, groups.List[2]); d != "" {
		t.Errorf("a group has changed:\n%s", d)
	}
	equal(t, "no more than there are", groups.Top(4), groups)
}

func TestGroupsByName(t *testing.T) {
	a, b := groupOf("worker", 1, 0, 5), groupOf("worker", 2, 1, 50)
	groups := NewGroups([]string{"pid"}, []Group{a, b, groupOf("main", 1, 1, 1)})
	sums := make(map[string]uint64)
	for _, g := range groups.ByName() {
		sums[g.Name] += g.Calls
	}
	if d := cmp.Diff(map[string]uint64{"worker": 4, "main": 2}, sums); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestGroupsOfSnapshotsMerge if they are by the same fields.
func TestGroupsOfSnapshotsMerge(t *testing.T) {
	one := &Snapshot{Groups: NewGroups([]string{"comm"}, []Group{groupOf("a", 1, 0, 5), groupOf("b", 1, 0, 5)})}
	two := &Snapshot{Groups: NewGroups([]string{"comm"}, []Group{groupOf("a", 3, 0, 5)})}
	merged := Merge(one, two).Groups
	equal(t, "groups", len(merged.List), 2)
	equal(t, "calls of the first", merged.List[0].Calls, 4)
	equal(t, "who it is", merged.List[0].Who, "a (7)")
	two.Groups.By = []string{"fd"}
	if Merge(one, two).Groups != nil {
		t.Error("groups by other fields are added up")
	}
}

// TestRowsOfGroupsByOutcome: what succeeded and what failed add up to the row, also where a call was rounded into another bucket.
func TestRowsOfGroupsByOutcome(t *testing.T) {
	row := GroupRow{Key: Key{Nr: 1}, Totals: Totals{Calls: 10, Errors: 4, SumNs: 1_000, MinNs: 64, MaxNs: 300, Queued: 2, HoldNs: 70},
		Buckets: []Bucket{{64, 71, 5}, {128, 135, 3}, {256, 319, 2}},
		Failed: []GroupFailure{
			{Errno: 4, Calls: 1, SumNs: 70, MaxNs: 70, Buckets: []Bucket{{64, 71, 1}}},
			{Errno: 11, Calls: 3, SumNs: 430, MaxNs: 300, Buckets: []Bucket{{100, 101, 2}, {256, 319, 1}}},
		}}
	ok, known := row.Succeeded()
	want := GroupRow{Key: row.Key, Totals: Totals{Calls: 6, SumNs: 500, MinNs: 64, MaxNs: 300}, Buckets: []Bucket{{64, 71, 4}, {128, 135, 1}, {256, 319, 1}}}
	if d := cmp.Diff(want, ok); d != "" || !known {
		t.Errorf("succeeded (-want +got):\n%s", d)
	}
	failed, known := row.OnlyFailed()
	want = GroupRow{Key: row.Key, Totals: Totals{Calls: 4, Errors: 4, SumNs: 500, MinNs: 64, MaxNs: 300},
		Buckets: []Bucket{{64, 71, 1}, {100, 101, 2}, {256, 319, 1}}, Failed: row.Failed}
	if d := cmp.Diff(want, failed); d != "" || !known {
		t.Errorf("failed (-want +got):\n%s", d)
	}
	its := row.Row()
	if its.OK.Count() != 6 || len(its.Failed) != 2 || its.Failed[1].Latency.Count() != 3 || its.Latency().Sum() != 1_000 {
		t.Errorf("as a row of a snapshot it has %d that succeeded, %v", its.OK.Count(), its.Failed)
	}
	row.Failed = nil
	if _, known := row.Succeeded(); known {
		t.Error("it is taken for known how calls failed")
	}
	if its := row.Row(); its.OK.Count() != 10 {
		t.Errorf("%d calls are shown", its.OK.Count())
	}
}

// TestStreamedGroups: those that are not listed are others, and all are yielded.
func TestStreamedGroups(t *testing.T) {
	var list []Group
	for i := range 10 {
		ns := int64(1_000 - 10*i)
		list = append(list, Group{Values: []string{string(rune('a' + i))}, Rows: []GroupRow{{Key: Key{Nr: 2}, Totals: Totals{Calls: 1, SumNs: ns, MinNs: ns, MaxNs: ns},
			Buckets: []Bucket{{ns, ns, 1}}}}})
	}
	list = append(list, Group{Others: 7, Rows: []GroupRow{{Key: Key{Nr: 2}, Totals: Totals{Calls: 5, SumNs: 5}, Buckets: []Bucket{{1, 1, 5}}}}})
	var one Group
	g := StreamGroups([]string{"comm"}, 3, func(yield func(*Group) bool) {
		for i := range list {
			rows := append(one.Rows[:0], list[i].Rows...) // as one that is made in the place of the one before
			if one = list[i]; true {
				one.Rows = rows
			}
			if !yield(&one) {
				return
			}
		}
	})
	if d := cmp.Diff(NewGroups(g.By, slices.Clone(list)).Top(3).List, g.List); d != "" {
		t.Errorf("the list (-want +got):\n%s", d)
	}
	n := 0
	for one := range g.Each() {
		if n++; one.Calls == 0 {
			t.Error("a group is not added up")
		}
	}
	equal(t, "groups", n, 11)
}

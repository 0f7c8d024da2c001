package cost

import (
	"testing"

	"sysprof/profile"
)

// TestGroupsAddUpToTheRows, however much has to come off, and whether calls stood in line.
func TestGroupsAddUpToTheRows(t *testing.T) {
	m := calibrated()
	m.Conditions[profile.SameCPU].CPUNs = 300
	s := simulate(m)
	groups, memo := profile.NewGrouper(), new(profile.GroupMemo)
	s.alsoTo = func(c *profile.Call) {
		key := profile.Values{uint32(s.random.IntN(5))}
		c.Queued = s.random.IntN(10) == 0
		c.CPUNs = 500 + s.random.Int64N(1_000)
		groups.Add(c, &key, &key, memo)
	}
	s.transitNs = func(nowNs int64) int64 { return 7_000 + nowNs/100_000%3_000 }
	s.mixed(4_000)
	snapshot := s.snapshot()
	for _, most := range []int{10, 2} {
		corrected := CorrectGroups(snapshot, groups.All(most))
		for i := range snapshot.Rows {
			row := &snapshot.Rows[i]
			var of profile.Totals
			buckets, failures, failedNs := uint64(0), uint64(0), int64(0)
			for _, g := range corrected {
				for _, r := range g.Rows {
					if r.Key != row.Key {
						continue
					}
					of.Add(&r.Totals)
					buckets += r.Latency().Count()
					for _, f := range r.Failed {
						failures += f.Latency().Count()
						failedNs += f.SumNs
					}
					if r.MinNs < row.MinNs || r.MaxNs < r.MinNs || r.SumNs < r.MinNs*int64(r.Calls) {
						t.Errorf("%d: at least %d ns a call, from %d to %d ns, %d in all", row.Nr, row.MinNs, r.MinNs, r.MaxNs, r.SumNs)
					}
				}
			}
			if of.Calls != row.Calls || of.Errors != row.Errors || buckets != row.Calls {
				t.Errorf("%d: groups have %d calls, %d errors, %d latencies, the row %d and %d", row.Nr, of.Calls, of.Errors, buckets, row.Calls, row.Errors)
			}
			wantNs := int64(0)
			for _, f := range row.Failed {
				wantNs += int64(f.Latency.Sum())
			}
			if off := failedNs - wantNs; failures != row.Errors || max(off, -off) > wantNs/5+1_000 {
				t.Errorf("%d: in groups %d calls failed, which took %d ns, in the row %d and %d", row.Nr, failures, failedNs, row.Errors, wantNs)
			}
			if off := of.CPUNs - row.CPUNs; of.CPUCalls != row.CPUCalls || max(off, -off) > 5 {
				t.Errorf("%d: groups have %d ns of CPU time, the row %d", row.Nr, of.CPUNs, row.CPUNs)
			}
			if off := of.SumNs - row.SumNs; max(off, -off) > 5 { // each group is rounded
				t.Errorf("%d: groups took %d ns, the row %d", row.Nr, of.SumNs, row.SumNs)
			}
		}
	}
}

// TestNothingIsLeftOfAGroup: what a call takes at least is left of each, and the other groups give the rest.
func TestNothingIsLeftOfAGroup(t *testing.T) {
	h := new(profile.Histogram)
	h.RecordN(100, 10)
	h.RecordN(1_100, 10)
	snapshot := profile.NewSnapshot([]*profile.Row{{Key: profile.Key{Nr: 1}, OK: h}}, nil)
	raw := []profile.RawGroup{
		{Rows: []profile.RawGroupRow{{Key: profile.Key{Nr: 1}, RawGroupCalls: profile.RawGroupCalls{Calls: 10, NetNs: -4_000, Latency: []profile.Bucket{{LowNs: 0, HighNs: 7, Count: 10}}}}}},
		{Rows: []profile.RawGroupRow{{Key: profile.Key{Nr: 1}, RawGroupCalls: profile.RawGroupCalls{Calls: 10, NetNs: 50_000, LongestNs: 5_000, Latency: []profile.Bucket{{LowNs: 4_992, HighNs: 5_119, Count: 10}}}}}},
	}
	groups := CorrectGroups(snapshot, raw)
	if small, large := groups[0].Rows[0], groups[1].Rows[0]; small.SumNs != 1_000 || large.SumNs != 11_000 {
		t.Errorf("%d and %d ns are left, want 1000 and 11000", small.SumNs, large.SumNs)
	}
	if p50 := groups[0].Rows[0].Latency().Quantile(0.5); p50 != 100 {
		t.Errorf("half of the calls took %v, want 100 ns", p50)
	}
}

// TestOneSlowCallStays where it was, whatever calls that stood in line took: their time is that of the others in the row, too.
func TestOneSlowCallStays(t *testing.T) {
	const slowNs, linedNs = 4_000_000, 50_000_000
	h := new(profile.Histogram)
	h.RecordN(1_000, 200)
	h.Record(slowNs)
	snapshot := profile.NewSnapshot([]*profile.Row{{Key: profile.Key{Nr: 1}, OK: h}}, nil)
	short := profile.Bucket{LowNs: 992, HighNs: 1_023}
	buckets := func(n uint64) []profile.Bucket { b := short; b.Count = n; return []profile.Bucket{b} }
	row := func(calls profile.RawGroupCalls) profile.RawGroup {
		return profile.RawGroup{Rows: []profile.RawGroupRow{{Key: profile.Key{Nr: 1}, RawGroupCalls: calls}}}
	}
	groups := CorrectGroups(snapshot, []profile.RawGroup{
		row(profile.RawGroupCalls{Calls: 101, NetNs: 100_000, LongestNs: 1_000, Latency: buckets(100), LinedNs: linedNs, InLine: []profile.Bucket{{LowNs: linedNs, HighNs: linedNs, Count: 1}}}),
		row(profile.RawGroupCalls{Calls: 100, NetNs: 99_000 + slowNs, LongestNs: slowNs, Latency: append(buckets(99), profile.Bucket{LowNs: slowNs, HighNs: slowNs, Count: 1})}),
	})
	if in, out := groups[0].Rows[0].SumNs, groups[1].Rows[0].SumNs; in > 120_000 || out < 4_090_000 {
		t.Errorf("the group that stood in line took %d ns, that with the slow call %d", in, out)
	}
}

// TestGroupOfWakers: where calls stood in line that wake somebody, and those of the same number that sleep did not, the wakers did
// not take longer than was seen.
func TestGroupOfWakers(t *testing.T) {
	const sleepNs, linedNs = 20_000_000, 55_000
	h := new(profile.Histogram)
	h.Record(1_000)
	h.RecordN(sleepNs, 299)
	row := &profile.Row{Key: profile.Key{Nr: 1}, OK: h}
	row.Queued = 200
	bucket := func(ns int64, n uint64) []profile.Bucket { return []profile.Bucket{{LowNs: ns, HighNs: ns, Count: n}} }
	group := func(calls profile.RawGroupCalls) profile.RawGroup {
		return profile.RawGroup{Rows: []profile.RawGroupRow{{Key: profile.Key{Nr: 1}, RawGroupCalls: calls}}}
	}
	groups := CorrectGroups(profile.NewSnapshot([]*profile.Row{row}, nil), []profile.RawGroup{
		group(profile.RawGroupCalls{Calls: 200, LinedNs: 200 * linedNs, InLine: bucket(linedNs, 200)}),
		group(profile.RawGroupCalls{Calls: 100, NetNs: 100 * sleepNs, LongestNs: sleepNs, Latency: bucket(sleepNs, 100)}),
	})
	wakers, sleepers := groups[0].Rows[0].SumNs, groups[1].Rows[0].SumNs
	if wakers > 200*4*linedNs || wakers+sleepers < 299*sleepNs {
		t.Errorf("the wakers took %d ns, the sleepers %d", wakers, sleepers)
	}
}

// TestFailuresOfAGroup: as much is taken off calls that failed as off the others, and they are a part of the row.
func TestFailuresOfAGroup(t *testing.T) {
	h := new(profile.Histogram)
	h.RecordN(1_000, 30)
	snapshot := profile.NewSnapshot([]*profile.Row{{Key: profile.Key{Nr: 1}, OK: h}}, nil)
	calls := func(n uint64, eachNs int64) profile.RawGroupCalls {
		return profile.RawGroupCalls{Calls: n, NetNs: int64(n) * eachNs, LongestNs: eachNs, Latency: []profile.Bucket{{LowNs: eachNs, HighNs: eachNs, Count: n}}}
	}
	raw := profile.RawGroupRow{Key: profile.Key{Nr: 1}, RawGroupCalls: calls(30, 1_500), Errors: 20,
		Failed: []profile.RawGroupFailure{{Errno: 4, RawGroupCalls: calls(15, 1_500)}, {Errno: 11, RawGroupCalls: calls(5, 1_500)}}}
	row := CorrectGroups(snapshot, []profile.RawGroup{{Rows: []profile.RawGroupRow{raw}}})[0].Rows[0]
	if row.SumNs != 30_000 || len(row.Failed) != 2 || row.Failed[0].SumNs != 15_000 || row.Failed[1].SumNs != 5_000 || row.Failed[1].MaxNs != 1_500 {
		t.Errorf("%d ns are left, and of those that failed %+v", row.SumNs, row.Failed)
	}
}

package session

import (
	"testing"

	"sysprof/profile"
)

// TestChoiceOfGroups: of groups there are the calls with the outcomes that are asked for, or, where it is not known how some failed,
// none.
func TestChoiceOfGroups(t *testing.T) {
	h := func(n uint64) *profile.Histogram { h := new(profile.Histogram); h.RecordN(100, n); return h }
	key := profile.Key{Nr: 1}
	bucket := func(n uint64) []profile.Bucket { return []profile.Bucket{{LowNs: 100, HighNs: 100, Count: n}} }
	saved := func(failed []profile.GroupFailure) *profile.Snapshot {
		s := profile.NewSnapshot([]*profile.Row{{Key: key, OK: h(7), Failed: []profile.Outcome{{Errno: 4, Latency: h(3)}}}}, nil)
		s.Groups = profile.NewGroups([]string{"comm"}, []profile.Group{
			{Values: []string{"a"}, Rows: []profile.GroupRow{{Key: key, Totals: profile.Totals{Calls: 8, Errors: 3, SumNs: 800, MinNs: 100, MaxNs: 100}, Buckets: bucket(8), Failed: failed}},
				InFlight: []profile.Flight{{Key: key, Why: profile.Detached, Count: 1}}},
			{Values: []string{"b"}, Rows: []profile.GroupRow{{Key: key, Totals: profile.Totals{Calls: 2, SumNs: 200, MinNs: 100, MaxNs: 100}, Buckets: bucket(2)}}},
		})
		return s
	}
	known := []profile.GroupFailure{{Errno: 4, Calls: 3, SumNs: 300, MaxNs: 100, Buckets: bucket(3)}}
	for _, test := range []struct {
		statuses              Statuses
		groups                int
		calls, errors, flying uint64
	}{
		{AllStatuses, 2, 10, 3, 1},
		{Successful, 2, 7, 0, 0},
		{Failed, 1, 3, 3, 0},
		{Failed | Detached, 1, 3, 3, 1},
		{Detached, 1, 0, 0, 1},
		{Unfinished, 0, 0, 0, 0},
	} {
		groups := Choose(saved(known), nil, test.statuses).Groups
		var all profile.Totals
		flying := uint64(0)
		for i := range groups.List {
			all.Add(&groups.List[i].Totals)
			for _, f := range groups.List[i].InFlight {
				flying += f.Count
			}
		}
		if len(groups.List) != test.groups || all.Calls != test.calls || all.Errors != test.errors || flying != test.flying || all.SumNs != int64(100*test.calls) {
			t.Errorf("%b: %d groups with %d calls, %d errors, %d ns, %d in flight; want %+v", test.statuses, len(groups.List), all.Calls, all.Errors, all.SumNs, flying, test)
		}
	}
	if groups := Choose(saved(nil), nil, Failed).Groups; groups != nil {
		t.Errorf("it is not known how calls failed, and there are %v", groups.List)
	}
	if groups := Choose(saved(nil), nil, Successful|Failed).Groups; groups == nil {
		t.Error("there are no groups, though all outcomes are asked for")
	}
}

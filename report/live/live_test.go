package live

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

func key(t *testing.T, name string) profile.Key {
	t.Helper()
	abi := syscalltab.Native()[0]
	nr, ok := abi.Number(name)
	if !ok {
		t.Fatalf("no call %s", name)
	}
	return profile.Key{ABI: abi, Nr: nr}
}

// add counts a call of so many nanoseconds.
func add(p *profile.Profile, k profile.Key, ns int64, errno int32) {
	p.Add(&profile.Call{ABI: k.ABI, Nr: k.Nr, ExitSeenNs: ns, ExitResumedNs: ns, Errno: errno, CPUNs: -1, GapNs: -1})
}

// TestUpdateHasTheCalls: counts, sums and errnos are those of the snapshot.
func TestUpdateHasTheCalls(t *testing.T) {
	p := profile.New()
	add(p, key(t, "read"), 1000, 0)
	add(p, key(t, "read"), 3000, 4)
	add(p, key(t, "write"), 500, 0)
	u := UpdateOf(p.Raw().Snapshot(), 2*time.Second)
	for i := range u.Rows {
		if u.Rows[i].Spread == nil {
			t.Errorf("%s has no distribution", u.Rows[i].Name)
		}
		u.Rows[i].Spread = nil
	}
	want := &Update{Length: 2 * time.Second, Rows: []Row{
		{Name: "read", Calls: 2, Errors: 1, Sum: 4000, Max: 3000, Errnos: []Errno{{"EINTR", 1}}},
		{Name: "write", Calls: 1, Sum: 500, Max: 500},
	}}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Error(diff)
	}
}

// TestSpreadIsCloseEnough: no time is further than 4 % from the middle of its bucket, but for those below 256 ns, of which
// each bucket has 8.
func TestSpreadIsCloseEnough(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		ns := int64(math.Exp(random.Float64() * math.Log(1e13)))
		h := new(profile.Histogram)
		h.Record(ns)
		buckets := SpreadOf(h).Sorted()
		if len(buckets) != 1 || buckets[0].Count != 1 {
			t.Fatalf("%d ns is in %v", ns, buckets)
		}
		b := buckets[0]
		if ns < int64(b.Low) || ns > int64(b.High) {
			t.Fatalf("%d ns is in %d to %d", ns, b.Low, b.High)
		}
		if off := math.Abs(float64(b.Low+(b.High-b.Low)/2) - float64(ns)); off > 0.04*float64(ns) && off > 4 {
			t.Fatalf("%d ns is taken for one of %d to %d", ns, b.Low, b.High)
		}
	}
}

func TestNamesOfOtherABIs(t *testing.T) {
	if syscalltab.Native()[0] != syscalltab.AMD64 {
		t.Skip("the names are those of amd64")
	}
	for want, k := range map[string]profile.Key{
		"read": {ABI: syscalltab.AMD64, Nr: 0}, "read@32": {ABI: syscalltab.I386, Nr: 3}, "syscall_0x1f4": {ABI: syscalltab.AMD64, Nr: 500},
	} {
		if got := NameOf(k); got != want {
			t.Errorf("%v is %q, want %q", k, got, want)
		}
	}
}

// group is one with calls of read, each of a microsecond.
func group(t *testing.T, tid, file, who string, calls uint64) profile.Group {
	t.Helper()
	k := key(t, "read")
	totals := profile.Totals{Calls: calls, SumNs: int64(calls) * 1000, MinNs: 1000, MaxNs: 1000}
	return profile.Group{Values: []string{tid, file}, Who: who, Totals: totals, Rows: []profile.GroupRow{
		{Key: k, Totals: totals, Buckets: []profile.Bucket{{LowNs: 1000, HighNs: 1007, Count: calls}}}}}
}

// TestGroupsOfAnInterval are what is new; what was among the others before is not known.
func TestGroupsOfAnInterval(t *testing.T) {
	of := func(groups ...profile.Group) *profile.Groups {
		return &profile.Groups{By: []string{"tid", "fd"}, List: groups}
	}
	rest := group(t, "", "", "others (3 groups)", 10)
	rest.Others, rest.Values = 3, nil
	more := rest
	more.Totals.Calls, more.Rows = 11, group(t, "", "", "", 11).Rows

	var g Groups
	counts := func(now *profile.Groups) map[string]uint64 {
		counts := make(map[string]uint64)
		for _, r := range g.Since(now) {
			counts[strings.Join(r.Values, "|")] = r.Calls
			if r.Sum != time.Duration(r.Calls)*time.Microsecond || len(r.Parts) != 1 || r.Parts[0].Calls != r.Calls {
				t.Errorf("%+v", r)
			}
		}
		return counts
	}
	a := func(n uint64) profile.Group { return group(t, "1", "a, b", "prog (1), a, b", n) }
	b := func(n uint64) profile.Group { return group(t, "2", "", "prog (1) thread 2 x, no file", n) }
	for i, step := range []struct {
		now  *profile.Groups
		want map[string]uint64
	}{
		{of(a(5)), map[string]uint64{"prog (1)|a, b": 5}},
		{of(a(7), b(2)), map[string]uint64{"prog (1)|a, b": 2, "prog (1) thread 2 x|no file": 2}},
		{of(a(7), rest), map[string]uint64{"others|others": 10}},
		{of(a(8), b(9), more), map[string]uint64{"prog (1)|a, b": 1, "others|others": 1}},
		{of(a(8), b(10)), map[string]uint64{"prog (1) thread 2 x|no file": 1}},
		{of(a(7), b(11)), map[string]uint64{"prog (1) thread 2 x|no file": 1}}, // a was among the others for a while
	} {
		if diff := cmp.Diff(step.want, counts(step.now)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

// TestProcessesKeepTheirNames, whatever they call themselves for now: another name would be another row.
func TestProcessesKeepTheirNames(t *testing.T) {
	for _, test := range []struct{ who, name, want string }{
		{"postgres (6) postgres bench [local] UPDATE waiting", "postgres postgres bench [local]", "postgres (6) postgres bench [local]"},
		{"postgres (6) idle, thread 7 worker", "postgres, thread worker", "postgres (6), thread 7 worker"},
		{"postgres (6) bench idle, thread 7", "postgres bench, thread", "postgres (6) bench, thread 7"},
		{"redis-server (9)", "redis-server", "redis-server (9)"},
		{"(9)", "", "(9)"},
		{"odd (name (9), thread 3 x", "odd (name, thread x", "odd (name (9), thread 3 x"},
	} {
		if got := lasting(test.who, test.name); got != test.want {
			t.Errorf("%q is %q, want %q", test.who, got, test.want)
		}
	}
	by := []string{"tid", "fd"}
	names := namesOf(by, &profile.Group{Values: []string{"7", "pipe"}, Who: "postgres (6) idle, thread 7 worker, pipe", Name: "postgres, thread worker, pipe"})
	if names[0] != "postgres (6), thread 7 worker" || names[1] != "pipe" {
		t.Errorf("%q", names)
	}
}

// TestWhatIsWrittenIsRead, and nothing that another version has written.
func TestWhatIsWrittenIsRead(t *testing.T) {
	var pipe bytes.Buffer
	w, err := NewWriter(&pipe, Begin{Traced: "redis-server (1)", Command: true})
	if err != nil {
		t.Fatal(err)
	}
	all := []*Message{{Notice: "a\nb"}, {Aside: true}, {Back: true}, {Update: &Update{Elapsed: 1, By: []string{"tid"}, Rows: []Row{
		{Name: "read", Calls: 1, Spread: Spread{3: 1}, Slowest: []Single{{Took: 1, PID: 2, TID: 3, Who: "x", Ends: "EINTR"}}}},
		Groups: []Row{{Name: "x", Values: []string{"x"}, Parts: []Part{{"read", 1, 0, 1}}}}}}}
	for _, m := range all {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	text := pipe.String()
	r, begin, err := NewReader(&pipe)
	if err != nil || begin.Traced != "redis-server (1)" || !begin.Command {
		t.Fatalf("%+v, %v", begin, err)
	}
	for _, want := range all {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	for _, other := range []string{"", "{}\n", "x\n", strings.Replace(text, `"version":1`, `"version":2`, 1)} {
		if _, _, err := NewReader(strings.NewReader(other)); err == nil {
			t.Errorf("%.40q is read", other)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("{\"begin\":{\"version\":1}}\n{\"update\":{\"rows\":[{\"name\":\"x\",\"spread\":{\"-1\":1}}]}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, err := NewReader(bytes.NewReader(data))
		for err == nil {
			var m *Message
			if m, err = r.Next(); err == nil && m.Update != nil {
				for i := range m.Update.Rows {
					m.Update.Rows[i].Spread.Sorted()
				}
			}
		}
	})
}

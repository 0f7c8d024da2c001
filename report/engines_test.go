package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/syscalltab"
)

func readsOf(calls int, ns int64) *profile.Raw {
	raw := new(profile.Raw)
	for range calls {
		o := raw.Calls[profile.SameCPU].Row(profile.Key{ABI: syscalltab.AMD64, Nr: 0}).Outcome(0)
		o.Latency.Record(ns)
	}
	return raw
}

// What both engines counted is said in a line, and where they differ how.
func TestEngines(t *testing.T) {
	for _, tt := range []struct {
		inKernel *profile.Snapshot
		want     string
	}{
		{nil, ""},
		{readsOf(200, 1000).Snapshot(), "both engines counted the same: 200 calls of 1 kind, 0 errors\n"},
		{readsOf(201, 1000).Snapshot(), "the engines counted differently, 200 calls and 0 errors by ptrace, 201 calls and 0 errors in the kernel:\n  read: 200 calls, 0 errors by ptrace, 201 calls, 0 errors in the kernel\n"},
		{new(profile.Snapshot), "the engines counted differently, 200 calls and 0 errors by ptrace, 0 calls and 0 errors in the kernel:\n  read: 200 calls, 0 errors by ptrace, none in the kernel\n"},
		{readsOf(200, 5000).Snapshot(), "both engines counted the same: 200 calls of 1 kind, 0 errors\nmedians differ of calls that ptrace's stops find other caches for: read 1.00 µs by ptrace and 5.00 µs in the kernel\n"},
		{readsOf(200, 200).Snapshot(), "both engines counted the same: 200 calls of 1 kind, 0 errors\nmedians differ, as ptrace's times have the way into the kernel and out of it in them, or an estimate of what stops take that is too low: read 1.00 µs by ptrace and 200 ns in the kernel\n"},
	} {
		s := readsOf(200, 1000).Snapshot()
		s.InKernel = tt.inKernel
		var out bytes.Buffer
		if err := Engines(&out, s); err != nil || out.String() != tt.want {
			t.Errorf("%v, %q\nwant %q", err, out.String(), tt.want)
		}
	}
}

// Calls of threads that are killed may have returned for one engine alone.
func TestEnginesOfTheKilled(t *testing.T) {
	s := readsOf(200, 1000).Snapshot()
	s.InFlight = []profile.Flight{{Key: s.Rows[0].Key, Why: profile.Killed, Count: 1}}
	s.InKernel = readsOf(201, 1000).Snapshot()
	const want = "both engines counted the same, 200 calls of 1 kind by ptrace, but for calls that had returned in the kernel when their threads were killed, before ptrace saw them: read 200 calls, 0 errors by ptrace and 201 calls, 0 errors in the kernel\n"
	var out bytes.Buffer
	if err := Engines(&out, s); err != nil || out.String() != want {
		t.Errorf("%v, %q\nwant %q", err, out.String(), want)
	}
}

// The price of counting in the kernel is a range, is in JSON, and comes back from there.
func TestPriceOfCounting(t *testing.T) {
	estimate := func(ns int64) profile.Estimate { return profile.Estimate{Ns: ns, LowNs: ns, HighNs: 3 * ns} }
	model := cost.Model{Counting: &cost.Counting{Counted: estimate(100), Others: estimate(40)}}
	s := cost.Correct(readsOf(1000, 500), model, cost.Run{Wall: time.Second, CPUs: 2})
	var out, json bytes.Buffer
	if err := Overhead(&out, s, true); err != nil {
		t.Fatal(err)
	}
	want := "counting in the kernel cost 100 to 300 ns a call; meanwhile each call of all other programs on this machine cost 40 to 120 ns more\n" +
		"that is 100 to 300 µs in all, <0.1 % of the 1.00 s that the run took\n"
	if out.String() != want {
		t.Errorf("%q\nwant %q", out.String(), want)
	}
	if s.Rows[0].RawNs != 0 || s.Rows[0].SumNs != 500_000 {
		t.Errorf("latencies were changed: %d ns", s.Rows[0].SumNs)
	}
	if err := WriteJSON(&json, s, Meta{}); err != nil {
		t.Fatal(err)
	}
	back, _, err := ReadJSON(strings.NewReader(json.String()))
	if err != nil || back.Overhead == nil || back.Overhead.Source != profile.InKernel || back.Overhead.OthersNs != s.Overhead.OthersNs {
		t.Errorf("%v, %+v", err, back.Overhead)
	}
	s.Overhead.OthersNs = profile.Estimate{}
	out.Reset()
	if err := Overhead(&out, s, false); err != nil || !strings.Contains(out.String(), "could not be measured") {
		t.Errorf("%v, %q", err, out.String())
	}
}

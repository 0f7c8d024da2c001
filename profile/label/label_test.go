package label

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sysprof/profile"
)

func TestLabelsAreInTheirOrder(t *testing.T) {
	p, err := Parse("errno,pid,latency,tid,pid")
	check(t, err)
	c := &profile.Call{PID: 7, TID: 1 << 22, ABI: native, Nr: number(t, "read"), Errno: int32(unix.EAGAIN), ExitSeenNs: 1_000}
	want := []Label{
		{Name: "errno", Text: "EAGAIN", IsText: true},
		{Name: "pid", Number: 7},
		{Name: "latency", Number: 768, Unit: "nanoseconds"},
		{Name: "tid", Number: 1 << 22},
	}
	if d := cmp.Diff(want, p.Labels(p.Values(c))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	c.Errno = 0
	if d := cmp.Diff(want[1:], p.Labels(p.Values(c))); d != "" {
		t.Errorf("of a call that succeeded (-want +got):\n%s", d)
	}
	equal(t, "the place of latency", p.Index(Latency), 2)
	equal(t, "the place of what was not chosen", p.Index("fd"), -1)
}

func TestNoProjection(t *testing.T) {
	var p *Projection
	c := &profile.Call{PID: 7}
	p.Entered(c, true)
	p.Returned(c)
	p.Ended(7, 7)
	equal(t, "values", p.Values(c), profile.Values{})
	equal(t, "labels", len(p.Labels(profile.Values{})), 0)
	equal(t, "watched calls", len(p.Watched()), 0)
	equal(t, "a place", p.Index(Latency), -1)
}

func TestUnknownFields(t *testing.T) {
	for _, list := range []string{"", ",", "pid,", "pid,colour", "PID", " pid"} {
		if _, err := Parse(list); err == nil {
			t.Errorf("%q is a choice of fields", list)
		}
	}
	if len(Names()) > profile.MaxFields {
		t.Errorf("there are %d fields, and room for %d", len(Names()), profile.MaxFields)
	}
}

// TestWatchedCalls exist, and those by which a thread gets another name are among them.
func TestWatchedCalls(t *testing.T) {
	for _, name := range Names() {
		p, err := Parse(name)
		check(t, err)
		for _, call := range p.Watched() {
			if _, ok := native.Number(call); !ok && native.String() == "amd64" && call != "fcntl64" {
				t.Errorf("%s watches %s, which there is not", name, call)
			}
		}
	}
	p, err := Parse("comm")
	check(t, err)
	for _, call := range []string{"prctl", "execve", "openat", "close"} {
		if !slices.Contains(p.Watched(), call) {
			t.Errorf("comm does not watch %s", call)
		}
	}
}

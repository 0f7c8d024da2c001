package label

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// TestNothingToSay: the rest of samples that are too small has labels of what they have in common alone.
func TestNothingToSay(t *testing.T) {
	p, err := Parse(strings.Join(Names(), ","))
	check(t, err)
	equal(t, "labels of nothing", len(p.Labels(profile.Values{})), 0)
	c := &profile.Call{PID: 7, TID: 7, ABI: native, Nr: number(t, "read"), AsleepNs: -1}
	rest := p.Rest(p.Values(c))
	if d := cmp.Diff([]Label{{Name: State, Text: "computing", IsText: true}}, p.Labels(rest)); d != "" {
		t.Errorf("of the rest (-want +got):\n%s", d)
	}
	found := false
	for _, l := range p.Labels(p.Values(c)) { // a latency of 0 is one
		found = found || l.Name == Latency && l.Number == 0
	}
	equal(t, "the latency of a call that took nothing is there", found, true)
}

// TestStates: short calls compute, unless all that they do is to wait.
func TestStates(t *testing.T) {
	state := func(name string, ns int64, args ...uint64) string {
		c := &profile.Call{ABI: native, Nr: number(t, name), ExitSeenNs: ns, AsleepNs: -1, CPUNs: -1}
		copy(c.Args[:], args)
		return stateName(stateOf(c))
	}
	const wait, wake, private, waitBitset, clockRealtime = 0, 1, 128, 9, 256
	equal(t, "a read", state("read", 6_000), "computing")
	equal(t, "a long read", state("read", 60_000), "")
	equal(t, "a sleep", state("clock_nanosleep", 6_000), "waiting")
	equal(t, "a look whether there is something", state("ppoll", 600), "computing")
	equal(t, "a wake", state("futex", 6_000, 0, wake|private), "computing")
	equal(t, "a wait", state("futex", 6_000, 0, wait|private), "waiting")
	equal(t, "a wait for a lock", state("futex", 6_000, 0, waitBitset|private|clockRealtime), "waiting")
	for _, name := range waits.Names() {
		if _, ok := native.Number(name); !ok && native.String() == "amd64" && !strings.HasSuffix(name, "_time64") &&
			!slices.Contains([]string{"sigsuspend", "waitpid", "_newselect"}, name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestUnfinishedCalls have what is known of a thread that is still in its call.
func TestUnfinishedCalls(t *testing.T) {
	p, err := Parse("fd,state,latency,tid,thread_name")
	check(t, err)
	path := filepath.Join(t.TempDir(), "file")
	fd := open(t, path)
	defer unix.Close(fd)
	name, err := os.ReadFile("/proc/self/comm")
	check(t, err)
	f := &profile.InFlight{PID: pid, TID: pid, ABI: native, Nr: number(t, "read"), Args: [6]uint64{uint64(fd)}, SoFarNs: 2e9}
	rest := []Label{
		{Name: State, Text: "unfinished", IsText: true},
		{Name: Latency, Number: 3 << 29, Unit: "nanoseconds"},
		{Name: "tid", Number: int64(pid)},
		{Name: "thread_name", Text: strings.TrimSpace(string(name)), IsText: true},
	}
	want := slices.Concat([]Label{{Name: "fd", Text: path, IsText: true}}, rest)
	for _, stopped := range []bool{false, true} {
		if f.NotStopped = !stopped; stopped {
			p.Entered(&profile.Call{PID: pid, TID: pid, ABI: native, Nr: f.Nr, Args: f.Args}, true)
		}
		if d := cmp.Diff(want, p.Labels(p.Unfinished(f))); d != "" {
			t.Errorf("was its entry seen? %v (-want +got):\n%s", stopped, d)
		}
		p.Ended(pid, pid)
	}
	f.NotStopped = false
	if d := cmp.Diff(rest, p.Labels(p.Unfinished(f))); d != "" {
		t.Errorf("of a call that the field does not know (-want +got):\n%s", d)
	}
}

// TestFieldsAreLabels: Prometheus' rule for names of labels is that of Pyroscope and of Parca, too
// (prometheus/common, model/labels.go, LabelName.IsValidLegacy; Pyroscope's pkg/validation/validate.go and Parca's
// pkg/normalizer/normalizer.go ask it), and those that begin with two underscores are reserved.
func TestFieldsAreLabels(t *testing.T) {
	for _, name := range Names() {
		if !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`).MatchString(name) || strings.HasPrefix(name, "__") {
			t.Errorf("%q is no name of a label", name)
		}
	}
}

func TestNoProjection(t *testing.T) {
	var p *Projection
	c := &profile.Call{PID: 7}
	p.Entered(c, true)
	p.Returned(c)
	p.Ended(7, 7)
	equal(t, "values", p.Values(c), profile.Values{})
	equal(t, "labels", len(p.Labels(profile.Values{})), 0)
	equal(t, "values that others are told apart by", p.Rest(profile.Values{1}), profile.Values{})
	equal(t, "values of an unfinished call", p.Unfinished(&profile.InFlight{PID: 7}), profile.Values{})
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
	for _, call := range []string{"prctl", "execve", "openat", "close"} { // of the process's first thread
		if !slices.Contains(p.Watched(), call) {
			t.Errorf("comm does not watch %s", call)
		}
	}
}

package inkernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"
	"testing"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// What drawn calls stand for is as many as there are, and as much time, for frequent calls and for rare ones.
func TestDrawnCallsStandForAll(t *testing.T) {
	for _, tt := range []struct {
		what string
		by   Fields
	}{{"busy 1500", 0}, {"sleeps", 0}, {"getppid 4 200000", 0}, {"busy 400", ByTID | ByComm | ByCgroup}} {
		what := tt.what
		t.Run(fmt.Sprint(what, tt.by), func(t *testing.T) {
			c := load(t, Options{Draws: true, By: tt.by})
			got := make(map[uint64]*drawnSums)
			if err := c.Draw(true, func(d *Drawn) bool {
				if d.Kind == Returned || d.Kind == Follows {
					if got[d.Nr] == nil {
						got[d.Nr] = new(drawnSums)
					}
					got[d.Nr].add(d.Weight, float64(d.Ns))
				}
				return false
			}); err != nil {
				t.Fatal(err)
			}
			counts(t, c, what)
			if err := c.DrawnAll(); err != nil {
				t.Fatal(err)
			}
			raw, err := c.TakeLast()
			if err != nil {
				t.Fatal(err)
			}
			if tt.by != 0 {
				groups, err := c.TakeGroups(true)
				check(t, err)
				for i := range groups {
					for j := range groups[i].Rows {
						groups[i].Rows[j].AddTo(raw)
					}
				}
			}
			for _, r := range raw.Snapshot().Rows {
				sum := got[r.Nr]
				if sum == nil {
					t.Errorf("%s: %d calls, none drawn", r.ABI.Name(r.Nr), r.Calls)
					continue
				}
				const many = 1000 // a burst of less may be over before it is known how frequent its calls are
				if r.Calls < many || c.Losses().NoStack != 0 {
					continue
				}
				if !sum.calls.standsFor(float64(r.Calls)) {
					t.Errorf("%s: %d calls, those that were drawn stand for %v", r.ABI.Name(r.Nr), r.Calls, sum.calls)
				}
				if !sum.ns.standsFor(float64(r.SumNs)) {
					t.Errorf("%s: %d ns, those that were drawn stand for %v", r.ABI.Name(r.Nr), r.SumNs, sum.ns)
				}
			}
		})
	}
}

// drawnSums are what the drawn calls of a row stand for.
type drawnSums struct{ calls, ns estimate }

func (s *drawnSums) add(weight, ns float64) {
	s.calls.add(weight, 1)
	s.ns.add(weight, ns)
}

// estimate is the sum of what was drawn, each times its weight, and the variance of that: where what has been drawn at one of w
// stands for w (Horvitz and Thompson 1952, of draws that do not depend on each other).
type estimate struct{ sum, variance float64 }

func (e *estimate) add(weight, x float64) {
	e.sum += weight * x
	e.variance += weight * (weight - 1) * x * x
}

// standsFor reports whether the truth may be that: it is not six standard deviations off.
func (e estimate) standsFor(truth float64) bool {
	return math.Abs(e.sum-truth) <= 6*math.Sqrt(e.variance)+truth/100
}

func (e estimate) String() string { return fmt.Sprintf("%.0f ± %.0f", e.sum, math.Sqrt(e.variance)) }

// A drawn call comes with the memory of its thread, from the stack pointer on.
func TestDrawnCallHasItsStack(t *testing.T) {
	c := load(t, Options{Draws: true})
	var found atomic.Bool
	if err := c.Draw(true, func(d *Drawn) bool {
		nr, _ := syscalltab.Native()[0].Number("nanosleep")
		if d.Kind == Returned && d.Nr == nr && len(d.Stack) > 0 && d.StackPointer() != 0 && d.IP != 0 && d.Process != "" && d.Name != "" {
			found.Store(true)
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	counts(t, c, "sleeps")
	if err := c.DrawnAll(); err != nil {
		t.Fatal(err)
	}
	if !found.Load() {
		t.Error("no call was drawn with its stack")
	}
}

// Records are not believed: one that has anything impossible in it is nothing.
func TestRecordsAreChecked(t *testing.T) {
	const copied = 100
	drawn := func(change func(*drawnHead)) bool {
		var h drawnHead
		change(&h)
		record, err := binary.Append(nil, binary.NativeEndian, &h)
		check(t, err)
		return new(Drawn).parse(append(record, make([]byte, copied)...))
	}
	slow := func(change func(*slowRecord)) bool {
		var r slowRecord
		change(&r)
		record, err := binary.Append(nil, binary.NativeEndian, &r)
		check(t, err)
		return new(Slow).parse(record)
	}
	for what, good := range map[string]bool{
		"nothing in it":  drawn(func(*drawnHead) {}) && slow(func(*slowRecord) {}),
		"a whole stack":  drawn(func(h *drawnHead) { h.Stack, h.Beyond = copied/2, copied/2 }),
		"the last kinds": drawn(func(h *drawnHead) { h.ABI, h.Why = 2, 3 }) && slow(func(r *slowRecord) { r.ABI, r.Why, r.Kind = 2, 3, 2 }),
	} {
		if !good {
			t.Errorf("with %s it is refused", what)
		}
	}
	for what, good := range map[string]bool{
		"half a head":      new(Drawn).parse(make([]byte, 200)) || new(Slow).parse(make([]byte, 50)),
		"an ABI":           drawn(func(h *drawnHead) { h.ABI = 3 }) || slow(func(r *slowRecord) { r.ABI = 3 }),
		"an ending":        drawn(func(h *drawnHead) { h.Why = 4 }) || slow(func(r *slowRecord) { r.Why = 4 }),
		"a kind":           slow(func(r *slowRecord) { r.Kind = 3 }),
		"a stack":          drawn(func(h *drawnHead) { h.Stack = copied + 1 }),
		"another stack":    drawn(func(h *drawnHead) { h.Beyond = copied + 1 }),
		"both too long":    drawn(func(h *drawnHead) { h.Stack, h.Beyond = copied, 1 }),
		"both, 2^32 later": drawn(func(h *drawnHead) { h.Stack, h.Beyond = 1<<31, 1<<31 }),
	} {
		if good {
			t.Errorf("with %s that there is not it is taken", what)
		}
	}
}

// The pace follows how many there are, slowly and within bounds.
func TestNextGap(t *testing.T) {
	gap := shortestGap
	for range 100 {
		gap = nextGap(gap, 1e6)
	}
	if gap != longestGap {
		t.Errorf("after too many for long it is %v", gap)
	}
	if next := nextGap(gap, drawnASecond); next != gap {
		t.Errorf("from %v to %v when there are as many as there are to be", gap, next)
	}
	for range 100 {
		gap = nextGap(gap, 0)
	}
	if gap != shortestGap {
		t.Errorf("after none for long it is %v", gap)
	}
}

// Where drawn calls come faster than they are taken, some are lost, and known to be. What is counted does not depend on it.
func TestDrawnCallsThatAreLost(t *testing.T) {
	c := load(t, Options{Draws: true, ring: 64 << 10})
	goOn := make(chan struct{})
	got := 0
	if err := c.Draw(true, func(*Drawn) bool {
		<-goOn
		got++
		return false
	}); err != nil {
		t.Fatal(err)
	}
	counts(t, c, "getppid 4 20000")
	close(goOn)
	if err := c.DrawnAll(); err != nil {
		t.Fatal(err)
	}
	raw, err := c.TakeLast()
	if err != nil {
		t.Fatal(err)
	}
	nr, _ := syscalltab.Native()[0].Number("getppid")
	calls, _ := raw.Calls[profile.SameCPU].Row(profile.Key{ABI: syscalltab.Native()[0], Nr: nr}).Counts()
	if lost := c.Losses().NoStack; calls != 80000 || lost == 0 || got == 0 {
		t.Errorf("%d calls, %d drawn, %d lost", calls, got, lost)
	}
}

// The end of a call is not told of where there was no room for the stack and the names that it began with, though there is for so
// little: it would be taken for a call of what the process has become.
func TestDrawnEndsFollowCopies(t *testing.T) {
	execve, err := syscalltab.ParseSet("execve", syscalltab.Native()...)
	check(t, err)
	c := load(t, Options{Draws: true, Calls: execve, ring: 64 << 10})
	goOn := make(chan struct{})
	began := make(map[uint64]bool)
	followed, alone := 0, 0
	if err := c.Draw(true, func(d *Drawn) bool {
		<-goOn
		switch {
		case d.Kind == Copied:
			began[d.Thread] = true
		case d.Kind == Follows && began[d.Thread]:
			began[d.Thread] = false
			followed++
		case d.Kind == Follows:
			alone++
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	counts(t, c, "execs 500")
	close(goOn)
	if err := c.DrawnAll(); err != nil {
		t.Fatal(err)
	}
	if lost := c.Losses().NoStack; lost == 0 || followed == 0 || alone != 0 {
		t.Errorf("%d lost, %d ends that follow a copy, %d that follow none", lost, followed, alone)
	}
}

// counts counts the calls that a target makes.
func counts(t *testing.T, c *Counter, what string) {
	t.Helper()
	p := startTarget(t, what)
	if err := c.Add(p.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := c.Begin(); err != nil {
		t.Fatal(err)
	}
	p.makesCalls(t)
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
}

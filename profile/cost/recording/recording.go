// Package recording keeps all that a model of what tracing adds has to go by in one run, and the truth: the calls and
// controls in their order, the calibration, and how long the calls took untraced, just before and just after. So one
// model can be compared with another by the same data, which no two runs give.
//
// A file is gzip of one JSON object, a Run. Its calls and controls stand in columns, for compression: the i-th of each is
// of the same call or control. Times are rounded: what is compared with the truth to 10 ns, the rest to two digits.
package recording

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/syscalltab"
)

// Run is a recorded run.
type Run struct {
	Condition  string     `json:"condition"` // where the program ran, and how, as bench names it
	Model      cost.Model `json:"model"`
	WallNs     int64      `json:"wall_ns"`
	CPUs       int        `json:"cpus"`
	Events     Events     `json:"events"`
	Kinds      []Kind     `json:"kinds"`
	Truth      []Truth    `json:"truth,omitempty"` // of calls
	UntracedNs [2]float64 `json:"untraced_ns"`     // the program's time just before, and just after
}

// Kind is what calls are alike in.
type Kind struct {
	ABI   syscalltab.ABI `json:"abi"`
	Nr    uint64         `json:"nr"`
	Errno int32          `json:"errno,omitempty"`
}

// Truth is how long the calls of a row took untraced, just before the run and just after it.
type Truth struct {
	Kind   string         `json:"kind"`
	ABI    syscalltab.ABI `json:"abi"`
	Nr     uint64         `json:"nr"`
	Before Figures        `json:"before"`
	After  Figures        `json:"after"`
}

// Figures are a median and a mean, in nanoseconds.
type Figures struct {
	P50  float64 `json:"p50"`
	Mean float64 `json:"mean"`
}

// Events are calls and controls.
type Events struct {
	Kind    []int   `json:"kind"` // index of Run.Kinds, or aControl
	Thread  []int32 `json:"thread"`
	Flags   []int   `json:"flags"`
	GapNs   []int64 `json:"gap"`   // Call.GapNs
	EntryNs []int64 `json:"entry"` // how long the thread stood at its entry-stop
	RawNs   []int64 `json:"raw"`   // in 10 ns
	ExitNs  []int64 `json:"exit"`  // how long it stood at its exit-stop

	Waits []int64 `json:"waits"` // of those with the flag, waitsFields each
}

const aControl = -1

// Flags of an event.
const (
	queued = 1 << iota
	crossCPU
	waited // there are Waits
	known  // Waits.Known
	woken
	overtaken // Waits.Overtaken
)

const waitsFields = 6

// Feed returns what takes calls and controls into the Run, and hands them on. They have to come from one thread.
func (r *Run) Feed(next profile.Feeder) profile.Feeder {
	return &feeder{run: r, next: next, kinds: make(map[Kind]int)}
}

type feeder struct {
	run   *Run
	next  profile.Feeder
	kinds map[Kind]int
}

func (f *feeder) Call(c *profile.Call) {
	k := Kind{c.ABI, c.Nr, c.Errno}
	i, found := f.kinds[k]
	if !found {
		i = len(f.run.Kinds)
		f.kinds[k] = i
		f.run.Kinds = append(f.run.Kinds, k)
	}
	f.run.Events.add(i, c.TID, c.Queued, c.CrossCPU, c.GapNs, c.EntryResumedNs-c.EntrySeenNs, int64(c.RawLatency()), c.ExitResumedNs-c.ExitSeenNs, &c.Waits)
	if c.Woken {
		f.run.Events.Flags[len(f.run.Events.Flags)-1] |= woken
	}
	f.next.Call(c)
}

func (f *feeder) Control(c *profile.Control) {
	f.run.Events.add(aControl, c.TID, c.Queued, c.CrossCPU, 0, 0, c.RawNs, c.HoldNs, &c.Waits)
	f.next.Control(c)
}

// Grow makes room for n events, so that nothing has to be moved while a program is traced.
func (e *Events) Grow(n int) {
	e.Kind, e.Thread, e.Flags = slices.Grow(e.Kind, n), slices.Grow(e.Thread, n), slices.Grow(e.Flags, n)
	e.GapNs, e.EntryNs, e.RawNs, e.ExitNs = slices.Grow(e.GapNs, n), slices.Grow(e.EntryNs, n), slices.Grow(e.RawNs, n), slices.Grow(e.ExitNs, n)
	e.Waits = slices.Grow(e.Waits, n)
}

func (e *Events) add(kind int, thread int32, inLine, crossed bool, gapNs, entryNs, rawNs, exitNs int64, w *profile.Waits) {
	flags := 0
	set := func(flag int, is bool) {
		if is {
			flags |= flag
		}
	}
	set(queued, inLine)
	set(crossCPU, crossed)
	set(waited, *w != profile.Waits{})
	set(known, w.Known)
	set(overtaken, w.Overtaken)
	e.Kind, e.Thread, e.Flags = append(e.Kind, kind), append(e.Thread, thread), append(e.Flags, flags)
	e.GapNs, e.EntryNs = append(e.GapNs, rounded(gapNs)), append(e.EntryNs, rounded(entryNs))
	e.RawNs, e.ExitNs = append(e.RawNs, (rawNs+5)/10), append(e.ExitNs, rounded(exitNs))
	if flags&waited != 0 {
		e.Waits = append(e.Waits, w.TracerNs, int64(w.TracerStops), int64(w.Stops), w.SinceNs, w.RanNs, w.WaitedNs)
	}
}

// rounded is ns to two digits.
func rounded(ns int64) int64 {
	unit := int64(1)
	for ns/unit >= 100 {
		unit *= 10
	}
	return (ns + unit/2) / unit * unit
}

// Replay has a model see the run, and returns what it makes of it.
func (r *Run) Replay(m cost.Model) *profile.Snapshot {
	p := profile.New()
	shard, stream := p.Shard(), m.NewStream()
	waits := r.Events.Waits
	nowNs := int64(1)
	for i, kind := range r.Events.Kind {
		e, flags := &r.Events, r.Events.Flags[i]
		var w profile.Waits
		if flags&waited != 0 {
			w = profile.Waits{TracerNs: waits[0], TracerStops: int32(waits[1]), Overtaken: flags&overtaken != 0, Known: flags&known != 0, Stops: int32(waits[2]),
				SinceNs: waits[3], RanNs: waits[4], WaitedNs: waits[5]}
			waits = waits[waitsFields:]
		}
		rawNs := e.RawNs[i] * 10
		if kind == aControl {
			c := &profile.Control{TID: e.Thread[i], AtNs: nowNs, RawNs: rawNs, HoldNs: e.ExitNs[i], CrossCPU: flags&crossCPU != 0, Queued: flags&queued != 0, Waits: w}
			shard.Control(c.Condition(), stream.Control(c))
			nowNs += rawNs + c.HoldNs
			continue
		}
		k := r.Kinds[kind]
		c := &profile.Call{TID: e.Thread[i], ABI: k.ABI, Nr: k.Nr, Errno: k.Errno, CPUNs: -1, GapNs: e.GapNs[i],
			Queued: flags&queued != 0, CrossCPU: flags&crossCPU != 0, Woken: flags&woken != 0, Waits: w}
		c.EntrySeenNs = nowNs + max(c.GapNs, 0)
		c.EntryResumedNs = c.EntrySeenNs + e.EntryNs[i]
		c.ExitSeenNs = c.EntryResumedNs + rawNs
		c.ExitResumedNs = c.ExitSeenNs + e.ExitNs[i]
		nowNs = c.ExitResumedNs
		stream.Call(c)
		shard.Add(c)
	}
	return cost.Correct(p.Raw(), m, cost.Run{Wall: time.Duration(r.WallNs), CPUs: r.CPUs})
}

// Write writes the run to a new file.
func (r *Run) Write(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(packed).Encode(r); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return file.Close()
}

// Read reads a file.
func Read(path string) (*Run, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	r := new(Run)
	if err := json.NewDecoder(plain).Decode(r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// Package label says what a call is about besides its number: whose it is, what the process and the thread are called,
// which file, pipe or socket it works on, how it failed, how long it took, whether it computed or waited.
//
// Each of these is a Field: one value with a name, a way to take it from a call as a number, a way to print that
// number, and the calls that have to be seen for it to be right, whether they are asked for or not. A Projection
// is a choice of fields, parsed once; it gives the Values by which calls are told apart. Projection.Watched
// names the calls that no filter may leave out.
//
// A Grouping is those of the fields by which groups of calls are told apart, and says who a group is. Only says which calls are kept
// by the values of their fields. Both add what they need to a Projection, so that nothing is asked for twice.
//
// To add a field, add it to the table below. One that has to follow what programs do is a tracker (see thread
// names and descriptors); all others are taken from the call alone.
//
// It is not for counting calls, and knows no output format.
package label

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/suggest"
)

// Field is one thing that can be said of a call.
type Field struct {
	Name string // as people choose it and as it is printed
	Unit string // of a number; "": it has none

	take  func(*profile.Call) uint32 // nil: a tracker takes it
	track func(*names) tracker
	whose bool                      // it is the same for all calls of a thread, until what it is taken from begins another epoch of names
	text  func(value uint32) string // nil: it is a number, or a tracker's name
	exact func(value uint32) int64  // a number; nil: the value itself, signed
}

// fields are all that there are. Of the value 0 there is nothing to say.
//
// The names are also what Prometheus takes for names of labels, as do Pyroscope and Parca, where they become some. comm and
// thread_name mean what they mean in profiles of parca-agent.
var fields = []Field{
	{Name: State, take: stateOf, text: stateName},
	{Name: fieldPID, whose: true, take: func(c *profile.Call) uint32 { return uint32(c.PID) }},
	{Name: fieldTID, whose: true, take: func(c *profile.Call) uint32 { return uint32(c.TID) }},
	{Name: fieldComm, whose: true, track: func(n *names) tracker { return newThreadNames(n, func(c *profile.Call) int32 { return c.PID }) }},
	{Name: fieldThread, whose: true, track: func(n *names) tracker { return newThreadNames(n, func(c *profile.Call) int32 { return c.TID }) }},
	{Name: fieldErrno, take: func(c *profile.Call) uint32 { return uint32(c.Errno) }, text: errnoName},
	{Name: Latency, Unit: "nanoseconds", take: func(c *profile.Call) uint32 { return latencyValue(int64(c.Latency())) },
		exact: func(value uint32) int64 { return profile.LatencyBucketNs(value - 1) }},
	{Name: "fd", track: newDescriptors},
	{Name: fieldCgroup, whose: true, track: newControlGroups},
}

// Fields that say who a group is, whatever it is told apart by.
const (
	fieldPID    = "pid"
	fieldTID    = "tid"
	fieldComm   = "comm"
	fieldThread = "thread_name"
	fieldErrno  = "errno"
	fieldCgroup = "cgroup"
)

// Latency is the field whose values are taken when a call returns, and are to be corrected together with its latency before they
// are printed.
const Latency = "latency"

func latencyValue(ns int64) uint32 { return 1 + profile.LatencyBucket(ns) }

// Names lists the names of all fields.
func Names() []string {
	var all []string
	for i := range fields {
		all = append(all, fields[i].Name)
	}
	return all
}

func errnoName(errno uint32) string { return syscalltab.Errno(int(errno)) }

// tracker follows what threads do as far as a field depends on it. It is safe for concurrent use, as long as
// each thread's stops are told in their order. What the kernel has to be asked for is asked for without a lock. No
// memory of the program's is read: it may be memory that another of its threads brings, which stands still.
type tracker interface {
	// value is asked for when the call has returned, before returned.
	value(c *profile.Call) uint32
	returned(c *profile.Call)
	ended(pid, tid int32)
	// watched names the calls of which entered and returned have to be told.
	watched() []string
}

// entryTracker is a tracker that has to be told of entry-stops.
type entryTracker interface {
	tracker
	// entered is told of an entry-stop. wanted says that the value will be asked for.
	entered(c *profile.Call, wanted bool)
}

// Projection is a choice of fields. A nil one has none. Entered, Returned, Values and Ended are safe for
// concurrent use, as long as each thread's stops are told in their order.
type Projection struct {
	fields   []*Field
	chosen   int       // how many of these are labels; the others are of groups alone
	told     []*Field  // what calls are told apart or chosen by, labels or not
	trackers []tracker // by field, nil for those that need none
	active   []tracker // those that are not nil
	entries  []entryTracker
	names    *names
	cgroups  cgroupTexts
}

// Parse reads a choice of fields: names with commas between them. A name that is given twice counts once.
func Parse(list string) (*Projection, error) {
	p := None()
	for name := range strings.SplitSeq(list, ",") {
		f, err := named(name, "label", Names())
		if err != nil {
			return nil, err
		}
		p.add(f)
	}
	if len(p.fields) > profile.MaxFields {
		return nil, errors.New("so many labels at once are not possible")
	}
	p.chosen = len(p.fields)
	return p, nil
}

// None returns a choice of no fields, to which Group may add some.
func None() *Projection { return &Projection{names: newNames()} }

// named finds the field of a name, which is what it is said to be.
func named(name, what string, among []string) (*Field, error) {
	if !slices.Contains(among, name) {
		return nil, fmt.Errorf("unknown %s %q%s; there are %s", what, name, suggest.DidYouMean(name, among), strings.Join(among, ", "))
	}
	return &fields[slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })], nil
}

// add adds a field that is not there yet.
func (p *Projection) add(f *Field) {
	if slices.Contains(p.fields, f) {
		return
	}
	p.fields = append(p.fields, f)
	var t tracker
	if f.track != nil {
		t = f.track(p.names)
		p.active = append(p.active, t)
		if at, ok := t.(entryTracker); ok {
			p.entries = append(p.entries, at)
		}
	}
	p.trackers = append(p.trackers, t)
}

// tell adds a field that calls are told apart or chosen by.
func (p *Projection) tell(f *Field) {
	p.add(f)
	p.told = append(p.told, f)
}

// Index is the place of a field's value among the Values, -1 if it was not chosen.
func (p *Projection) Index(name string) int {
	if p == nil {
		return -1
	}
	return slices.IndexFunc(p.fields, func(f *Field) bool { return f.Name == name })
}

// Watched names the calls that Entered and Returned have to be told of, asked for or not.
func (p *Projection) Watched() []string {
	if p == nil {
		return nil
	}
	var all []string
	for _, t := range p.active {
		all = append(all, t.watched()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Tracks reports whether Returned and Ended have anything to do.
func (p *Projection) Tracks() bool { return p != nil && len(p.active) > 0 }

// TracksEntries reports whether Entered has anything to do.
func (p *Projection) TracksEntries() bool { return p != nil && len(p.entries) > 0 }

// Entered is told of an entry-stop. wanted says that Values will be asked for when the call has returned.
func (p *Projection) Entered(c *profile.Call, wanted bool) {
	if p == nil {
		return
	}
	for _, t := range p.entries {
		t.entered(c, wanted)
	}
}

// Values are what tells a finished call apart. They are asked for before Returned is told of it.
func (p *Projection) Values(c *profile.Call) (v profile.Values) {
	if p == nil {
		return v
	}
	for i := range p.fields {
		v[i] = p.value(i, c)
	}
	return v
}

// Named are the values of a finished call of which it is known what its process and its thread were called.
func (p *Projection) Named(c *profile.Call, process, thread string) (v profile.Values) {
	if p == nil {
		return v
	}
	for i, f := range p.fields {
		switch f.Name {
		case fieldComm:
			v[i] = p.names.number(process)
		case fieldThread:
			v[i] = p.names.number(thread)
		default:
			v[i] = p.value(i, c)
		}
	}
	return v
}

// NamedUnfinished are those of a call that has not returned, likewise.
func (p *Projection) NamedUnfinished(c *profile.Call, process, thread string) profile.Values {
	v := p.Named(c, process, thread)
	if i := p.Index(State); i >= 0 {
		v[i] = uint32(profile.Unfinished)
	}
	return v
}

// value is that of field i.
func (p *Projection) value(i int, c *profile.Call) uint32 {
	if f := p.fields[i]; f.take != nil {
		return f.take(c)
	}
	return p.trackers[i].value(c)
}

// Unfinished are what tells a call apart that has not returned.
func (p *Projection) Unfinished(f *profile.InFlight) profile.Values {
	if p == nil {
		return profile.Values{}
	}
	c := profile.Call{PID: f.PID, TID: f.TID, ABI: f.ABI, Nr: f.Nr, Args: f.Args, Ret: -1, ExitSeenNs: f.SoFarNs, ExitResumedNs: f.SoFarNs, CPUNs: -1, GapNs: -1}
	if f.NotStopped {
		p.Entered(&c, true)
	}
	v := p.Values(&c)
	if i := p.Index(State); i >= 0 {
		v[i] = uint32(profile.Unfinished)
	}
	return v
}

// Rest are those of the values that calls are told apart by even if there are too many to tell them apart by all.
func (p *Projection) Rest(v profile.Values) (rest profile.Values) {
	if i := p.Index(State); i >= 0 {
		rest[i] = v[i]
	}
	return rest
}

// Corrected returns a function that tells the values of calls of which it became known how long they took: it is told what they
// were, and the latency of each. It is nil if no value depends on that.
func (p *Projection) Corrected() func(v profile.Values, ns int64) profile.Values {
	i := p.Index(Latency)
	if i < 0 {
		return nil
	}
	return func(v profile.Values, ns int64) profile.Values {
		if v[i] != 0 { // as it is of others
			v[i] = latencyValue(ns)
		}
		return v
	}
}

// Returned is told of a finished call.
func (p *Projection) Returned(c *profile.Call) {
	if p == nil {
		return
	}
	for _, t := range p.active {
		t.returned(c)
	}
}

// Ended is told of a thread that has ended; with its first thread, tid == pid, a process has.
func (p *Projection) Ended(pid, tid int32) {
	if p == nil {
		return
	}
	for _, t := range p.active {
		t.ended(pid, tid)
	}
}

// Label is the value of one field in print.
type Label struct {
	Name   string
	Text   string // if it is one
	Number int64  // otherwise
	Unit   string // of the number
	IsText bool
}

// Labels prints values. A field of which there is nothing to say, as the errno of a call that succeeded, is
// left out.
func (p *Projection) Labels(v profile.Values) []Label {
	if p == nil {
		return nil
	}
	var labels []Label
	for i := range p.fields {
		if v[i] != 0 {
			labels = append(labels, p.label(i, v[i]))
		}
	}
	return labels
}

// Lost says how many different names are kept at most, and whether there were more.
func (p *Projection) Lost() (kept int, lost bool) {
	if p == nil {
		return 0, false
	}
	return p.names.lost()
}

// label prints the value of field i, of which there is something to say.
func (p *Projection) label(i int, value uint32) Label {
	f := p.fields[i]
	l := Label{Name: f.Name, Unit: f.Unit}
	switch {
	case f.text != nil:
		l.Text, l.IsText = f.text(value), true
	case f.track != nil:
		l.Text, l.IsText = p.names.of(value), true
	case f.exact != nil:
		l.Number = f.exact(value)
	default:
		l.Number = int64(int32(value))
	}
	return l
}

// Chosen leaves of the values those that are labels, and not of groups alone.
func (p *Projection) Chosen(v profile.Values) profile.Values {
	if p != nil {
		clear(v[p.chosen:])
	}
	return v
}

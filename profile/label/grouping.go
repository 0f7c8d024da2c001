package label

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"sysprof/profile"
)

// Grouping is the fields of a projection that groups of calls are told apart by. Its methods are safe for concurrent use.
type Grouping struct {
	p    *Projection
	list []int // the fields, by their places among the values
	mask profile.Values
	// Places of what says who a group is; -1: it says nothing.
	pid, tid, comm, thread int
	titles                 *titles // nil: groups are not told apart by processes
}

// GroupNames lists the names of the fields that groups can be told apart by: all but the latency, of which each group has the
// distribution.
func GroupNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == Latency })
}

// Group adds a choice of fields that groups are told apart by: names with commas between them. A name that is given twice counts
// once.
func (p *Projection) Group(list string) (*Grouping, error) {
	g := &Grouping{p: p}
	p.names.most = maxGroupNames
	for name := range strings.SplitSeq(list, ",") {
		f, err := named(name, "field", GroupNames())
		if err != nil {
			return nil, err
		}
		p.tell(f)
		if i := p.Index(name); !slices.Contains(g.list, i) {
			g.list = append(g.list, i)
			g.mask[i] = ^uint32(0)
		}
	}
	// Who is a process is its name, and of a thread both.
	if g.groupsBy(fieldPID) || g.groupsBy(fieldTID) {
		g.add(fieldPID)
		g.add(fieldComm)
		g.titles = newTitles()
	}
	if g.groupsBy(fieldTID) {
		g.add(fieldThread)
	}
	g.pid, g.tid, g.comm, g.thread = p.Index(fieldPID), p.Index(fieldTID), p.Index(fieldComm), p.Index(fieldThread)
	return g, nil
}

func (g *Grouping) add(name string) {
	f, _ := named(name, "field", Names())
	g.p.tell(f)
}

func (g *Grouping) groupsBy(name string) bool {
	i := g.p.Index(name)
	return i >= 0 && g.mask[i] != 0
}

// By lists the names of the fields.
func (g *Grouping) By() (names []string) {
	for _, i := range g.list {
		names = append(names, g.p.fields[i].Name)
	}
	return names
}

// Key leaves of values those that tell groups apart.
func (g *Grouping) Key(v *profile.Values) (key profile.Values) {
	for i := range key {
		key[i] = v[i] & g.mask[i]
	}
	return key
}

// Seen is told of a group that has made so many calls, of which the last one had these values.
func (g *Grouping) Seen(calls uint64, last *profile.Values) {
	// What a process calls itself is said after a few calls, and may change.
	if g.titles != nil && calls&(calls-1) == 0 && bits.TrailingZeros64(calls)%3 == 0 {
		g.titles.read(int32(last[g.pid]))
	}
}

// Met is told of a group whose calls have been added up elsewhere, of which the first have come in.
func (g *Grouping) Met(last *profile.Values) {
	if g.titles != nil {
		g.titles.read(int32(last[g.pid]))
	}
}

// Refresh looks again who the groups are whose last calls had these values, if that does not take long.
func (g *Grouping) Refresh(last []profile.Values) {
	if g.titles == nil {
		return
	}
	seen := make(map[uint32]bool)
	for i := range last {
		if pid := last[i][g.pid]; pid != 0 && !seen[pid] {
			seen[pid] = true
			g.titles.read(int32(pid))
		}
	}
	const patience = 50 * time.Millisecond
	g.titles.await(patience)
}

// Describe says of a group who it is, by its key and all values of its last call.
func (g *Grouping) Describe(to *profile.Group, key, last *profile.Values) {
	var who, name []string
	said := make([]bool, len(g.p.fields))
	add := func(itsWho, itsName string) {
		who = append(who, itsWho)
		if itsName != "" {
			name = append(name, itsName)
		}
	}
	for _, i := range g.list {
		to.Values = append(to.Values, g.p.text(i, key[i]))
	}
	if g.groupsBy(fieldPID) || g.groupsBy(fieldTID) {
		process := g.p.text(g.comm, last[g.comm])
		title := g.titles.of(int32(last[g.pid]))
		itsWho := fmt.Sprintf("%s (%d)", process, int32(last[g.pid]))
		if process == "" {
			itsWho = fmt.Sprintf("(%d)", int32(last[g.pid]))
		}
		add(joined(itsWho, title.now), joined(process, title.always))
		for _, i := range []int{g.pid, g.comm} {
			said[i] = true
		}
	}
	if g.groupsBy(fieldTID) {
		if thread := g.p.text(g.thread, last[g.thread]); last[g.tid] != last[g.pid] {
			add(joined(fmt.Sprintf("thread %d", int32(last[g.tid])), thread), joined("thread", thread))
		}
		said[g.tid], said[g.thread] = true, true
	}
	for _, i := range g.list {
		if said[i] {
			continue
		}
		text := g.p.text(i, key[i])
		if text == "" {
			text = nothings[g.p.fields[i].Name]
		}
		add(text, text)
	}
	to.Who, to.Name = strings.Join(who, ", "), strings.Join(name, ", ")
}

// nothings is what people read where there is nothing to say of a field.
var nothings = map[string]string{
	State: "not known whether computing or waiting", fieldComm: "no name", fieldThread: "no name",
	"errno": "no error", "fd": "no file", "cgroup": "no cgroup",
}

// Nothing is what people read where there is nothing to say of a field; "" if that is nothing.
func Nothing(field string) string { return nothings[field] }

// text prints the value of field i, "" if there is nothing to say.
func (p *Projection) text(i int, value uint32) string {
	if value == 0 {
		return ""
	}
	l := p.label(i, value)
	if l.IsText {
		return l.Text
	}
	return fmt.Sprint(l.Number)
}

// joined is both words with a blank between them, if both are there.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

package session

import (
	"cmp"
	"slices"
	"sync"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/report/page"
)

// groups adds calls up by who makes them. A nil one takes nothing.
type groups struct {
	by  *label.Grouping
	all *profile.Grouper

	// Of intervals: a call is counted in one, and in a group of the same one, while gate is held for reading.
	cuts  bool // there are intervals
	gate  sync.RWMutex
	piece *profile.Grouper // since the last one, guarded by gate
}

// groupMemo is what the thread of a feeder remembers.
type groupMemo struct {
	all, piece profile.GroupMemo
	of         *profile.Grouper // that piece is of
}

func newGroups(by *label.Grouping, intervals bool) *groups {
	g := &groups{by: by, all: profile.NewGrouper(), cuts: intervals}
	if intervals {
		g.piece = profile.NewGrouper()
	}
	return g
}

// begin and end stand around what counts a call.
func (g *groups) begin() {
	if g != nil && g.cuts {
		g.gate.RLock()
	}
}

func (g *groups) end() {
	if g != nil && g.cuts {
		g.gate.RUnlock()
	}
}

// cut ends an interval: cut is to call what it is given when the next one has begun. It returns the groups of the interval.
func (g *groups) cut(cut func(done func())) *profile.Grouper {
	if g == nil || !g.cuts {
		cut(func() {})
		return nil
	}
	next := profile.NewGrouper()
	g.gate.Lock()
	piece := g.piece
	g.piece = next
	cut(g.gate.Unlock)
	return piece
}

// add takes a finished call that is counted, and its values. memo is that of the thread.
func (g *groups) add(c *profile.Call, values *profile.Values, memo *groupMemo) {
	if g == nil {
		return
	}
	key := g.by.Key(values)
	g.by.Seen(g.all.Add(c, &key, values, &memo.all), values)
	if g.cuts {
		if memo.of != g.piece {
			memo.of, memo.piece = g.piece, profile.GroupMemo{}
		}
		g.piece.Add(c, &key, values, &memo.piece)
	}
}

// inFlight takes a call that has not returned, and is to be counted.
func (g *groups) inFlight(f *profile.InFlight, values *profile.Values) {
	if g == nil || f.Why == profile.Exited {
		return
	}
	key := g.by.Key(values)
	g.all.AddInFlight(f, &key, values)
	if g.cuts {
		g.piece.AddInFlight(f, &key, values)
	}
}

// Group adds the largest groups so far, most of them, to a snapshot that has just been made. The others are one. Nothing is done if
// no groups were asked for.
func (s *Session) Group(snapshot *profile.Snapshot, most int) {
	if s.groups == nil {
		return
	}
	s.group(snapshot, s.groups.all, most)
	s.warnOfGroups(snapshot)
}

// stream adds all groups to a snapshot that has just been made, in no more memory than they take already, of which the largest,
// most of them, are listed.
//
// Precondition: nothing is added to them any more.
func (s *Session) stream(snapshot *profile.Snapshot, of *profile.Grouper, most int) {
	list := of.List()
	var last []profile.Values
	for raw := range list.All() {
		if raw.Others == 0 {
			last = append(last, raw.Last)
		}
	}
	s.groups.by.Refresh(last)
	correction := cost.NewGroupCorrection(snapshot, list.All())
	order := orderOf(list, correction)
	snapshot.Groups = profile.StreamGroups(s.groups.by.By(), most, func(yield func(*profile.Group) bool) {
		var raw profile.RawGroup
		var rows []profile.GroupRow
		for _, i := range order {
			list.At(i, &raw)
			group := profile.Group{Rows: rows}
			correction.Group(&raw, &group)
			if raw.Others == 0 {
				s.groups.by.Describe(&group, &raw.Key, &raw.Last)
			}
			if rows = group.Rows; !yield(&group) {
				return
			}
		}
	})
}

// orderOf lists groups by their time, the longest first, and last the others, if there are any.
func orderOf(list *profile.GroupList, correction *cost.GroupCorrection) []int {
	type place struct {
		at     int
		others uint64
		sumNs  int64
		calls  uint64
	}
	places := make([]place, 0, list.Len())
	for raw := range list.All() {
		p := place{at: len(places), others: min(raw.Others, 1), sumNs: correction.SumNs(raw)}
		for i := range raw.Rows {
			p.calls += raw.Rows[i].Calls
		}
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.others, b.others), cmp.Compare(b.sumNs, a.sumNs), cmp.Compare(b.calls, a.calls), cmp.Compare(a.at, b.at))
	})
	order := make([]int, len(places))
	for i := range places {
		order[i] = places[i].at
	}
	return order
}

// group adds the groups of what a snapshot is of.
func (s *Session) group(snapshot *profile.Snapshot, of *profile.Grouper, most int) {
	raw := of.All(most)
	last := make([]profile.Values, 0, len(raw))
	for i := range raw {
		last = append(last, raw[i].Last)
	}
	s.groups.by.Refresh(last)
	list := cost.CorrectGroups(snapshot, raw)
	for i := range list {
		if list[i].Others == 0 {
			s.groups.by.Describe(&list[i], &raw[i].Key, &raw[i].Last)
		}
	}
	snapshot.Groups = profile.NewGroups(s.groups.by.By(), list)
}

// warnOfGroups says what is not told apart.
func (s *Session) warnOfGroups(snapshot *profile.Snapshot) {
	if groups, calls, of := s.groups.all.Folded(); groups > 0 {
		snapshot.Warnings = append(snapshot.Warnings,
			profile.Warning{Kind: profile.GroupsFolded, Count: groups, Share: float64(calls) / float64(max(of, 1))})
	}
	if calls := s.unknown.Load(); calls > 0 {
		snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.CallsOfNobody, Count: calls})
	}
	if kept, lost := s.config.Labels.Lost(); lost {
		snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.NamesLost, Count: uint64(kept)})
	}
}

// written adds to a snapshot of a part of the run the groups that are written.
func (s *Session) written(snapshot *profile.Snapshot, what part) {
	if s.groups == nil || s.config.Outputs.NoGroups {
		return
	}
	of := s.groups.all
	if what == soFar && s.config.Outputs.listsGroups() {
		of = of.Clone() // others are still being added
	}
	s.addGroups(snapshot, of)
	s.warnOfGroups(snapshot)
}

// addGroups adds to a snapshot the groups that are written of what it is of, to which nothing is added any more.
func (s *Session) addGroups(snapshot *profile.Snapshot, of *profile.Grouper) {
	if s.config.Outputs.listsGroups() {
		s.stream(snapshot, of, s.mostListed())
		return
	}
	s.group(snapshot, of, s.mostListed())
}

// listsGroups reports whether there is a file that all groups are written to.
func (o *Outputs) listsGroups() bool { return o.JSON != "" || o.CSV != "" }

// mostListed is how many groups are shown at most.
func (s *Session) mostListed() int {
	if s.config.Outputs.HTML != "" {
		return max(s.config.Outputs.Top, page.MaxGroups)
	}
	return s.config.Outputs.Top
}

package session

import (
	"math"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
)

// groups adds calls up by who makes them. A nil one takes nothing.
type groups struct {
	by  *label.Grouping
	all *profile.Grouper
}

func newGroups(by *label.Grouping) *groups {
	return &groups{by, profile.NewGrouper()}
}

// add takes a finished call that is counted, and its values. memo is that of the thread.
func (g *groups) add(c *profile.Call, values *profile.Values, memo *profile.GroupMemo) {
	if g == nil {
		return
	}
	key := g.by.Key(values)
	g.by.Seen(g.all.Add(c, &key, values, memo), values)
}

// inFlight takes a call that has not returned, and is to be counted.
func (g *groups) inFlight(f *profile.InFlight, values *profile.Values) {
	if g == nil || f.Why == profile.Exited {
		return
	}
	key := g.by.Key(values)
	g.all.AddInFlight(f, &key, values)
}

// AllGroups is more than there are.
const AllGroups = math.MaxInt

// Group adds the largest groups so far, most of them, to a snapshot that has just been made. The others are one. Nothing is done if
// no groups were asked for.
func (s *Session) Group(snapshot *profile.Snapshot, most int) {
	if s.groups == nil {
		return
	}
	raw := s.groups.all.All(most)
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
	s.warnOfGroups(snapshot)
}

// warnOfGroups says what is not told apart.
func (s *Session) warnOfGroups(snapshot *profile.Snapshot) {
	if groups, calls, of := s.groups.all.Folded(); groups > 0 {
		snapshot.Warnings = append(snapshot.Warnings,
			profile.Warning{Kind: profile.GroupsFolded, Count: groups, Share: float64(calls) / float64(max(of, 1))})
	}
	if kept, lost := s.config.Labels.Lost(); lost {
		snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.NamesLost, Count: uint64(kept)})
	}
}

// written adds to a snapshot the groups that are written.
func (s *Session) written(snapshot *profile.Snapshot) {
	most := s.config.Outputs.Top
	if s.config.Outputs.JSON != "" || s.config.Outputs.CSV != "" {
		most = AllGroups
	}
	s.Group(snapshot, most)
}

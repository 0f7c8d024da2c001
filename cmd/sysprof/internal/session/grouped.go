package session

import (
	"errors"
	"fmt"

	"sysprof/profile"
	"sysprof/profile/inkernel"
)

// KernelFields are the fields that an engine that counts in the kernel is to tell groups apart by.
func (c *Config) KernelFields() (by inkernel.Fields) {
	if c.Groups == nil && c.Only == nil {
		return 0
	}
	for name, field := range map[string]inkernel.Fields{"pid": inkernel.ByPID, "tid": inkernel.ByTID, "comm": inkernel.ByComm,
		"thread_name": inkernel.ByThread, "cgroup": inkernel.ByCgroup} {
		if c.Labels.Asks(name) {
			by |= field
		}
	}
	return by
}

// checkGroups finds out whether an engine can tell groups apart.
func (c *Config) checkGroups(can Abilities) error {
	switch field := c.Labels.Unaddable(); {
	case can.SingleCalls && c.Labels.Tracks() && !can.Stacks:
		return errors.New("--by and --only: this engine stops no threads, so it cannot tell their names and files; leave out comm, thread_name, fd, cgroup, pid and tid")
	case can.SingleCalls:
		return nil
	case !can.Groups:
		return errors.New("--by and --only: this engine sees no single calls, so it cannot tell whose they are")
	case field != "":
		return fmt.Errorf("--by and --only: this engine sees no single calls, so it cannot tell their %s", field)
	}
	return nil
}

// CountedGroups takes rows of which it is known whose they are.
func (s *Session) CountedGroups(all []profile.CountedGroup) {
	raw := new(profile.Raw)
	s.groups.begin()
	defer s.groups.end()
	for i := range all {
		g := &all[i]
		s.config.Labels.Of(&g.Whose, 0) // while it is there
		for j := range g.Rows {
			s.countedRow(raw, g, &g.Rows[j])
		}
		for j := range g.InFlight {
			s.flightOf(raw, g, &g.InFlight[j])
		}
	}
	s.profile.AddRaw(raw)
}

// countedRow adds a row to what was counted, and to its group. Of calls of which it is not known whose they are none is among those
// that are chosen by that.
func (s *Session) countedRow(raw *profile.Raw, g *profile.CountedGroup, r *profile.CountedRow) {
	outcome := Successful
	if r.Errno != 0 {
		outcome = Failed
	}
	if g.Unknown {
		s.unknown.Add(r.Calls)
	}
	if s.config.Statuses&outcome == 0 || g.Unknown && s.config.Only != nil {
		return
	}
	values := s.config.Labels.Of(&g.Whose, r.Errno)
	if !g.Unknown && !s.config.Only.Keeps(&values) {
		return
	}
	s.calls.Add(int64(r.Calls))
	r.AddTo(raw)
	s.groups.addRow(r, &values, g.Unknown)
}

func (s *Session) flightOf(raw *profile.Raw, g *profile.CountedGroup, f *profile.Flight) {
	outcome := Unfinished
	if f.Why == profile.Detached {
		outcome = Detached
	}
	values := s.config.Labels.Of(&g.Whose, 0)
	if s.config.Statuses&outcome == 0 || s.config.Only != nil && (g.Unknown || !s.config.Only.Keeps(&values)) {
		return
	}
	raw.Merge(&profile.Raw{InFlight: []profile.Flight{*f}})
	s.groups.addFlight(f, &values, g.Unknown)
}

// addRow takes a row of calls that are counted.
func (g *groups) addRow(r *profile.CountedRow, values *profile.Values, unknown bool) {
	if g == nil {
		return
	}
	key := g.by.Key(values)
	for _, to := range []*profile.Grouper{g.all, g.piece} {
		switch {
		case to == nil:
		case unknown:
			to.AddRowToOthers(r)
		case to.AddRow(r, &key, values) == 0 && to == g.all:
			g.by.Met(values)
		}
	}
}

func (g *groups) addFlight(f *profile.Flight, values *profile.Values, unknown bool) {
	if g == nil || f.Why == profile.Exited {
		return
	}
	k := g.by.Key(values)
	key := &k
	if unknown {
		key = nil
	}
	for _, to := range []*profile.Grouper{g.all, g.piece} {
		if to != nil {
			to.AddFlight(f, key, values)
		}
	}
}

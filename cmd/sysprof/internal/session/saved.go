package session

import (
	"fmt"
	"os"
	"slices"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// ReadSaved reads a run that was saved as JSON, from stdin if the path is "-".
func ReadSaved(path string, stdin *os.File) (*profile.Snapshot, report.Meta, error) {
	file := stdin
	if path == "-" {
		path = "standard input"
	} else {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, report.Meta{}, err
		}
		defer file.Close()
	}
	snapshot, meta, err := report.ReadJSON(file)
	if err != nil {
		return nil, meta, fmt.Errorf("%s: %w", path, err)
	}
	return snapshot, meta, nil
}

// Choose returns what of a saved run are calls of the set (nil: all) with these outcomes. A call whose outcomes were
// mixed has no queued calls, hold, raw latency and CPU time then, since these are not known by outcome. If it is not known of some group
// how its calls failed, there are none then. What tracing cost, and the warnings, remain those of the whole run.
func Choose(s *profile.Snapshot, trace *syscalltab.Set, statuses Statuses) *profile.Snapshot {
	if trace == nil && statuses == AllStatuses {
		return s
	}
	has := func(k profile.Key) bool { return trace == nil || trace.Has(k.ABI, k.Nr) }
	var chosen profile.Snapshot
	for i := range s.Rows {
		if part := ofOutcomes(s.Rows[i], statuses); has(part.Key) && part.OK.Count()+uint64(len(part.Failed)) > 0 {
			chosen.Rows = append(chosen.Rows, part)
		}
	}
	for _, f := range s.InFlight {
		if statuses.ofFlight(&f) && has(f.Key) {
			chosen.InFlight = append(chosen.InFlight, f)
		}
	}
	whole := profile.Merge(&chosen) // adds the totals up
	whole.Overhead, whole.Warnings = s.Overhead, s.Warnings
	if s.Groups != nil {
		whole.Groups = chooseGroups(s.Groups, has, statuses)
	}
	return whole
}

// ofOutcomes returns what of a row are calls with these outcomes. Its totals are still those of the whole row.
func ofOutcomes(r profile.Row, statuses Statuses) profile.Row {
	ok, failed := statuses&Successful != 0, statuses&Failed != 0
	if ok != failed && r.OK.Count() > 0 && len(r.Failed) > 0 {
		r.Queued, r.HoldNs, r.RawNs, r.CPU = 0, 0, 0, nil
	}
	if !ok {
		r.OK = new(profile.Histogram)
	}
	if !failed {
		r.Failed = nil
	}
	return r
}

// ofFlight reports whether a call that has not returned has one of the outcomes.
func (s Statuses) ofFlight(f *profile.Flight) bool {
	if f.Why == profile.Detached {
		return s&Detached != 0
	}
	return s&Unfinished != 0
}

// chooseGroups returns what of groups are such calls; nil if that is not known.
func chooseGroups(groups *profile.Groups, has func(profile.Key) bool, statuses Statuses) *profile.Groups {
	var list []profile.Group
	for _, g := range groups.List {
		var rows []profile.GroupRow
		for i := range g.Rows {
			row := &g.Rows[i]
			if !has(row.Key) {
				continue
			}
			part, known := statuses.ofRow(row)
			if !known {
				return nil
			}
			if part.Calls > 0 {
				rows = append(rows, part)
			}
		}
		g.Rows = rows
		g.InFlight = slices.DeleteFunc(slices.Clone(g.InFlight), func(f profile.Flight) bool { return !has(f.Key) || !statuses.ofFlight(&f) })
		if len(g.Rows)+len(g.InFlight) > 0 {
			list = append(list, g)
		}
	}
	return profile.NewGroups(groups.By, list)
}

// ofRow returns what of a row of a group are calls with these outcomes.
func (s Statuses) ofRow(r *profile.GroupRow) (part profile.GroupRow, known bool) {
	switch ok, failed := s&Successful != 0, s&Failed != 0; {
	case ok && failed:
		return *r, true
	case ok:
		return r.Succeeded()
	case failed:
		return r.OnlyFailed()
	}
	return profile.GroupRow{}, true
}

package live

import (
	"time"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// UpdateOf is what there is to be said of a snapshot that has what was counted in an interval.
func UpdateOf(s *profile.Snapshot, length time.Duration) *Update {
	u := &Update{Length: length, Rows: make([]Row, len(s.Rows))}
	if o := s.Overhead; o != nil {
		u.Slowdown, _, _ = o.Slowdown()
		u.Lost = o.Lost.Share
	}
	for i := range s.Rows {
		u.Rows[i] = rowOf(&s.Rows[i])
	}
	return u
}

func rowOf(r *profile.Row) Row {
	row := Row{
		Name: NameOf(r.Key), Calls: r.Calls, Errors: r.Errors, UpperBound: r.UpperBound,
		Sum: time.Duration(r.SumNs), Max: time.Duration(r.MaxNs),
	}
	all := []*profile.Histogram{r.OK}
	for _, f := range r.Failed {
		all = append(all, f.Latency)
		row.Errnos = append(row.Errnos, Errno{syscalltab.Errno(int(f.Errno)), f.Latency.Count()})
	}
	row.Spread = SpreadOf(all...)
	return row
}

// NameOf names a call. One of another ABI than most has that behind its name, as in -e trace=read@32.
func NameOf(k profile.Key) string {
	name := report.Printable(k.ABI.Name(k.Nr))
	if k.ABI == syscalltab.Native()[0] {
		return name
	}
	switch mode := k.ABI.Mode(); mode {
	case "64 bit", "":
		return name
	case "32 bit":
		return name + "@32"
	default:
		return name + "@" + mode
	}
}

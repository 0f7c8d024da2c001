package changes

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"sysprof/profile"
	"sysprof/profile/trials"
)

// Side is one or several runs of the same thing. Only what is compared is kept of them. The zero value has none.
type Side struct {
	runs   []run
	whole  calls
	groups map[string]*calls // by their names
	by     [][]string        // by what groups are told apart in each run; nil: there are none
}

// calls are the figures of some calls, by the number of the run.
type calls struct {
	byKey map[profile.Key]map[int][Metrics]figure
	all   map[int][Metrics]figure // of all of them together
}

func newCalls() *calls {
	return &calls{make(map[profile.Key]map[int][Metrics]figure), make(map[int][Metrics]figure)}
}

// add adds the latencies of a call in a run.
func (c *calls) add(number int, r *run, k profile.Key, latency *profile.Histogram) {
	if c.byKey[k] == nil {
		c.byKey[k] = make(map[int][Metrics]figure)
	}
	c.byKey[k][number] = r.figuresOf(latency)
}

// Add adds a run, which lasted so long; 0 is unknown.
func (s *Side) Add(snapshot *profile.Snapshot, duration time.Duration) {
	if s.groups == nil {
		s.whole, s.groups = *newCalls(), make(map[string]*calls)
	}
	number, r, all := len(s.runs), runOf(snapshot, duration), new(profile.Histogram)
	for i := range snapshot.Rows {
		row := &snapshot.Rows[i]
		latency := row.Latency()
		all.Merge(latency)
		s.whole.add(number, &r, row.Key, latency)
	}
	s.whole.all[number] = r.figuresOf(all)
	s.runs = append(s.runs, r)
	if snapshot.Groups == nil {
		s.by = append(s.by, nil)
		return
	}
	s.by = append(s.by, snapshot.Groups.By)
	for _, g := range snapshot.Groups.ByName() {
		s.addGroup(number, &r, &g)
	}
}

func (s *Side) addGroup(number int, r *run, g *profile.Group) {
	its := s.groups[g.Name]
	if its == nil {
		its = newCalls()
		s.groups[g.Name] = its
	}
	all := new(profile.Histogram)
	for i := range g.Rows {
		latency := g.Rows[i].Latency()
		all.Merge(latency)
		its.add(number, r, g.Rows[i].Key, latency)
	}
	its.all[number] = r.figuresOf(all)
}

// By is by what all runs of the side have groups; nil if they do not.
func (s *Side) By() []string {
	if len(s.by) == 0 {
		return nil
	}
	for _, by := range s.by {
		if !slices.Equal(by, s.by[0]) {
			return nil
		}
	}
	return s.by[0]
}

// Duration is the median duration of the runs; 0 if one is unknown.
func (s *Side) Duration() time.Duration {
	var all []float64
	for _, r := range s.runs {
		if r.duration == 0 {
			return 0
		}
		all = append(all, float64(r.duration))
	}
	if len(all) == 0 {
		return 0
	}
	return time.Duration(median(all))
}

// UncertainNs is by how much latencies of the run of which they are least certain may be off.
func (s *Side) UncertainNs() (ns float64) {
	for _, r := range s.runs {
		ns = max(ns, r.uncertainNs)
	}
	return ns
}

// of lists the figures of a call in all runs. A run that did not make the call has none of it.
func (s *Side) of(byRun map[int][Metrics]figure) (list [][Metrics]figure) {
	for i := range s.runs {
		f, ok := byRun[i]
		if !ok {
			f = s.runs[i].figuresOf(new(profile.Histogram))
		}
		list = append(list, f)
	}
	return list
}

// Row is how one call has changed.
type Row struct {
	profile.Key
	Change [Metrics]Change
}

// Change is how one metric of a call has changed.
type Change struct {
	Old, New float64 // medians of the runs; NaN where there is none
	// Ratio is New ÷ Old: +Inf if there was nothing, NaN where one of them is missing. It lies between Low and High.
	Ratio, Low, High float64
	Noise            bool // it may be that nothing has changed
}

// Added says that only the new runs made the call.
func (r *Row) Added() bool { return r.Change[Count].Old == 0 && math.IsNaN(r.Change[P50].Old) }

// Gone says that only the old runs made the call.
func (r *Row) Gone() bool { return r.Change[Count].New == 0 && math.IsNaN(r.Change[P50].New) }

// Ns is by how much the time of all calls has grown; 0 if that may be chance.
func (r *Row) Ns() float64 {
	if r.Change[Total].Noise {
		return 0
	}
	return r.Change[Total].New - r.Change[Total].Old
}

// Between compares new runs with old ones, call by call. The call whose total time has grown most comes first, the one that
// it has shrunk most of last. all is of all calls together.
func Between(news, olds *Side) (rows []Row, all Row) {
	return between(news, olds, &news.whole, &olds.whole)
}

// Group is how the calls of one group have changed.
type Group struct {
	Name string
	Rows []Row // in the order of Between
	All  Row   // of all of its calls together
}

// Groups compares new runs with old ones by group, those with the same name, if all of them have groups by the same fields. The group
// whose total time has changed most comes first.
func Groups(news, olds *Side) (groups []Group) {
	if by := news.By(); by == nil || !slices.Equal(by, olds.By()) {
		return nil
	}
	names := make(map[string]bool)
	for _, s := range []*Side{news, olds} {
		for name := range s.groups {
			names[name] = true
		}
	}
	for name := range names {
		of, before := cmp.Or(news.groups[name], newCalls()), cmp.Or(olds.groups[name], newCalls())
		g := Group{Name: name}
		g.Rows, g.All = between(news, olds, of, before)
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(math.Abs(b.All.Ns()), math.Abs(a.All.Ns())),
			cmp.Compare(math.Abs(b.All.difference()), math.Abs(a.All.difference())),
			strings.Compare(a.Name, b.Name))
	})
	return groups
}

func between(news, olds *Side, of, before *calls) (rows []Row, all Row) {
	keys := make(map[profile.Key]bool)
	for _, c := range []*calls{of, before} {
		for k := range c.byKey {
			keys[k] = true
		}
	}
	for k := range keys {
		rows = append(rows, Row{k, compare(news.of(of.byKey[k]), olds.of(before.byKey[k]))})
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(b.Ns(), a.Ns()),
			cmp.Compare(math.Abs(b.difference()), math.Abs(a.difference())),
			strings.Compare(a.ABI.Name(a.Nr), b.ABI.Name(b.Nr)),
			cmp.Compare(a.ABI, b.ABI), cmp.Compare(a.Nr, b.Nr))
	})
	return rows, Row{Change: compare(news.of(of.all), olds.of(before.all))}
}

func (r *Row) difference() float64 { return r.Change[Total].New - r.Change[Total].Old }

// compare compares all metrics of a call.
func compare(news, olds [][Metrics]figure) (changes [Metrics]Change) {
	for m := range Metric(Metrics) {
		changes[m] = compareFigures(known(news, m), known(olds, m))
	}
	return changes
}

// known are the figures that there are of a metric.
func known(runs [][Metrics]figure, m Metric) (list []figure) {
	for _, figures := range runs {
		if f := figures[m]; !math.IsNaN(f.value) {
			list = append(list, f)
		}
	}
	return list
}

// compareFigures compares one metric.
func compareFigures(news, olds []figure) Change {
	c := Change{Old: median(values(olds)), New: median(values(news)), Ratio: math.NaN(), Low: math.NaN(), High: math.NaN(), Noise: true}
	if len(news) == 0 || len(olds) == 0 {
		return c
	}
	if min(len(news), len(olds)) >= trials.EnoughForRatio {
		e := trials.Ratio(values(news), values(olds))
		c.Ratio, c.Low, c.High, c.Noise = e.Median, e.Lo, e.Hi, e.Contains(1)
		return c
	}
	of, before := hull(news), hull(olds)
	c.Ratio, c.Low, c.High = quotient(c.New, c.Old), quotient(of.lo, before.hi), quotient(of.hi, before.lo)
	c.Noise = of.lo <= before.hi && before.lo <= of.hi
	return c
}

// quotient is a ÷ b, and 1 of two that are equal.
func quotient(a, b float64) float64 {
	if a == b {
		return 1
	}
	return a / b
}

func values(list []figure) (values []float64) {
	for _, f := range list {
		values = append(values, f.value)
	}
	return values
}

// hull is the interval from the least to the most that any of the runs may have had.
func hull(list []figure) figure {
	h := list[0]
	for _, f := range list[1:] {
		h.lo, h.hi = min(h.lo, f.lo), max(h.hi, f.hi)
	}
	return h
}

// median is NaN of no values.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	if n%2 == 1 {
		return values[n/2]
	}
	return values[n/2-1]/2 + values[n/2]/2
}

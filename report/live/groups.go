package live

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"sysprof/profile"
	"sysprof/profile/label"
)

// MostGroups is how many groups a view is told of. The others are one.
const MostGroups = 200

// Groups makes of the groups of a run so far those of an interval. The zero value is at the beginning of a run.
type Groups struct {
	before map[string]groupSoFar
	others bool // there were some that are not among those before
}

// groupSoFar is what is known of a group.
type groupSoFar struct {
	rows map[profile.Key]partSoFar
	max  int64
}

type partSoFar struct {
	calls, errors uint64
	ns            int64
	spread        Spread
}

// Since returns what has been counted since it was called last. Of a group that was not told apart then, while others were not
// either, it is not known how much that is: it has nothing this time.
func (g *Groups) Since(now *profile.Groups) (rows []Row) {
	if now == nil {
		return nil
	}
	before, hadOthers := g.before, g.others
	g.before, g.others = make(map[string]groupSoFar, len(now.List)), false
	for i := range now.List {
		group := &now.List[i]
		row := Row{Name: group.Who, Values: namesOf(now.By, group)}
		id := strings.Join(group.Values, "\x00")
		if group.Others > 0 {
			g.others = true
			id = "\x00others"
			row.Name, row.Values = others, slices.Repeat([]string{others}, len(now.By))
		}
		soFar := soFarOf(group)
		was, known := before[id]
		g.before[id] = soFar
		if !known && hadOthers {
			continue
		}
		if row.addSince(soFar, was); row.Calls > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// others is what the groups are called that are not told apart.
const others = "others"

func soFarOf(g *profile.Group) groupSoFar {
	soFar := groupSoFar{make(map[profile.Key]partSoFar, len(g.Rows)), g.MaxNs}
	for i := range g.Rows {
		r := &g.Rows[i]
		p := partSoFar{r.Calls, r.Errors, r.SumNs, make(Spread)}
		for _, b := range r.Buckets {
			p.spread[profile.BucketIndex(b.LowNs+(b.HighNs-b.LowNs)/2)/bucketsInOne] += b.Count
		}
		soFar.rows[r.Key] = p
	}
	return soFar
}

// addSince adds to a row what is new. The groups of a run were mended a little otherwise before, so that less than nothing can be.
func (r *Row) addSince(now, before groupSoFar) {
	r.Spread = make(Spread)
	for key, n := range now.rows {
		was := before.rows[key]
		if n.calls <= was.calls {
			continue
		}
		p := Part{Name: NameOf(key), Calls: n.calls - was.calls, Sum: time.Duration(max(n.ns-was.ns, 0))}
		if n.errors > was.errors {
			p.Errors = n.errors - was.errors
		}
		for bucket, count := range n.spread {
			if count > was.spread[bucket] {
				r.Spread[bucket] += count - was.spread[bucket]
				_, high := Bounds(bucket)
				r.Max = max(r.Max, high)
			}
		}
		r.Calls += p.Calls
		r.Errors += p.Errors
		r.Sum += p.Sum
		r.Parts = append(r.Parts, p)
	}
	r.Max = min(r.Max, time.Duration(now.max))
	slices.SortFunc(r.Parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
}

// namesOf says who a group is by each of the fields alone. Of a process or a thread its number would be little.
func namesOf(by []string, g *profile.Group) []string {
	names := slices.Clone(g.Values)
	processes := slices.Contains(by, "pid") || slices.Contains(by, "tid")
	rest := "" // what stands behind the process, or the thread, in Who
	for i, field := range by[:min(len(by), len(names))] {
		if names[i] == "" {
			names[i] = label.Nothing(field)
		}
		if !processes || !slices.Contains([]string{"pid", "tid", "comm", "thread_name"}, field) {
			rest += ", " + names[i]
		}
	}
	who := lasting(strings.TrimSuffix(g.Who, rest), strings.TrimSuffix(g.Name, rest))
	for i, field := range by[:min(len(by), len(names))] {
		switch {
		case field == "tid", field == "pid" && !slices.Contains(by, "tid"):
			names[i] = who
		case names[i] == "":
			names[i] = "no " + field
		}
	}
	return names
}

// lasting says who a process or a thread is without what the process calls itself only now, as postgres does ("… UPDATE waiting"): by
// another name it would be another row. name is the same without numbers and without that: "postgres bench, thread worker".
func lasting(who, name string) string {
	const thread = ", thread "
	head := numbered.FindStringSubmatch(who)
	if head == nil {
		return who
	}
	title, isIt := strings.CutPrefix(name, head[1])
	if !isIt {
		return who
	}
	its := ""
	if i := strings.LastIndex(who, thread); i >= 0 {
		its = who[i:]
		title = title[:max(strings.LastIndex(title, ", thread"), 0)]
	}
	return head[0] + title + its
}

// numbered is a process's name with its number.
var numbered = regexp.MustCompile(`^(.*?) \([0-9]+\)`)

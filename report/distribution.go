package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Distribution draws how latencies are distributed, over a logarithmic time axis from top to bottom. Calls that
// succeeded have one drawing, and those that failed have one for each errno. The zero value draws all calls.
type Distribution struct {
	Name  string          // what is drawn, as the heading shall call it; "": all calls
	Calls *syscalltab.Set // which calls; nil: all
	Width int             // characters that fit on a line; 0: any
	Color bool            // with escape sequences for a terminal
}

// mostLines is how many lines a drawing has at most, and leastLines how many it may have however few calls there
// are. Between these, the limit grows with the number of calls: a few calls on many lines show no shape.
const (
	mostLines  = 30
	leastLines = 5
)

// The bars are as long as there is room for, within these bounds.
const (
	leastBar = 8
	mostBar  = 40
)

// The order in which the columns of a drawing are dropped where there is little room.
const (
	dropShareOfCalls = 1 + iota
	dropUpperBound
	dropUpToHere
)

// marks are the quantiles that are pointed at.
var marks = [...]struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}}

// grids are the ways to cut a decade: into how many parts, and to how many significant digits their
// bounds are rounded. Three parts are 1, 2, 5.
var grids = [...]struct{ parts, digits int }{{200, 3}, {100, 3}, {40, 3}, {20, 2}, {10, 2}, {5, 2}, {3, 1}, {1, 1}}

// bars are the eighths of a block.
var bars = [...]string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// Write draws the distributions. If there are no such calls, one line says so.
func (d Distribution) Write(w io.Writer, s *profile.Snapshot) error {
	ok, failed := d.outcomes(s)
	name := cmp.Or(d.Name, "all calls")
	var errnos []int32
	for errno := range failed {
		errnos = append(errnos, errno)
	}
	slices.SortFunc(errnos, func(a, b int32) int {
		return cmp.Or(cmp.Compare(failed[b].Count(), failed[a].Count()), cmp.Compare(a, b))
	})

	var out bytes.Buffer
	switch {
	case ok.Count() == 0 && len(errnos) == 0 && d.Name == "":
		out.WriteString(nothingCounted)
	case ok.Count() == 0 && len(errnos) == 0:
		fmt.Fprintf(&out, "no calls of %s were counted\n", Printable(name))
	case ok.Count() > 0 && len(errnos) == 0:
		if err := d.draw(&out, name, ok); err != nil {
			return err
		}
	case ok.Count() > 0:
		if err := d.draw(&out, name+", succeeded", ok); err != nil {
			return err
		}
	}
	for _, errno := range errnos {
		if err := d.draw(&out, name+", "+syscalltab.Errno(int(errno)), failed[errno]); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// outcomes adds the chosen rows up: the calls that succeeded, and those that failed with each errno.
func (d Distribution) outcomes(s *profile.Snapshot) (ok *profile.Histogram, failed map[int32]*profile.Histogram) {
	ok, failed = new(profile.Histogram), make(map[int32]*profile.Histogram)
	for i := range s.Rows {
		r := &s.Rows[i]
		if d.Calls != nil && !d.Calls.Has(r.ABI, r.Nr) {
			continue
		}
		if r.OK != nil {
			ok.Merge(r.OK)
		}
		for _, f := range r.Failed {
			if f.Latency.Count() == 0 {
				continue
			}
			if failed[f.Errno] == nil {
				failed[f.Errno] = new(profile.Histogram)
			}
			failed[f.Errno].Merge(f.Latency)
		}
	}
	return ok, failed
}

// draw draws one distribution, from its fastest to its slowest call.
func (d Distribution) draw(out *bytes.Buffer, title string, h *profile.Histogram) error {
	if out.Len() > 0 {
		out.WriteByte('\n')
	}
	out.WriteString(d.heading(title, h))

	lines := min(max(2*math.Sqrt(float64(h.Count())), leastLines), mostLines)
	edges := edgesOf(int64(h.Min()), int64(h.Max()), int(lines))
	counts := countLines(h, edges)
	most := slices.Max(counts)
	columns, gap := fit(distributionColumns(h, edges, counts), d.Width)
	for i := range columns {
		if c := &columns[i]; c.colour == cyan {
			room := mostBar
			if d.Width > 0 {
				room = min(room, c.width+d.Width-totalWidth(columns, gap))
			}
			c.width = max(c.width, room)
			for j := range c.cells {
				c.cells[j] = barOf(counts[j], most, c.width)
			}
		}
	}
	return draw(out, columns, look{rule: "─", gap: strings.Repeat(" ", gap), colour: d.Color})
}

// heading is the text above a drawing: its title, and figures of all its calls together.
func (d Distribution) heading(title string, h *profile.Histogram) string {
	title = Printable(title)
	text := wrap(fmt.Sprintf("%s: %s, %s in all, mean %s, standard deviation %s\n", title,
		plural(h.Count(), "call"), humanTime(int64(h.Sum())), humanTime(int64(h.Mean())), humanTime(int64(h.StdDev()))), d.Width)
	if rest, whole := strings.CutPrefix(text, title); whole {
		return paint(title, bold, d.Color) + rest
	}
	return text
}

// countLines counts the calls in each line.
func countLines(h *profile.Histogram, edges []int64) []uint64 {
	counts := make([]uint64, len(edges)-1)
	for b := range h.Buckets() {
		counts[lineOf(edges, min(max(middle(b), int64(h.Min())), int64(h.Max())))] += b.Count
	}
	return counts
}

// distributionColumns are all columns of a drawing. The bars are left blank, since their width is not known.
func distributionColumns(h *profile.Histogram, edges []int64, counts []uint64) []column {
	from := column{heading: "from"}
	below := column{heading: "below", drop: dropUpperBound}
	bar := column{width: leastBar, left: true, colour: cyan}
	calls := column{heading: "calls"}
	share := column{heading: "%", drop: dropShareOfCalls}
	upToHere := column{heading: "up to here", drop: dropUpToHere}
	mark := column{left: true, colour: bold}
	soFar := 0.0
	for i := range counts {
		soFar += float64(counts[i])
		from.cells = append(from.cells, shortTime(edges[i]))
		below.cells = append(below.cells, shortTime(edges[i+1]))
		bar.cells = append(bar.cells, "")
		calls.cells = append(calls.cells, humanCount(counts[i]))
		share.cells = append(share.cells, percent(float64(counts[i]), float64(h.Count())))
		upToHere.cells = append(upToHere.cells, percentSign(soFar, float64(h.Count())))
		mark.cells = append(mark.cells, marksIn(h, edges, i))
	}
	columns := []column{from, below, bar, calls, share, upToHere, mark}
	for i := range columns {
		columns[i].fitWidth()
	}
	return columns
}

// edgesOf cuts the time from min to max into lines: line i is edges[i] ≤ t < edges[i+1]. It takes the
// finest grid that makes at most so many lines, or the coarsest if none does. All times below leastAxisNs
// are one line.
func edgesOf(minNs, maxNs int64, lines int) []int64 {
	var edges []int64
	for _, g := range grids {
		edges = []int64{0}
		k := int(math.Floor(math.Log10(float64(max(minNs, leastAxisNs)))*float64(g.parts))) - 2
		if minNs < leastAxisNs {
			k += 2 // all below is one line
		}
		for covered := false; !covered && len(edges) <= mostLines+1; k++ {
			edge := edgeAt(k, g.parts, g.digits)
			covered = edge > maxNs || edge == math.MaxInt64
			switch last := len(edges) - 1; {
			case edge <= minNs && !covered:
				edges[0] = edge
			case edge > edges[last]: // near 10 ns several round to the same nanosecond
				edges = append(edges, edge)
			}
		}
		if len(edges)-1 <= lines {
			break
		}
	}
	return edges
}

// edgeAt is the number of nanoseconds 10^(k/parts), rounded to that many digits.
func edgeAt(k, parts, digits int) int64 {
	decade := math.Floor(float64(k) / float64(parts))
	unit := math.Pow(10, float64(digits-1))
	lead := math.Round(math.Pow(10, float64(k)/float64(parts)-decade) * unit)
	ns := math.Round(lead * math.Pow(10, decade) / unit)
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(ns)
}

// lineOf is the line that a time is in; times outside are in the first or the last.
func lineOf(edges []int64, ns int64) int {
	i, found := slices.BinarySearch(edges, ns)
	if !found {
		i--
	}
	return min(max(i, 0), len(edges)-2)
}

// marksIn names the quantiles in line i.
func marksIn(h *profile.Histogram, edges []int64, i int) string {
	var names []string
	for _, m := range marks {
		if lineOf(edges, int64(h.Quantile(m.q))) == i {
			names = append(names, m.name)
		}
	}
	if names == nil {
		return ""
	}
	return "← " + strings.Join(names, ", ")
}

// barOf is a bar for a count. The bar for most is width characters long, and none but that for 0 is empty.
func barOf(count, most uint64, width int) string {
	if count == 0 {
		return ""
	}
	eighths := max(int(math.Round(float64(count)/float64(most)*float64(8*width))), 1)
	return strings.Repeat("█", eighths/8) + bars[eighths%8]
}

package screen

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sysprof/report"
	"sysprof/report/live"
)

// openedFrame is the screen with all that is known of one row.
func (s *Screen) openedFrame() []string {
	lines := s.openedLines()
	what := bold.paint(cut(s.opened, s.width/2)) + " · " + windows[s.window].name
	top := append([]string{s.headLine()}, s.stateLines(what)...)
	room := s.height - len(top) - 1
	s.scrolled = min(s.scrolled, max(len(lines)-room, 0))
	if len(lines) > room {
		what += fmt.Sprintf(" · lines %d–%d of %d", s.scrolled+1, min(s.scrolled+room, len(lines)), len(lines))
		top = append(top[:1], s.stateLines(what)...)
	}
	frame := append(top, lines[s.scrolled:min(s.scrolled+room, len(lines))]...)
	for len(frame) < s.height-1 {
		frame = append(frame, "")
	}
	return append(frame, s.keys("esc back", "↑↓ scroll", "w window", "space pause", "? help", "q quit"))
}

// openedLines are what there is to say of the row.
func (s *Screen) openedLines() []string {
	sum := s.shown().since(windows[s.window].length)
	r := sum.of(s.grouping)[s.opened]
	if r == nil || r.calls == 0 {
		return []string{faint.paint("no call has returned in this time")}
	}
	all := sum.total()
	lines := []string{
		fmt.Sprintf("%s calls/s · %s calls · %s in all, %s %% of the time", perSecond(r.calls, sum.length), report.Count(r.calls), report.Time(r.sum), share(r.sum, all.sum)),
		fmt.Sprintf("mean %s · p50 %s · p90 %s · p99 %s · max %s", report.Time(r.mean()),
			report.Time(r.quantile(0.5)), report.Time(r.quantile(0.9)), report.Time(r.quantile(0.99)), report.Time(r.max)),
	}
	if r.upperBound {
		lines = append(lines, yellow.paint("They waited for other traced threads: without tracing they would take less."))
	}
	lines = append(lines, s.distribution(r)...)
	lines = append(lines, s.errnos(r, sum.length)...)
	lines = append(lines, s.slowest(r)...)
	return append(lines, s.parts(r, sum)...)
}

func title(text string) string { return cyan.paint(text) }

// bar is the calls that took at least low, and less than high.
type bar struct {
	low, high time.Duration
	count     uint64
}

// barsOf are the bars of a distribution, each with the same factor between its times, 2 if that makes no more than most.
func barsOf(buckets []live.Bucket, most int) []bar {
	for factor := time.Duration(2); ; factor *= 2 {
		var bars []bar
		for _, b := range buckets {
			low := time.Duration(1)
			for b.Low/factor >= low {
				low *= factor
			}
			for len(bars) > 0 && bars[len(bars)-1].high < low { // none between two of them
				next := bars[len(bars)-1].high
				bars = append(bars, bar{next, factor * next, 0})
			}
			if len(bars) == 0 || bars[len(bars)-1].low != low {
				bars = append(bars, bar{low, factor * low, 0})
			}
			bars[len(bars)-1].count += b.Count
		}
		if len(bars) <= most || factor > 1<<16 {
			return bars
		}
	}
}

// distribution draws how long the calls took.
func (s *Screen) distribution(r *row) []string {
	const mostBars = 12
	bars, most := barsOf(r.sorted(), mostBars), uint64(0)
	for _, b := range bars {
		most = max(most, b.count)
	}
	lines := []string{"", title("how long they took")}
	const labels, counts, shares = 19, 11, 6
	room := max(s.width-labels-counts-shares-6, 10)
	for _, b := range bars {
		n := int(float64(b.count) / float64(most) * float64(room))
		drawn := strings.Repeat("█", n)
		if b.count > 0 && n == 0 {
			drawn = "▏"
		}
		label := right(report.Time(b.low), 8) + " – " + left(report.Time(b.high), 8)
		lines = append(lines, left(label, labels)+right(report.Count(b.count), counts)+" "+
			right(report.Percent(float64(b.count), float64(r.calls)), shares)+" %  "+green.paint(drawn))
	}
	return lines
}

func (s *Screen) errnos(r *row, length time.Duration) []string {
	if r.errors == 0 {
		return nil
	}
	lines := []string{"", title("how they failed") + fmt.Sprintf(": %s %% of them", report.Percent(float64(r.errors), float64(r.calls)))}
	names := slices.SortedFunc(maps.Keys(r.errnos), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.errnos[b], r.errnos[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		n := r.errnos[name]
		lines = append(lines, fmt.Sprintf("%s %s/s %s %%  %s", right(report.Count(n), 11), right(perSecond(n, length), 9),
			right(report.Percent(float64(n), float64(r.calls)), 6), red.paint(name)))
	}
	return lines
}

// parts says of a call who made it and on what, as far as calls are told apart by that, and of a group which calls it made.
func (s *Screen) parts(r *row, sum *sum) (lines []string) {
	if s.grouping > 0 {
		return s.partLines("which calls", slices.Collect(maps.Values(r.parts)), r, sum)
	}
	for i, field := range sum.by {
		var parts []live.Part
		for _, g := range sum.of(i + 1) {
			if p, ok := g.parts[r.name]; ok {
				p.Name = g.name
				parts = append(parts, p)
			}
		}
		lines = append(lines, s.partLines("by "+fieldName(field), parts, r, sum)...)
	}
	return lines
}

func (s *Screen) partLines(heading string, parts []live.Part, r *row, sum *sum) []string {
	if len(parts) == 0 {
		return nil
	}
	slices.SortFunc(parts, func(a, b live.Part) int { return cmp.Or(cmp.Compare(b.Sum, a.Sum), cmp.Compare(a.Name, b.Name)) })
	lines := []string{"", title(heading)}
	const most = 20
	for i, p := range parts {
		if i == most {
			return append(lines, faint.paint(fmt.Sprintf("%s and %s more", strings.Repeat(" ", 6), report.Count(uint64(len(parts)-most)))))
		}
		line := fmt.Sprintf("%s %%  %s/s  mean %s  ", right(share(p.Sum, r.sum), 6), right(perSecond(p.Calls, sum.length), 9),
			right(report.Time(p.Sum/time.Duration(max(p.Calls, 1))), cellWidth))
		if p.Errors > 0 {
			line += red.paint(report.Count(p.Errors)+" failed") + "  "
		}
		lines = append(lines, line+p.Name)
	}
	return lines
}

func (s *Screen) slowest(r *row) []string {
	if len(r.slowest) == 0 {
		return nil
	}
	lines := []string{"", title("the slowest")}
	now := s.shown().newest().Elapsed
	for _, one := range r.slowest {
		line := fmt.Sprintf("%s  %s ago", right(report.Time(one.Took), cellWidth), right(report.Clock(now-one.at), 7))
		if one.PID == one.TID {
			line += fmt.Sprintf("  process %d", one.PID)
		} else {
			line += fmt.Sprintf("  process %d, thread %d", one.PID, one.TID)
		}
		if one.Who != "" {
			line += " " + one.Who
		}
		if one.Ends != "" {
			line += "  " + red.paint(one.Ends)
		}
		lines = append(lines, line)
	}
	return lines
}

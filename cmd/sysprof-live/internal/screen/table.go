package screen

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"sysprof/report"
	"sysprof/report/live"
)

// The least screen on which rows can be read.
const (
	leastWidth  = 60
	leastHeight = 10
)

// sorts are the orders of rows, each with the largest first but for names.
var sorts = []struct {
	name    string
	heading string // of the column that it is about
	compare func(a, b *row) int
}{
	{"time", "% time", func(a, b *row) int { return cmp.Compare(b.sum, a.sum) }},
	{"rate", "calls/s", func(a, b *row) int { return cmp.Compare(b.calls, a.calls) }},
	{"errors", "errors/s", func(a, b *row) int { return cmp.Compare(b.errors, a.errors) }},
	{"p50", "p50", func(a, b *row) int { return cmp.Compare(b.quantile(0.5), a.quantile(0.5)) }},
	{"p99", "p99", func(a, b *row) int { return cmp.Compare(b.quantile(0.99), a.quantile(0.99)) }},
	{"max", "max", func(a, b *row) int { return cmp.Compare(b.max, a.max) }},
	{"name", "call", func(a, b *row) int { return strings.Compare(a.name, b.name) }},
}

// Frame is the screen: as many lines as it is high, none of them wider than it is, with escape sequences for colours.
func (s *Screen) Frame() []string {
	var lines []string
	switch {
	case s.width < leastWidth || s.height < leastHeight:
		lines = s.tooSmall()
	case s.help:
		lines = s.helpLines()
	case s.opened != "":
		lines = s.openedFrame()
	default:
		lines = s.table()
	}
	lines = lines[:min(len(lines), max(s.height, 0))]
	for i, line := range lines {
		if s.begin.ASCII {
			line = ascii(line)
		}
		lines[i] = cut(line, s.width)
	}
	return lines
}

func (s *Screen) tooSmall() []string {
	return []string{
		fmt.Sprintf("too small: %d×%d", s.width, s.height),
		fmt.Sprintf("it needs %d×%d", leastWidth, leastHeight),
		"q quits",
	}
}

// headLine says what is traced, and how that goes.
func (s *Screen) headLine() string {
	parts := []string{"sysprof", s.begin.Traced}
	if u := s.shown().newest(); u != nil {
		now := s.shown().since(time.Second)
		parts = append(parts, report.Clock(u.Elapsed), perSecond(now.total().calls, now.length)+" calls/s")
		switch {
		case u.Slowdown > 0:
			parts = append(parts, "slowdown "+report.Factor(u.Slowdown))
		case u.Lost > 0:
			parts = append(parts, "tracing takes "+report.Percent(u.Lost, 1)+" %")
		}
		parts = append(parts, plural(u.Threads, "thread"))
	}
	line := parts[0]
	for _, p := range parts[1:] {
		if width(line)+width(p)+3 > s.width-2 {
			p = cut(p, s.width-2-width(line)-3)
		}
		if p == "" {
			break
		}
		line += " · " + p
	}
	return headline.paint(left(" "+line, s.width))
}

// stateLines say what is shown, below what sysprof has to say.
func (s *Screen) stateLines(what string) (lines []string) {
	if len(s.notices) > 0 {
		text := s.notices[0]
		if n := len(s.notices) - 1; n > 0 {
			text += fmt.Sprintf(" (%d more)", n)
		}
		const most = 4
		for line := range strings.SplitSeq(ansi.Wrap(text, s.width, ""), "\n") {
			lines = append(lines, yellow.paint(line))
		}
		lines = lines[:min(len(lines), most)]
	}
	line := what
	if s.frozen != nil {
		line = bold.paint("PAUSED") + " · " + line
	}
	switch {
	case s.typing:
		line += " · filter: " + bold.paint(s.filter) + "\x1b[7m \x1b[m"
	case s.filter != "":
		line += " · filter: " + bold.paint(s.filter)
	}
	return append(lines, line)
}

// room is how many rows there is room for.
func (s *Screen) room() int { return max(s.height-4-len(s.stateLines("")), 1) }

// table is the screen with all rows.
func (s *Screen) table() []string {
	rows := s.rows()
	order := "sorted by " + sorts[s.sort].name
	if s.reversed {
		order += ", reversed"
	}
	at := s.index(rows)
	s.top = min(max(s.top, at-s.room()+1, 0), at, max(len(rows)-s.room(), 0))
	shown := rows[s.top:min(s.top+s.room(), len(rows))]
	what := "by " + s.groupedBy() + ", " + order + " · " + windows[s.window].name
	if len(shown) < len(rows) {
		what += fmt.Sprintf(" · %d–%d of %d", s.top+1, s.top+len(shown), len(rows))
	}

	lines := append([]string{s.headLine()}, s.stateLines(what)...)
	heading, body := s.body(shown, at-s.top)
	lines = append(append(lines, heading), body...)
	if len(rows) == 0 {
		lines = append(lines, faint.paint(s.whyEmpty()))
	}
	for len(lines) < s.height-2 {
		lines = append(lines, "")
	}
	if len(rows) > 0 {
		lines = append(lines, s.totalLine())
	} else {
		lines = append(lines, "")
	}
	return append(lines, s.keys("s sort", "g group", "/ filter", "w window", "space pause", "⏎ open", "? help", "q quit"))
}

func (s *Screen) whyEmpty() string {
	switch {
	case s.shown().newest() == nil:
		return "the first second is not over yet"
	case s.filter != "" && len(s.shown().since(windows[s.window].length).of(s.grouping)) > 0:
		return "nothing of that name; esc shows all"
	}
	return "no call has returned in this time"
}

// keys is the last line.
func (s *Screen) keys(keys ...string) string {
	line, free := "", s.width
	for _, k := range keys {
		if s.begin.ASCII {
			k = strings.ReplaceAll(k, "⏎", "enter")
		}
		key, does, _ := strings.Cut(k, " ")
		if free -= width(k) + 2; free < 0 {
			break
		}
		line += bold.paint(key) + " " + does + "  "
	}
	return line
}

// column is a column of the table.
type column struct {
	heading string
	width   int
	style   style
}

// cellWidth is the width of a time.
const cellWidth = 8

// body is the heading of the table and its rows.
func (s *Screen) body(rows []*row, selected int) (heading string, lines []string) {
	sum := s.shown().since(windows[s.window].length)
	all, errors, names := sum.total(), false, len("call")
	for _, r := range sum.of(s.grouping) { // all of them, so that columns stay where they are
		errors = errors || r.errors > 0
		names = max(names, width(r.name))
	}
	columns := []column{{heading: "% time", width: 6}, {heading: "calls/s", width: 9}}
	if errors {
		columns = append(columns, column{heading: "errors/s", width: cellWidth, style: red})
	}
	columns = append(columns, column{heading: "p50", width: cellWidth}, column{heading: "p99", width: cellWidth})
	if sorts[s.sort].heading == "max" {
		columns[len(columns)-2].heading = "max"
	}
	used := 0
	for _, c := range columns {
		used += c.width + gap
	}
	const leastName, mostName = 14, 32
	cells := sparkWidth(s.width - used - gap - min(max(names, leastName), mostName))
	if minute := max(cells, len("last minute")); s.width-used-minute-2*gap >= min(names, leastName) {
		columns = append(columns, column{heading: "last minute", width: minute, style: cyan})
		used += minute + gap
	}
	last := s.groupedBy()
	columns = append(columns, column{heading: last, width: s.width - used})

	for i, c := range columns {
		text := right(c.heading, c.width)
		if c.heading == last || c.heading == "last minute" {
			text = left(c.heading, c.width)
		}
		look := faint
		if c.heading == sorts[s.sort].heading || i == len(columns)-1 && sorts[s.sort].name == "name" {
			look = bold
		}
		heading += look.paint(text)
		if i < len(columns)-1 {
			heading += strings.Repeat(" ", gap)
		}
	}
	sparks := s.sparks(cells)
	for i, r := range rows {
		var line strings.Builder
		for j, c := range columns {
			text := s.cell(r, all, sum.length, c, sparks)
			if i != selected {
				text = c.style.paint(text)
			}
			line.WriteString(text)
			if j < len(columns)-1 {
				line.WriteString(strings.Repeat(" ", gap))
			}
		}
		text := line.String()
		if i == selected {
			text = reverse.paint(left(text, s.width))
		}
		lines = append(lines, text)
	}
	return heading, lines
}

// gap is how many blanks are between columns.
const gap = 1

func (s *Screen) cell(r, all *row, length time.Duration, c column, sparks map[string]string) string {
	switch c.heading {
	case "% time":
		return right(share(r.sum, all.sum), c.width)
	case "calls/s":
		return right(perSecond(r.calls, length), c.width)
	case "errors/s":
		if r.errors == 0 {
			return right("", c.width)
		}
		return right(perSecond(r.errors, length), c.width)
	case "p50":
		return right(atMost(r)+report.Time(r.quantile(0.5)), c.width)
	case "p99":
		return right(atMost(r)+report.Time(r.quantile(0.99)), c.width)
	case "max":
		return right(report.Time(r.max), c.width)
	case "last minute":
		return left(sparks[r.name], c.width)
	}
	return left(r.name, c.width)
}

// atMost marks times that would be less without tracing.
func atMost(r *row) string {
	if r.upperBound {
		return "≤"
	}
	return ""
}

// totalLine is all rows together, under them.
func (s *Screen) totalLine() string {
	sum := s.shown().since(windows[s.window].length)
	all := sum.total()
	line := fmt.Sprintf("%s %s  p50 %s · p99 %s · max %s", strings.Repeat(" ", 6), right(perSecond(all.calls, sum.length), 9),
		report.Time(all.quantile(0.5)), report.Time(all.quantile(0.99)), report.Time(all.max))
	if all.errors > 0 {
		line += fmt.Sprintf(" · %s errors/s", perSecond(all.errors, sum.length))
	}
	return faint.paint(line)
}

// blocks are what sparklines are drawn with.
var blocks = []rune("▁▂▃▄▅▆▇█")

// sparkWidth is how many characters a minute is drawn with where there is room for so many: a whole number of seconds each.
func sparkWidth(room int) int {
	for _, cells := range []int{60, 30, 20, 15, 12} {
		if cells <= room {
			return cells
		}
	}
	return 10
}

// sparks draws how many calls of each row returned when during the last minute, the newest on the right. The highest block
// is the most of the row. Where nothing is known yet it is blank.
func (s *Screen) sparks(cells int) map[string]string {
	h := s.shown()
	newest := h.newest()
	if newest == nil {
		return nil
	}
	counts, known := make(map[string][]float64), make([]time.Duration, cells)
	for _, u := range h.updates {
		i := cells - 1 - int((newest.Elapsed-u.Elapsed)*time.Duration(cells)/minute)
		if i < 0 {
			continue
		}
		known[i] += u.Length
		count := func(name string, r *live.Row) {
			if counts[name] == nil {
				counts[name] = make([]float64, cells)
			}
			counts[name][i] += float64(r.Calls)
		}
		if s.grouping == 0 {
			for j := range u.Rows {
				count(u.Rows[j].Name, &u.Rows[j])
			}
			continue
		}
		for j := range u.Groups {
			if r := &u.Groups[j]; s.grouping <= len(r.Values) {
				count(r.Values[s.grouping-1], r)
			}
		}
	}
	lines := make(map[string]string, len(counts))
	for name, its := range counts {
		lines[name] = spark(its, known)
	}
	return lines
}

// spark draws rates.
func spark(counts []float64, known []time.Duration) string {
	most := 0.0
	for i := range counts {
		if known[i] > 0 {
			counts[i] /= known[i].Seconds()
			most = max(most, counts[i])
		}
	}
	line := make([]rune, len(counts))
	for i, c := range counts {
		switch {
		case known[i] == 0 || c == 0:
			line[i] = ' '
		default:
			line[i] = blocks[min(int(c/most*float64(len(blocks))), len(blocks)-1)]
		}
	}
	return string(line)
}

// share is a part of all, in per cent. Groups are a little less exact than all calls, and never more than these.
func share(part, all time.Duration) string {
	return report.Percent(float64(min(part, all)), float64(all))
}

func perSecond(n uint64, length time.Duration) string {
	if length <= 0 {
		return "0"
	}
	return report.PerSecond(float64(n) / length.Seconds())
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return report.Count(uint64(n)) + " " + noun + "s"
}

// String is the frame as one text.
func (s *Screen) String() string { return strings.Join(s.Frame(), "\n") }

// Package screen is what sysprof-live shows: messages and keys go in, and the lines of a screen come out. It knows nothing of
// terminals, files or time: what has passed is what messages say.
//
// It is not for taking and restoring a terminal, nor for sending signals. A key that asks for one is returned as a Wish.
package screen

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sysprof/report"
	"sysprof/report/live"
)

// Screen is what is shown now.
type Screen struct {
	begin         live.Begin
	width, height int

	history *history
	frozen  *history // what is shown while it is paused; nil: it is not
	notices []string // the first one is shown, until a key is pressed or for some updates
	age     int      // how many updates it has been shown for

	sort     int // of sorts
	reversed bool
	window   int // of windows
	grouping int // 0: by call; else the number of a field, from 1 on
	filter   string
	typing   bool // the filter is being typed
	help     bool

	selected string // the name of the row; "": the first one
	top      int    // the first row that is shown
	opened   string // the row that is shown alone; "": none
	scrolled int    // how many of its lines are above the screen
}

// New returns a screen that shows nothing yet.
func New(b live.Begin) *Screen {
	b.Traced = report.Printable(b.Traced)
	return &Screen{begin: b, history: new(history), width: 80, height: 24, window: defaultWindow}
}

// Wish is what a key asks for that is not done by showing something else.
type Wish int

const (
	Nothing   Wish = iota
	Quit           // the end of the run
	Interrupt      // what the terminal would do for ^C
	Abort          // for ^\
	Suspend        // for ^Z
	Redraw
)

// windows are how much time figures are about.
var windows = []struct {
	length time.Duration // 0: the whole run
	name   string
}{{time.Second, "last second"}, {10 * time.Second, "last 10 s"}, {minute, "last minute"}, {0, "whole run"}}

const defaultWindow = 1

// Resize says how large the screen is.
func (s *Screen) Resize(width, height int) { s.width, s.height = width, height }

// Take takes a message, which is the screen's from then on.
func (s *Screen) Take(m *live.Message) {
	switch {
	case m.Update != nil:
		makePrintable(m.Update)
		s.history.add(m.Update)
		const longEnough = 10
		if s.age++; s.age > longEnough {
			s.nextNotice()
		}
	case m.Notice != "":
		if len(s.notices) == 0 {
			s.age = 0
		}
		s.notices = append(s.notices, report.Printable(strings.TrimSpace(m.Notice)))
	}
}

// nextNotice leaves the notice that is shown.
func (s *Screen) nextNotice() {
	s.age = 0
	if len(s.notices) > 0 {
		s.notices = s.notices[1:]
	}
}

// makePrintable makes sure that what other programs have named does nothing to a terminal.
func makePrintable(u *live.Update) {
	for i := range u.By {
		u.By[i] = report.Printable(u.By[i])
	}
	for _, rows := range [][]live.Row{u.Rows, u.Groups} {
		for i := range rows {
			r := &rows[i]
			r.Name = report.Printable(r.Name)
			for j := range r.Values {
				r.Values[j] = report.Printable(r.Values[j])
			}
			for j := range r.Errnos {
				r.Errnos[j].Name = report.Printable(r.Errnos[j].Name)
			}
			for j := range r.Slowest {
				r.Slowest[j].Who, r.Slowest[j].Ends = report.Printable(r.Slowest[j].Who), report.Printable(r.Slowest[j].Ends)
			}
			for j := range r.Parts {
				r.Parts[j].Name = report.Printable(r.Parts[j].Name)
			}
		}
	}
}

// Key takes a key by its name: "a", "A", "enter", "ctrl+c", "up".
func (s *Screen) Key(key string) Wish {
	switch key {
	case "ctrl+c":
		return Interrupt
	case "ctrl+\\":
		return Abort
	case "ctrl+z":
		return Suspend
	case "ctrl+l":
		return Redraw
	}
	s.nextNotice()
	switch {
	case s.typing:
		s.typeFilter(key)
		return Nothing
	case s.help:
		s.help = false // by any key
		return Nothing
	}
	switch key {
	case "q", "Q":
		return Quit
	case "?", "h", "f1":
		s.help = true
	case "space", "p":
		s.pause()
	case "w":
		s.window = (s.window + 1) % len(windows)
	case "W":
		s.window = (s.window + len(windows) - 1) % len(windows)
	default:
		if s.opened != "" {
			s.keyOfOpened(key)
		} else {
			s.keyOfTable(key)
		}
	}
	return Nothing
}

func (s *Screen) keyOfTable(key string) {
	switch key {
	case "s", "right", ">":
		s.sort = (s.sort + 1) % len(sorts)
	case "S", "left", "<":
		s.sort = (s.sort + len(sorts) - 1) % len(sorts)
	case "r":
		s.reversed = !s.reversed
	case "g":
		s.group(1)
	case "b":
		s.group(-1)
	case "/":
		s.typing = true
	case "esc":
		s.filter = ""
	case "enter":
		if rows := s.rows(); len(rows) > 0 {
			s.opened, s.scrolled = rows[s.index(rows)].name, 0
			s.selected = s.opened
		}
	case "up", "k":
		s.move(-1)
	case "down", "j":
		s.move(1)
	case "pgup", "ctrl+b":
		s.move(-s.room())
	case "pgdown", "ctrl+f":
		s.move(s.room())
	case "home":
		s.move(-len(s.rows()))
	case "end", "G":
		s.move(len(s.rows()))
	}
}

func (s *Screen) keyOfOpened(key string) {
	switch key {
	case "esc", "enter", "backspace", "left":
		s.opened = ""
	case "up", "k":
		s.scrolled--
	case "down", "j":
		s.scrolled++
	case "pgup", "ctrl+b":
		s.scrolled -= s.height - 3
	case "pgdown", "ctrl+f":
		s.scrolled += s.height - 3
	case "home":
		s.scrolled = 0
	}
	s.scrolled = min(max(s.scrolled, 0), max(len(s.openedLines())-(s.height-2), 0))
}

// mostFilter is how long a filter may be.
const mostFilter = 64

func (s *Screen) typeFilter(key string) {
	switch {
	case key == "enter":
		s.typing = false
	case key == "esc":
		s.typing, s.filter = false, ""
	case key == "backspace":
		_, size := utf8.DecodeLastRuneInString(s.filter)
		s.filter = s.filter[:len(s.filter)-size]
	case key == "ctrl+u":
		s.filter = ""
	case key == "space":
		s.Type(" ")
	case utf8.RuneCountInString(key) == 1:
		s.Type(key)
	case key == "up":
		s.move(-1)
	case key == "down":
		s.move(1)
	}
}

// Type takes text that is typed, or pasted, where a filter is.
func (s *Screen) Type(text string) {
	if s.typing && len(s.filter)+len(text) <= mostFilter {
		s.filter += report.Printable(text)
	}
}

func (s *Screen) pause() {
	if s.frozen != nil {
		s.frozen = nil
	} else {
		s.frozen = s.history.clone()
	}
}

// shown is the history that is shown.
func (s *Screen) shown() *history {
	if s.frozen != nil {
		return s.frozen
	}
	return s.history
}

// rows are those that are shown, in order.
func (s *Screen) rows() []*row {
	var rows []*row
	for _, r := range s.shown().since(windows[s.window].length).of(s.grouping) {
		if s.matches(r.name) {
			rows = append(rows, r)
		}
	}
	by := sorts[s.sort]
	slices.SortFunc(rows, func(a, b *row) int {
		order := by.compare(a, b)
		if s.reversed {
			order = -order
		}
		if order == 0 {
			order = strings.Compare(a.name, b.name)
		}
		return order
	})
	return rows
}

// fields are those that calls are told apart by.
func (s *Screen) fields() []string {
	if u := s.shown().newest(); u != nil {
		return u.By
	}
	return nil
}

// group tells calls apart by the next field, or by the previous one.
func (s *Screen) group(by int) {
	kinds := len(s.fields()) + 1
	s.grouping, s.selected, s.top = (s.grouping+by+kinds)%kinds, "", 0
}

// fieldNames are what fields are called that have another name for people.
var fieldNames = map[string]string{"tid": "thread", "pid": "process", "comm": "process name", "thread_name": "thread name", "fd": "file"}

// groupedBy is what rows are told apart by.
func (s *Screen) groupedBy() string {
	fields := s.fields()
	if s.grouping == 0 || s.grouping > len(fields) {
		return "call"
	}
	return fieldName(fields[s.grouping-1])
}

func fieldName(field string) string {
	if name := fieldNames[field]; name != "" {
		return name
	}
	return field
}

// matches reports whether a name has one of the words of the filter in it, whatever their case; without words all do.
func (s *Screen) matches(name string) bool {
	words := strings.Fields(strings.ToLower(s.filter))
	name = strings.ToLower(name)
	return len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

// index is which of the rows is selected.
func (s *Screen) index(rows []*row) int {
	return max(slices.IndexFunc(rows, func(r *row) bool { return r.name == s.selected }), 0)
}

// move selects another row.
func (s *Screen) move(by int) {
	if rows := s.rows(); len(rows) > 0 {
		s.selected = rows[min(max(s.index(rows)+by, 0), len(rows)-1)].name
	}
}

package screen

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"sysprof/report/live"
)

var update = flag.Bool("update", false, "write the golden files anew")

// bucketOf finds the bucket of a time.
func bucketOf(d time.Duration) int {
	i := 0
	for {
		if _, high := live.Bounds(i); high >= d {
			return i
		}
		i++
	}
}

// row is so many calls, each of which took so long.
func rowOf(name string, calls uint64, took time.Duration) live.Row {
	return live.Row{Name: name, Calls: calls, Sum: time.Duration(calls) * took, Max: took, Spread: live.Spread{bucketOf(took): calls}}
}

// second is the update of a second.
func second(n int, rows ...live.Row) *live.Message {
	return &live.Message{Update: &live.Update{Elapsed: time.Duration(n) * time.Second, Length: time.Second, Processes: 1, Threads: 5, Slowdown: 1.234, Rows: rows}}
}

// server is a screen that shows a minute of a server's calls.
func server() *Screen {
	s := New(live.Begin{Traced: "server (42)"})
	for n := range 70 {
		failing := rowOf("read", 1000, 2*time.Microsecond)
		failing.Errors, failing.Errnos = 200, []live.Errno{{Name: "EAGAIN", Count: 150}, {Name: "EINTR", Count: 50}}
		failing.Slowest = []live.Single{{Took: 5 * time.Millisecond, PID: 42, TID: 43, Who: "worker", Ends: "EINTR"}}
		m := second(n+1, failing, rowOf("epoll_wait", uint64(10*n), 90*time.Millisecond), rowOf("write", 500, 10*time.Microsecond))
		m.Update.Rows[2].UpperBound = true
		m.Update.By = []string{"tid", "fd"}
		g := rowOf("worker, tcp :80", 1000, 2*time.Microsecond)
		g.Values, g.Parts = []string{"server (42) thread 43 worker", "tcp :80"}, []live.Part{{Name: "read", Calls: 1000, Errors: 200, Sum: 2 * time.Millisecond}}
		m.Update.Groups = []live.Row{g}
		s.Take(m)
	}
	return s
}

// text is what can be read on a screen.
func text(s *Screen) string { return ansi.Strip(s.String()) }

// TestGolden shows what screens look like, colours left out.
func TestGolden(t *testing.T) {
	for name, test := range map[string]struct {
		width, height int
		keys          string
		notice        string
		ascii         bool
	}{
		"table 80x24":           {80, 24, "", "", false},
		"table ascii 80x24":     {80, 24, "", "", true},
		"table wide 160x12":     {160, 12, "s", "", false},
		"last minute 80x24":     {80, 24, "w", "", false},
		"reversed 80x24":        {80, 24, "r", "", false},
		"max 80x24":             {80, 24, "s s s s s", "", false},
		"filter typed 80x24":    {80, 24, "/ r e", "", false},
		"filter nothing 80x24":  {80, 24, "/ x enter", "", false},
		"by thread 80x24":       {80, 24, "g", "", false},
		"by file 80x24":         {80, 24, "b", "", false},
		"read opened 80x40":     {80, 40, "s enter", "", false},
		"thread opened 80x24":   {80, 24, "g enter", "", false},
		"notice 80x24":          {80, 24, "", "it does not stop by SIGTSTP while process 42 runs on, which it traces and which would stand still at its next call; kill -STOP 41 stops both", false},
		"help 80x24":            {80, 24, "?", "", false},
		"too small 40x10":       {40, 10, "", "", false},
		"as small as may 60x10": {60, 10, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := server()
			s.begin.ASCII = test.ascii
			s.Resize(test.width, test.height)
			for key := range strings.FieldsSeq(test.keys) {
				s.Key(key)
			}
			if test.notice != "" {
				s.Take(&live.Message{Notice: test.notice})
			}
			var got strings.Builder
			for line := range strings.SplitSeq(text(s), "\n") {
				got.WriteString(strings.TrimRight(line, " ") + "\n")
			}
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s\n%s", diff, got.String())
			}
		})
	}
}

// fits demands that a frame is no larger than the screen, and has nothing that would do something to a terminal but colours.
func fits(t *testing.T, s *Screen) {
	t.Helper()
	lines := s.Frame()
	if len(lines) > max(s.height, 0) {
		t.Fatalf("%d lines on a screen of %d", len(lines), s.height)
	}
	for _, line := range lines {
		if ansi.StringWidth(line) > max(s.width, 0) {
			t.Fatalf("%q is wider than %d", line, s.width)
		}
		rest := line
		for {
			before, after, found := strings.Cut(rest, "\x1b[")
			if strings.ContainsFunc(before, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q has control characters", line)
			}
			if !found {
				break
			}
			end := strings.IndexFunc(after, func(r rune) bool { return r != ';' && (r < '0' || r > '9') })
			if end < 0 || after[end] != 'm' {
				t.Fatalf("%q has an escape sequence that is no colour", line)
			}
			rest = after[end+1:]
		}
	}
}

// TestAnySizeAnyKey: whatever is pressed, on whatever screen, with whatever names.
func TestAnySizeAnyKey(t *testing.T) {
	keys := strings.Fields("s S r w W g b / esc enter up down pgup pgdown home end ? space p k j G q ctrl+l x é 宽 backspace left right h ctrl+u tab")
	names := []string{"read", "\x1b[2J\x1b]0;x\x07evil", "宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽", "", "a\nb\rc", "\u202eab", strings.Repeat("é", 300), "e\u0301", "\xff\xfe", "👩‍👩‍👧‍👦"}
	random := rand.New(rand.NewPCG(1, 2))
	some := func() string { return names[random.IntN(len(names))] }
	for range 60 {
		s := New(live.Begin{Traced: some(), ASCII: random.IntN(4) == 0})
		for n := range 150 {
			switch random.IntN(4) {
			case 0:
				m := second(n, rowOf(some(), uint64(random.IntN(1000)), time.Duration(random.Int64N(1e12))))
				m.Update.By = []string{"tid", some()}
				g := rowOf(some(), 1, 1)
				g.Values, g.Parts = []string{some(), some()}[:random.IntN(3)], []live.Part{{Name: some()}}
				m.Update.Groups = append(m.Update.Groups, g)
				m.Update.Rows[0].Errors, m.Update.Rows[0].Errnos = 1, []live.Errno{{Name: some(), Count: 1}}
				m.Update.Rows[0].Slowest = []live.Single{{Took: time.Duration(random.Int64()), Who: some(), Ends: some()}}
				s.Take(m)
			case 1:
				if random.IntN(10) == 0 {
					s.Take(&live.Message{Notice: some()})
				}
				s.Resize(random.IntN(150), random.IntN(50))
			default:
				s.Key(keys[random.IntN(len(keys))])
			}
			fits(t, s)
		}
	}
}

// TestSizes: all lines are there on any screen that is large enough.
func TestSizes(t *testing.T) {
	for _, keys := range [][]string{nil, {"enter"}, {"?"}, {"g"}} {
		for width := leastWidth; width < 200; width += 7 {
			for height := leastHeight; height < 60; height += 3 {
				s := server()
				s.Resize(width, height)
				for _, k := range keys {
					s.Key(k)
				}
				fits(t, s)
				if n := len(s.Frame()); n != height {
					t.Fatalf("%v: %d lines on a screen of %d×%d", keys, n, width, height)
				}
			}
		}
	}
}

// names are the calls that are shown, from above.
func names(s *Screen) (names []string) {
	for _, r := range s.rows() {
		names = append(names, r.name)
	}
	return names
}

// TestSort goes through all orders.
func TestSort(t *testing.T) {
	s := server()
	for _, want := range []string{
		"epoll_wait write read", // time
		"read epoll_wait write", // rate: 1000, 640, 500
		"read epoll_wait write", // errors, then by name
		"epoll_wait write read", // p50
		"epoll_wait write read", // p99
		"epoll_wait write read", // max
		"epoll_wait read write", // name
	} {
		if got := strings.Join(names(s), " "); got != want {
			t.Errorf("by %s: %s, want %s", sorts[s.sort].name, got, want)
		}
		s.Key("s")
	}
	s.Key("r")
	if got := strings.Join(names(s), " "); got != "read write epoll_wait" {
		t.Errorf("reversed: %s", got)
	}
}

// TestSelectionFollowsItsRow, whatever the order.
func TestSelectionFollowsItsRow(t *testing.T) {
	s := server()
	s.Key("down")
	for range sorts {
		s.Key("s")
		if rows := s.rows(); rows[s.index(rows)].name != "write" {
			t.Errorf("%s is selected by %s", rows[s.index(rows)].name, sorts[s.sort].name)
		}
	}
	s.Key("enter")
	if s.opened != "write" {
		t.Errorf("%q is opened", s.opened)
	}
}

// TestPause: nothing changes, and nothing is lost.
func TestPause(t *testing.T) {
	s := server()
	s.Key("space")
	before := text(s)
	for n := range 100 {
		s.Take(second(71+n, rowOf("brk", 1_000_000, time.Second)))
	}
	if diff := cmp.Diff(before, text(s)); diff != "" {
		t.Errorf("it has changed while it was paused: %s", diff)
	}
	s.Key("space")
	s.Key("W")
	s.Key("W") // the whole run
	if sum := s.shown().since(0); sum.rows["brk"].calls != 100_000_000 || sum.rows["read"].calls != 70_000 {
		t.Errorf("%+v", sum)
	}
}

// TestWindows: figures are of the time that is said.
func TestWindows(t *testing.T) {
	s := server()
	for _, want := range []struct {
		window time.Duration
		reads  uint64
	}{{time.Second, 1000}, {10 * time.Second, 10_000}, {time.Minute, 60_000}, {0, 70_000}} {
		if got := s.shown().since(want.window).rows["read"].calls; got != want.reads {
			t.Errorf("%v: %d reads, want %d", want.window, got, want.reads)
		}
	}
	if n := len(s.history.updates); n != 60 {
		t.Errorf("%d updates are kept", n)
	}
}

// TestQuantiles are those of all calls, about.
func TestQuantiles(t *testing.T) {
	s := New(live.Begin{})
	for n := range 100 {
		s.Take(second(1, rowOf("read", 1, time.Duration(n+1)*time.Millisecond)))
	}
	r := s.shown().since(0).rows["read"]
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.9: 90, 0.99: 99, 1: 100} {
		want *= time.Millisecond
		if got := r.quantile(q); got < want-want/20 || got > want+want/20 {
			t.Errorf("the quantile %v is %v, want about %v", q, got, want)
		}
	}
}

// TestManyRows: what is selected can be seen, and memory has a bound.
func TestManyRows(t *testing.T) {
	s := New(live.Begin{})
	var rows []live.Row
	for i := range 3 * mostRows {
		rows = append(rows, rowOf(fmt.Sprintf("call_%05d", i), 1, time.Microsecond))
	}
	s.Take(second(1, rows...))
	if n := len(s.rows()); n > mostRows+1 {
		t.Errorf("%d rows", n)
	}
	for _, key := range []string{"end", "pgup", "up", "home", "pgdown", "down", "G", "r", "s"} {
		s.Key(key)
		rows := s.rows()
		if at := rows[s.index(rows)].name; !strings.Contains(text(s), at) {
			t.Errorf("after %s %s cannot be seen:\n%s", key, at, text(s))
		}
	}
}

// TestWishes are keys that do something outside.
func TestWishes(t *testing.T) {
	for key, want := range map[string]Wish{"q": Quit, "ctrl+c": Interrupt, "ctrl+\\": Abort, "ctrl+z": Suspend, "ctrl+l": Redraw, "x": Nothing} {
		if got := server().Key(key); got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	s := server()
	s.Key("/")
	if wish := s.Key("q"); wish != Nothing || s.filter != "q" {
		t.Errorf("q in a filter: %v, %q", wish, s.filter)
	}
	if wish := s.Key("ctrl+c"); wish != Interrupt {
		t.Errorf("^C in a filter: %v", wish)
	}
}

// TestFilter has any of its words, and takes what is pasted as one line.
func TestFilter(t *testing.T) {
	s := server()
	s.Key("/")
	s.Type("WAIT\x1b wri")
	if got := names(s); !slices.Equal(got, []string{"epoll_wait", "write"}) && !slices.Equal(got, []string{"write"}) {
		t.Errorf("%q shows %q", s.filter, got)
	}
	s.Key("ctrl+u")
	s.Type("wait wri")
	if got := names(s); !slices.Equal(got, []string{"epoll_wait", "write"}) {
		t.Errorf("%q shows %q", s.filter, got)
	}
	s.Key("esc")
	if got := names(s); len(got) != 3 {
		t.Errorf("without a filter: %q", got)
	}
}

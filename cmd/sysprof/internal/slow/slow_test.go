package slow

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// written takes what a Log writes.
type written struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *written) write(_ context.Context, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(text)
}

func (w *written) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func number(name string) uint64 {
	nr, ok := syscalltab.AMD64.Number(name)
	if !ok {
		panic(name)
	}
	return nr
}

// made makes a call of this process that has taken so long.
func made(name string, took time.Duration) *profile.Call {
	return &profile.Call{PID: int32(os.Getpid()), TID: int32(os.Getpid()), ABI: syscalltab.AMD64, Nr: number(name), ExitSeenNs: int64(took)}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(needs.Patience()); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// TestCallsOfAThread: one that is short, one that hangs and returns, one that is not counted, and one that hangs and is gone.
func TestCallsOfAThread(t *testing.T) {
	var out written
	start := time.Now()
	l := New(Options{AtLeast: 50 * time.Millisecond, Now: func() int64 { return int64(time.Since(start)) }, Write: out.write})
	l.Begin()
	enter := func(c *profile.Call) {
		c.EntrySeenNs = int64(time.Since(start))
		l.Entered(c, 0, "")
	}
	leave := func(c *profile.Call, took time.Duration, counted bool) {
		c.EntryResumedNs, c.ExitSeenNs = 0, int64(took)
		if took >= 50*time.Millisecond {
			l.Held(c)
		}
		l.Returned(c, counted)
	}
	short := made("getppid", 0)
	enter(short)
	leave(short, time.Millisecond, true)
	long := made("pause", 0)
	enter(long)
	eventually(t, "the call is said to hang", func() bool { return strings.Contains(out.all(), "pause() has not returned after") })
	leave(long, 2*time.Second, true)
	uncounted := made("getpid", 0)
	enter(uncounted)
	leave(uncounted, time.Second, false)
	gone := made("getuid", 0)
	enter(gone)
	l.InFlight(&profile.InFlight{PID: gone.PID, TID: gone.TID, ABI: gone.ABI, Nr: gone.Nr, SoFarNs: 3e9, Why: profile.Killed})
	l.Ended(gone.TID)
	l.Close(t.Context())
	text := out.all()
	for _, want := range []string{"pause() = 0, 2.00 s\n", "getuid() was killed after 3.00 s\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not written once:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n != 3 {
		t.Errorf("%d lines, want 3:\n%s", n, text)
	}
}

// TestNobodyReads: what tells of calls does not wait, and what found no place is counted.
func TestNobodyReads(t *testing.T) {
	const calls = 10_000
	read := make(chan struct{})
	var out written
	l := New(Options{AtLeast: 1, Now: func() int64 { return 0 }, Write: func(ctx context.Context, text []byte) {
		<-read
		out.write(ctx, text)
	}})
	l.Begin()
	c := made("getppid", time.Millisecond)
	for range calls {
		l.Entered(c, 0, "")
		l.Held(c)
		l.Returned(c, true)
	}
	close(read)
	l.Close(t.Context())
	lines, left := 0, 0
	for line := range strings.Lines(out.all()) {
		if _, rest, ok := strings.Cut(line, " … "); ok {
			n := 0
			fmt.Sscanf(strings.ReplaceAll(rest, ",", ""), "%d more slower calls", &n)
			left += n
		} else {
			lines++
		}
	}
	if lines+left != calls || left == 0 {
		t.Errorf("%d lines and %d left out, of %d calls", lines, left, calls)
	}
}

// TestCloseIsCutShort by the end of its context.
func TestCloseIsCutShort(t *testing.T) {
	l := New(Options{AtLeast: 1, Now: func() int64 { return 0 }, Write: func(ctx context.Context, _ []byte) { <-ctx.Done() }})
	l.Begin()
	c := made("getppid", time.Millisecond)
	l.Held(c)
	l.Returned(c, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan struct{})
	go func() { l.Close(ctx); close(closed) }()
	select {
	case <-closed:
	case <-time.After(needs.Patience()):
		t.Fatal("it goes on")
	}
}

func TestLimit(t *testing.T) {
	var l limit
	at := time.Unix(1_000, 0)
	for i := range linesASecond {
		if !l.mayTake(at) || !l.take(at) {
			t.Fatalf("there is no place for line %d", i)
		}
	}
	if l.mayTake(at) || l.take(at.Add(999*time.Millisecond)) {
		t.Error("there is a place for more")
	}
	if !l.take(at.Add(time.Second)) {
		t.Error("there is no place in the next second")
	}
	l.leaveOut(at, 3)
	l.leaveOut(at.Add(time.Second/2), 4)
	if n, _ := l.leftOut(at.Add(time.Second-1), false); n != 0 {
		t.Errorf("%d are told of too soon", n)
	}
	if n, since := l.leftOut(at.Add(time.Second), false); n != 7 || !since.Equal(at) {
		t.Errorf("%d left out since %v", n, since)
	}
	l.leaveOut(at, 1)
	if n, _ := l.leftOut(at, true); n != 1 {
		t.Errorf("%d left out at the end", n)
	}
}

// BenchmarkCall is what a call takes that is not slow.
func BenchmarkCall(b *testing.B) {
	l := New(Options{AtLeast: time.Second, Now: func() int64 { return 0 }})
	c := made("read", time.Microsecond)
	b.ReportAllocs()
	for b.Loop() {
		l.Entered(c, 0, "")
		l.Returned(c, true)
	}
}

// TestGuesses: a call that took long with the wait for a CPU that is taken off is told of, with both times.
func TestGuesses(t *testing.T) {
	var out written
	l := New(Options{AtLeast: 50 * time.Millisecond, Now: func() int64 { return 0 }, Write: out.write})
	l.Begin()
	for _, disturbed := range []bool{false, true} {
		c := made("pause", 150*time.Millisecond)
		l.Entered(c, 0, "")
		l.Held(c)
		c.TransitNs, c.Disturbed = int64(120*time.Millisecond), disturbed
		l.Returned(c, true)
	}
	l.Close(t.Context())
	if text := out.all(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "pause() = 0, 30.0 ms (150 ms with tracing, and waiting for a CPU)\n") {
		t.Error(text)
	}
}

// TestFullQueue: what finds it full is left out, and does not wait.
func TestFullQueue(t *testing.T) {
	l := New(Options{AtLeast: 1, Now: func() int64 { return 0 }, Write: func(context.Context, []byte) {}})
	put := make(chan struct{})
	go func() {
		for range queued {
			l.enqueue(item{call: new(report.SlowCall)})
		}
		l.put(new(report.SlowCall), 0)
		close(put)
	}()
	select {
	case <-put:
	case <-time.After(needs.Patience()):
		t.Fatal("it waits for who reads")
	}
	if n, _ := l.limit.leftOut(time.Now(), true); n != 1 {
		t.Errorf("%d left out, want 1", n)
	}
}

// TestToldByAnEngine: of more calls that hang than are written in a second the others are said later; of those that return, how many.
func TestToldByAnEngine(t *testing.T) {
	var out written
	l := New(Options{AtLeast: 50 * time.Millisecond, Now: func() int64 { return 0 }, Write: out.write})
	l.Begin()
	const threads = linesASecond + 50
	tell := func(tid int, hangs bool, ns int64) {
		l.Tell(&Told{Hangs: hangs, Hidden: true, Process: "p", Thread: "t", Call: profile.Call{PID: 1, TID: int32(tid), ABI: syscalltab.AMD64, Nr: number("pause"), EntrySeenNs: int64(tid), ExitSeenNs: ns}})
	}
	for tid := range threads {
		tell(tid+2, true, 60e6)
	}
	eventually(t, "all are said to hang", func() bool { return strings.Count(out.all(), "pause() has not returned after ") == threads })
	for tid := range threads {
		tell(tid+2, false, 2e9)
	}
	l.LeftOut(7)
	l.Close(t.Context())
	lines, left := strings.Count(out.all(), "pause() = 0, 2.00 s\n"), 0
	for line := range strings.Lines(out.all()) {
		if _, rest, ok := strings.Cut(line, " … "); ok {
			n := 0
			fmt.Sscanf(rest, "%d more slower calls", &n)
			left += n
		}
	}
	if lines+left != threads+7 || lines == 0 {
		t.Errorf("%d lines and %d left out, of %d calls:\n%s", lines, left, threads+7, out.all())
	}
}

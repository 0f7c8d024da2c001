package slow

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"sysprof/profile"
	"sysprof/profile/label"
	"sysprof/profile/paths"
	"sysprof/report"
	"sysprof/syscalltab"
)

// Options say what is written, and by what means.
type Options struct {
	AtLeast time.Duration
	Calls   *syscalltab.Set // nil: all

	Keeps func(*profile.InFlight) bool // whether a call that hangs is one that is counted; nil: all are

	Now func() int64 // the clock of calls
	// Asleep tells of calls in which threads have been found, and of which Entered has not been told; nil: there are none.
	Asleep func(func(*profile.InFlight))
	Stack  func(number uint32) []string  // nil: there are none; it may take long
	Write  func(context.Context, []byte) // it may have to wait for whoever reads
}

// Log watches one run. Entered, Held, Returned, InFlight and Ended may be called by several threads at once, but each traced
// thread's calls are told in their order.
type Log struct {
	options Options
	threads threads
	memory  *paths.LateReader
	limit   limit
	queue   chan item

	ctx            context.Context // of what is written
	hurry          context.CancelFunc
	closing        chan struct{}
	told           told
	watched, wrote chan struct{} // closed when the timer, and the writer, have ended

	mu     sync.Mutex // guards what follows
	asleep []profile.InFlight
	late   map[int32]*report.SlowCall // calls that hang, by thread, which there was no room to say
}

// queued is how many lines wait at most.
const queued = 4 * linesASecond

// New prepares to watch. It may be told of calls at once.
func New(options Options) *Log {
	l := &Log{options: options, memory: paths.NewLateReader(), queue: make(chan item, queued),
		told: make(told), late: make(map[int32]*report.SlowCall), closing: make(chan struct{}), watched: make(chan struct{}), wrote: make(chan struct{})}
	l.threads.init()
	l.ctx, l.hurry = context.WithCancel(context.Background())
	return l
}

// Begin begins to look for calls that hang, and to write.
func (l *Log) Begin() {
	go l.watch()
	go l.write()
}

// Close ends what has begun when all that is queued has been written, or, for what is not written soon, when ctx ends.
func (l *Log) Close(ctx context.Context) {
	if l == nil {
		return
	}
	stop := context.AfterFunc(ctx, l.hurry)
	defer stop()
	close(l.closing)
	<-l.watched
	l.sayLeftOut(true)
	close(l.queue)
	select {
	case <-l.wrote:
	case <-ctx.Done():
		const grace = 100 * time.Millisecond
		select {
		case <-l.wrote:
		case <-time.After(grace):
		}
	}
}

func (l *Log) wants(abi syscalltab.ABI, nr uint64) bool {
	return l.options.Calls == nil || l.options.Calls.Has(abi, nr)
}

// Entered is told of a call that is entered, of its stack, and of the name of the call that it goes on with, or "". Its thread
// stands still.
func (l *Log) Entered(c *profile.Call, stack uint32, resumes string) {
	if l == nil || !l.wants(c.ABI, c.Nr) {
		return
	}
	about := about{resumes: resumes}
	if gone.Of(c.ABI, c.Nr) {
		l.ask(c, &about)
	}
	l.threads.enter(c, stack, &about)
}

// gone are the calls of which it is not known any more what they were about when they return.
var gone = syscalltab.NewPerCall(map[string]bool{"execve": true, "execve#64": true, "execveat": true, "execveat#64": true, "close": true})

var executes = syscalltab.NewPerCall(map[string]bool{"execve": true, "execve#64": true})

// about is what a call is about.
type about struct {
	known      bool
	descriptor string
	paths      [syscalltab.MaxArguments]string
	pathsKnown uint8  // bit i is for argument i
	resumes    string // the call that it goes on with; "": it is one of its own
}

// ask asks what a call is about.
func (l *Log) ask(c *profile.Call, about *about) {
	about.known = true // though it may be little
	about.descriptor, _ = label.Descriptor(c)
	for i, mask := 0, c.ABI.PathArguments(c.Nr); mask != 0; i, mask = i+1, mask>>1 {
		if mask&1 != 0 && c.Args[i] != 0 {
			if path, ok := l.memory.Text(c.PID, c.Args[i]); ok {
				about.paths[i] = path
				about.pathsKnown |= 1 << i
			}
		}
	}
}

// Held is told of a call that has taken long, tracing included, while its thread still stands at its end.
func (l *Log) Held(c *profile.Call) {
	if l == nil || !l.wants(c.ABI, c.Nr) || !l.limit.mayTake(time.Now()) {
		return
	}
	asked := l.threads.about(c)
	switch {
	case asked.known:
	case !gone.Of(c.ABI, c.Nr):
		l.ask(c, &asked)
	case executes.Of(c.ABI, c.Nr) && c.Errno == 0: // nobody was told of its entry, as of that with which a command begins
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID)); err == nil {
			asked.paths[0], asked.pathsKnown = program, 1
		}
	}
	line := l.line(c, &asked)
	l.threads.keep(c, line)
}

// line is what is said of a call, but for how it has ended.
func (l *Log) line(c *profile.Call, about *about) *report.SlowCall {
	line := &report.SlowCall{Key: profile.Key{ABI: c.ABI, Nr: c.Nr}, PID: c.PID, TID: c.TID, Process: label.Comm(c.PID), Args: c.Args,
		Paths: about.paths, PathsKnown: about.pathsKnown, Descriptor: about.descriptor,
		Resumes: about.resumes, AtLeast: about.resumes != ""}
	if c.TID != c.PID {
		line.Thread = label.Comm(c.TID)
	}
	return line
}

// Returned is told of a call that has returned, and whether it is one that is counted.
func (l *Log) Returned(c *profile.Call, counted bool) {
	if l == nil || !l.wants(c.ABI, c.Nr) {
		return
	}
	line, said := l.threads.returned(c)
	// What is taken off for waiting for a CPU is a guess, good for sums: the thread may have slept meanwhile.
	guessed := c.Disturbed && c.RawLatency() >= l.options.AtLeast
	if !counted || c.Latency() < l.options.AtLeast && !said && !guessed {
		return
	}
	if line == nil { // there was no room for it
		l.limit.leaveOut(time.Now(), 1)
		return
	}
	line.Ns, line.Ret, line.Errno = int64(c.Latency()), c.Ret, c.Errno
	if c.Latency() < l.options.AtLeast || guessed {
		line.RawNs = int64(c.RawLatency())
	}
	l.put(line, 0)
}

// InFlight is told of a call that will not be seen to return.
func (l *Log) InFlight(f *profile.InFlight) {
	if l == nil || !l.wants(f.ABI, f.Nr) || f.SoFarNs < int64(l.options.AtLeast) || f.Why == profile.Exited || f.Why == profile.Detached {
		return
	}
	c := profile.Call{PID: f.PID, TID: f.TID, ABI: f.ABI, Nr: f.Nr, Args: f.Args}
	about := l.threads.about(&c)
	line := l.line(&c, &about) // of who is gone nothing can be asked
	line.Ns, line.AtLeast, line.Why = f.SoFarNs, f.Resumed, f.Why
	l.put(line, 0)
}

// Ended is told of a thread that is traced no more.
func (l *Log) Ended(tid int32) {
	if l != nil {
		l.threads.ended(tid)
	}
}

// put queues a line, unless there are too many.
func (l *Log) put(line *report.SlowCall, stack uint32) {
	line.At = time.Now()
	if !l.limit.take(line.At) || !l.enqueue(item{call: line, stack: stack}) {
		l.limit.leaveOut(line.At, 1)
	}
}

// item is what is to be written: a call, or how many have been left out since when.
type item struct {
	call  *report.SlowCall
	stack uint32

	more      uint64
	at, since time.Time
}

func (l *Log) enqueue(i item) bool {
	select {
	case l.queue <- i:
		return true
	default:
		return false
	}
}

// write writes what is queued.
func (l *Log) write() {
	defer close(l.wrote)
	for i := range l.queue {
		text := ""
		switch {
		case i.call == nil:
			text = report.MoreSlowCalls(i.at, i.more, i.at.Sub(i.since))
		default:
			if i.stack != 0 && l.options.Stack != nil {
				i.call.Stack = l.options.Stack(i.stack)
			}
			text = i.call.Line()
		}
		l.options.Write(l.ctx, []byte(text))
	}
}

// sayLeftOut says how many lines have been left out in seconds that are over, or until now at the end.
func (l *Log) sayLeftOut(end bool) {
	i := item{at: time.Now()}
	if i.more, i.since = l.limit.leftOut(i.at, end); i.more > 0 && !l.enqueue(i) {
		l.limit.leaveOut(i.since, i.more)
	}
}

// limit bounds how many lines are written in a second.
type limit struct {
	mu     sync.Mutex
	second int64 // by the calendar
	lines  int   // in it

	left  uint64    // left out since that was said
	since time.Time // when the first of them was
}

// linesASecond is more than anybody reads, and takes some milliseconds to make.
const linesASecond = 100

// mayTake reports whether there is room for a line.
func (l *limit) mayTake(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(at)
	return l.lines < linesASecond
}

// take takes the place of a line, if there is one.
func (l *limit) take(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(at)
	if l.lines >= linesASecond {
		return false
	}
	l.lines++
	return true
}

func (l *limit) leaveOut(at time.Time, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || at.Before(l.since) {
		l.since = at
	}
	l.left += n
}

// leftOut is how many lines have been left out since when, if that was a second ago, or at the end.
func (l *limit) leftOut(at time.Time, end bool) (n uint64, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || !end && at.Sub(l.since) < time.Second {
		return 0, since
	}
	n, since = l.left, l.since
	l.left = 0
	return n, since
}

// turn begins a new second, if it is one.
func (l *limit) turn(at time.Time) {
	if second := at.Unix(); second != l.second {
		l.second, l.lines = second, 0
	}
}

package compare

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/report"
)

// Plan is what is to be run, and how often.
type Plan struct {
	Command []string // with its arguments
	Path    string   // of its file
	Env     []string
	Stdin   *os.File // read by the command if it is a file
	Rounds  int

	Sysprof  []string // options of sysprof
	Trace    string   // what its -e trace= says, for other tracers; empty: all calls
	NoFollow bool     // trace the command alone
	Filtered bool     // sysprof uses a filter in the kernel: strace is measured with one, too

	Signals  <-chan os.Signal // SIGUSR1 asks for what there is so far, the others end it
	SoFar    func(*report.Comparison)
	Progress func(report.ComparisonProgress)
	Say      func(error)
}

// runner runs a plan.
type runner struct {
	*Plan
	tracers []*tracer
	missing []string
	null    *os.File
	stdin   *os.File
	at      int64 // where the command begins to read stdin, if that is a file

	rounds    []map[*tracer]*sample
	last      *tracer   // whose run was the last one
	lastEnd   time.Time // of that
	stoppedBy syscall.Signal
}

// ErrNothing is a comparison that was ended before there was anything to compare.
var ErrNothing = errors.New("ended before the command had run alone and under sysprof once")

// Run runs the command. It returns the signal that ended it early, 0 if none did. An ExecError is one of the command's.
func (p *Plan) Run() (*report.Comparison, syscall.Signal, error) {
	dir, err := os.MkdirTemp("", "sysprof-bench-")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	defer null.Close()
	if err := adoptOrphans(); err != nil {
		return nil, 0, err
	}
	r := &runner{Plan: p, null: null, stdin: null}
	r.tracers, r.missing = p.tracers(dir)
	if info, err := p.Stdin.Stat(); err == nil && info.Mode().IsRegular() {
		if r.at, err = p.Stdin.Seek(0, io.SeekCurrent); err == nil {
			r.stdin = p.Stdin
		}
	}
	if err := r.all(); err != nil {
		return nil, r.stoppedBy, err
	}
	c := r.comparison()
	if len(c.Tracers) == 0 || c.Rounds == 0 {
		return nil, r.stoppedBy, ErrNothing
	}
	return c, r.stoppedBy, nil
}

// all runs all rounds.
func (r *runner) all() error {
	begin := time.Now()
	for round := range r.Rounds + 1 {
		order := rand.Perm(len(r.tracers))
		if round == 0 {
			for i := range order {
				order[i] = i // the command alone first: it may not be there
			}
		} else {
			r.rounds = append(r.rounds, make(map[*tracer]*sample))
		}
		left := int64(0)
		if round > 0 {
			left = int64(time.Since(begin)) / int64(round) * int64(r.Rounds+1-round)
		}
		for _, i := range order {
			t := r.tracers[i]
			if t.failed != "" {
				continue
			}
			r.Progress(report.ComparisonProgress{Round: round, Rounds: r.Rounds, Tracer: t.name, LeftNs: left})
			if err := r.measure(t, round); err != nil || r.stoppedBy != 0 {
				return err
			}
		}
	}
	return nil
}

// measure runs the command once in one way. A tracer that does not trace is left out from then on; only that of sysprof and
// of the command alone is an error.
func (r *runner) measure(t *tracer, round int) error {
	s, stderr, err := r.run(t, round == 0)
	switch {
	case r.stoppedBy != 0:
		return nil
	case err != nil && t.name == sysprof:
		return fmt.Errorf("execute sysprof again: %v", err) // this is no ExecError of the command's
	case err != nil && t.path != "":
		t.failed = err.Error()
		return nil
	case err != nil:
		return err
	}
	if err := t.read(t, s); err != nil {
		instead, _ := os.ReadFile(t.out) // perf writes there why it fails, too
		why := complaint(t.args[0], stderr+"\n"+string(instead))
		switch {
		case !errors.Is(err, errNotTraced):
			why = err.Error()
		case why == "":
			why = how(s.status)
		}
		if t.name == sysprof {
			return fmt.Errorf("the run under sysprof failed: %s", why)
		}
		t.failed = why
		return nil
	}
	if round > 0 {
		r.rounds[round-1][t], r.last = s, t
	}
	return nil
}

// run runs the command once, and does meanwhile what signals ask for. If listen is set it returns the beginning of what was
// written to standard error.
func (r *runner) run(t *tracer, listen bool) (*sample, string, error) {
	if t.out != "" {
		if err := os.Remove(t.out); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, "", err
		}
	}
	if r.stdin != r.null {
		if _, err := r.stdin.Seek(r.at, io.SeekStart); err != nil {
			return nil, "", err
		}
	}
	path, args, stderr := r.Path, r.Command, r.null
	heard := func() string { return "" }
	if t.path != "" {
		path, args = t.path, append(append([]string{}, t.args...), r.Command...)
		if listen {
			var err error
			if stderr, heard, err = listener(); err != nil {
				return nil, "", err
			}
		}
	}
	f, err := start(path, args, r.Env, []*os.File{r.stdin, r.null, stderr})
	if stderr != r.null {
		stderr.Close()
	}
	if err != nil {
		return nil, "", err
	}
	if !r.follow(f) {
		return nil, "", nil
	}
	r.lastEnd = time.Now()
	return &sample{ns: int64(f.end.Sub(f.start)), status: f.status}, heard(), nil
}

// follow waits until all processes of a run are gone. It reports whether they have ended without us.
func (r *runner) follow(f *family) bool {
	const patience = 2 * time.Second
	leader := f.leader
	var tooLong <-chan time.Time
	for {
		select {
		case <-f.gone:
			return !r.meanwhile()
		case <-leader:
			leader, tooLong = nil, time.After(patience)
		case <-tooLong:
			r.Say(fmt.Errorf("waiting for the end of what the command has left behind (processes: %d); a signal ends it", len(descendants())))
		case got := <-r.Signals:
			if r.take(got.(syscall.Signal)) {
				if !f.kill(r.Signals) {
					r.Say(errors.New("processes of the command's that cannot be killed are left behind"))
				}
				return false
			}
		}
	}
}

// take does what a signal asks for. It reports whether that is to end.
func (r *runner) take(sig syscall.Signal) bool {
	if sig == unix.SIGUSR1 {
		if c := r.comparison(); len(c.Tracers) > 0 && c.Rounds > 0 {
			r.SoFar(c)
		}
		return false
	}
	r.stoppedBy = sig
	const atOnce = 50 * time.Millisecond
	if n := len(r.rounds); n > 0 && r.last != nil && time.Since(r.lastEnd) < atOnce {
		delete(r.rounds[n-1], r.last) // the terminal sends a signal to a run as well, which may have ended of it before we heard
	}
	return true
}

// meanwhile takes the signals that have come, and reports whether one of them ends it.
func (r *runner) meanwhile() bool {
	for {
		select {
		case got := <-r.Signals:
			if r.take(got.(syscall.Signal)) {
				return true
			}
		default:
			return false
		}
	}
}

// listener returns a file to write to, and a function that returns the beginning of what was written, when all have
// closed it.
func listener() (to *os.File, heard func() string, err error) {
	const most, patience = 16 << 10, time.Second
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	var text strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.CopyN(&text, from, most)
		io.Copy(io.Discard, from)
	}()
	return to, func() string {
		from.SetReadDeadline(time.Now().Add(patience)) // another process may have been handed it
		<-done
		from.Close()
		return text.String()
	}, nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/pborman/getopt/v2"
	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof/internal/compare"
	"sysprof/cmd/sysprof/internal/session"
	"sysprof/report"
)

// bench is what --bench says.
type bench struct {
	rounds  int      // 0: it was not given
	from    []int    // for each time that it was given, how many words of the command line there were from there on
	options []string // all others, as they were given
}

// maxRounds is more than anybody waits for.
const maxRounds = 10_000

// declareBench declares --bench.
func (o *options) declareBench(d declarations) {
	d.arg(0, "bench", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n < 1 || n > maxRounds {
			return fmt.Errorf("%q is no number of runs; want 1 to %d", s, maxRounds)
		}
		o.bench.rounds = int(n)
		o.bench.from = append(o.bench.from, len(d.set.Args()))
		return nil
	})
}

// keepOptions keeps the words of the command line that are options, but for --bench: it is what sysprof is run with.
func (b *bench) keepOptions(d declarations, args []string) {
	if b.rounds == 0 {
		return
	}
	options := args[:len(args)-len(d.set.Args())]
	if d.set.State() == getopt.DashDash {
		options = options[:len(options)-1]
	}
	next := 1
	for _, from := range b.from {
		at := len(args) - from
		b.options = append(b.options, options[next:at]...)
		next = at + 1
		if !strings.Contains(options[at], "=") {
			next++ // the number is a word of its own
		}
	}
	b.options = append(b.options, options[next:]...)
}

// notOfBench are the options that do not go with --bench, by their long names.
var notOfBench = []struct{ name, why string }{
	{"from-json", "that shows a run that is over"},
	{"view", "that shows a profile"},
	{"attach", "it runs a command, and attaches to nothing"},
	{"tree", "it runs a command, and attaches to nothing"},
	{"name", "it runs a command, and attaches to nothing"},
	{"cgroup", "it runs a command, and attaches to nothing"},
	{"trace-path", "the other tracers would count all calls"},
	{"env", "it runs the command as it is; begin that with env"},
	{"user", "it runs the command as it is; begin that with setpriv or su"},
	{"argv0", "it runs the command as it is"},
	{"duration", "it runs the command to its end"},
	{"json", "it uses that itself"},
	{"output", "it writes to standard output"},
	{"output-append-mode", "it writes to standard output"},
}

// checkBench finds what does not go with --bench.
func (o *options) checkBench(d declarations) error {
	if o.bench.rounds == 0 || o.help || o.version || o.completions != "" {
		return nil
	}
	for _, not := range notOfBench {
		if d.set.IsSet(not.name) {
			return fmt.Errorf("--%s does not go with --bench: %s", not.name, not.why)
		}
	}
	if len(o.command) == 0 {
		return errors.New("--bench needs a command to run (sysprof --help)")
	}
	return nil
}

// compare runs the command again and again, alone and under tracers, and writes how long that took.
func (p *process) compare(opt *options) (ending, error) {
	if err := enoughDescriptors(); err != nil {
		return ending{}, err
	}
	path, err := findCommand(opt.command[0])
	if err != nil {
		return ending{}, err
	}
	signals := catchSignals(p.signals, p.origin, false)
	p.leaveIgnored()
	std := p.streams()
	line := progressLine{terminal: p.stderr, std: std}
	if opt.outputs.Quiet || !isTerminal(p.stderr) {
		line.terminal = nil
	}
	var writing error
	write := func(c *report.Comparison) {
		look := session.LookOf(p.stdout)
		line.clear()
		var text strings.Builder
		if writing = c.Write(&text, look.Width, look.Color, opt.outputs.Quiet); writing == nil {
			_, writing = io.WriteString(p.stdout, std.Printed(text.String()))
		}
	}
	plan := &compare.Plan{
		Command: opt.command, Path: path, Env: p.environment(), Stdin: p.stdin, Rounds: opt.bench.rounds,
		Sysprof: opt.bench.options, Trace: opt.traceExpr, NoFollow: opt.noFollow, Filtered: opt.filter(nil) != nil,
		Signals: signals, SoFar: write, Progress: line.show, Say: p.messages.say,
	}
	c, stoppedBy, err := plan.Run()
	line.clear()
	if err == nil {
		write(c)
	}
	switch {
	case stoppedBy != 0:
		p.messages.say(err)
		return ending{signal: stoppedBy}, nil
	case err != nil:
		return ending{}, explainLaunch(err, opt)
	case errors.Is(writing, syscall.EPIPE):
		return ending{signal: syscall.SIGPIPE}, nil
	}
	return ending{}, writing
}

// leaveIgnored makes ignored what was when sysprof was executed, so that what it executes finds it so. The Go runtime has put
// handlers there, which execve(2) resets to the default. SIGCHLD is left out: who ignores it is not told how a child
// ended (wait(2)).
func (p *process) leaveIgnored() {
	for sig := syscall.Signal(1); p.origin != nil && sig <= 64; sig++ {
		if p.origin.Ignored&(1<<(sig-1)) != 0 && sig != unix.SIGCHLD {
			signal.Ignore(sig)
		}
	}
}

// progressLine shows on a terminal how far a comparison has got.
type progressLine struct {
	terminal *os.File // nil: on none
	std      session.Streams
	shown    int // how many characters the line has
	at       time.Time
}

// show shows it, but not more often than can be read.
func (l *progressLine) show(p report.ComparisonProgress) {
	const often = 100 * time.Millisecond
	if l.terminal == nil || time.Since(l.at) < often {
		return
	}
	line := l.std.Printed(p.Line(max(session.LookOf(l.terminal).Width-1, 20)))
	l.clear()
	io.WriteString(l.terminal, line)
	l.shown, l.at = utf8.RuneCountInString(line), time.Now()
}

// clear takes the line away.
func (l *progressLine) clear() {
	if l.shown > 0 {
		io.WriteString(l.terminal, "\r"+strings.Repeat(" ", l.shown)+"\r")
		l.shown = 0
	}
}

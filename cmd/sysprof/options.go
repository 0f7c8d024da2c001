package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pborman/getopt/v2"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/profile/label"
	"sysprof/profile/stack"
	"sysprof/ptrace"
	"sysprof/report"
	"sysprof/syscalltab"
	"sysprof/syscalltab/suggest"
)

// options are what the command line says.
type options struct {
	help, version bool
	completions   string // the shell that these are asked for; "": not

	offered func() []offered // all options, for completions

	command []string // with its arguments; empty: only attach
	attach  []int
	argv0   *string
	env     []string // NAME=value sets, NAME unsets
	user    string

	selection  selection
	noFollow   bool
	killOnExit bool
	seccomp    filterMode
	duration   time.Duration // 0: until the end
	cpu        ptrace.CPU

	trace     *syscalltab.Set // nil: all
	traceExpr string          // that trace was made of
	statuses  session.Statuses
	slower    session.Slower

	outputs       session.Outputs // its CPU also says that CPU time is measured
	columnsChosen bool
	fromJSON      []string // saved runs to show instead of tracing
	against       against  // runs that they are compared with
	live          bool     // it is shown while it goes on
	view          string   // a saved profile to show instead of tracing
	bench         bench    // runs to compare instead of tracing one
	engine        engineChoice

	stacks     session.StackMode
	maxDepth   int    // frames of a stack; 0: not said
	labels     string // the names of those that were asked for
	groups     groupOptions
	maxSamples int  // of a profile; 0: as many as are usual
	debuginfod bool // fetch debug files

	controls session.Truth
	raw      bool           // do not take the transit off latencies
	overhead *time.Duration // take this off instead of what is measured
}

// filterMode says whether a command is given a filter in the kernel.
type filterMode uint8

const (
	filterAuto  filterMode = iota // where -e trace= leaves out calls
	filterAsked                   // the same; --seccomp-bpf is strace's word for it
	filterOff
)

// parseOptions reads the command line; args[0] is the program's own name. An error is one line.
func parseOptions(args []string) (*options, error) {
	o := &options{statuses: session.AllStatuses, cpu: ptrace.CPUAuto, outputs: session.Outputs{Columns: report.DefaultColumns()}}
	d := declarations{getopt.New()}
	d.flag('h', "help", func() { o.help = true })
	d.flag('V', "version", func() { o.version = true })
	d.arg(0, "completions", o.chooseCompletions)
	o.declareWhatToTrace(d)
	o.declareWhatToCount(d)
	o.declareWhatToWrite(d)
	o.declareGroups(d)
	o.declareBench(d)
	o.declareIntervals(d)
	o.declareSlower(d)
	o.declareSelection(d)
	o.declareEngine(d)
	o.declareLive(d)
	if err := d.set.Getopt(args, nil); err != nil {
		return nil, d.explain(err)
	}
	o.command, o.offered = d.set.Args(), d.offered
	o.bench.keepOptions(d, args)
	o.outputs.Top = o.groups.shown()
	o.groupForLive()
	return o, o.check(d)
}

func (o *options) declareWhatToTrace(d declarations) {
	d.arg('p', "attach", o.addPIDs)
	d.arg('E', "env", func(s string) error {
		if s == "" || s[0] == '=' {
			return errors.New("want NAME=VALUE or NAME")
		}
		o.env = append(o.env, s)
		return nil
	})
	d.arg('u', "user", func(s string) error { o.user = s; return nil })
	d.arg(0, "argv0", func(s string) error { o.argv0 = &s; return nil })
	d.flag('f', "follow-forks", func() { o.noFollow = false })
	d.flag(0, "no-follow", func() { o.noFollow = true })
	d.flag(0, "kill-on-exit", func() { o.killOnExit = true })
	d.arg(0, "cpu", o.chooseCPU)
	d.flag(0, "seccomp-bpf", func() { o.seccomp = filterAsked })
	d.flag(0, "no-seccomp", func() { o.seccomp = filterOff })
	d.arg(0, "duration", func(s string) (err error) { o.duration, err = parseDuration(s); return })
}

func (o *options) declareWhatToCount(d declarations) {
	d.arg('e', "", o.qualify)
	d.arg(0, "trace", o.setTrace)
	d.arg(0, "status", o.setStatuses)
	d.flag('z', "successful-only", func() { o.statuses = session.Successful })
	d.flag('Z', "failed-only", func() { o.statuses = session.Failed })
	d.flag(0, "failing-only", func() { o.statuses = session.Failed })
}

func (o *options) declareWhatToWrite(d declarations) {
	file := func(to *string) func(string) error {
		return func(s string) error {
			if s == "" {
				return errors.New("want the name of a file")
			}
			*to = s
			return nil
		}
	}
	files := func(to *[]string) func(string) error {
		return func(s string) error {
			*to = append(*to, s)
			return file(&s)(s)
		}
	}
	quiet := func(string) error { o.outputs.Quiet = true; return nil }

	d.flag('c', "summary-only", func() { o.outputs.Summary = true })
	d.flag('w', "summary-wall-clock", func() {}) // latencies are wall-clock time as it is
	d.arg('S', "summary-sort-by", func(s string) (err error) { o.outputs.Sort, err = report.ParseSortKey(s); return })
	d.arg('U', "summary-columns", func(s string) (err error) {
		o.columnsChosen = true
		o.outputs.Columns, err = report.ParseColumns(s)
		return err
	})
	d.arg('o', "output", file(&o.outputs.Tables))
	d.flag('A', "output-append-mode", func() { o.outputs.Append = true })
	d.optional('q', "quiet", quiet)
	d.optional(0, "silent", quiet)
	d.optional(0, "silence", quiet)

	d.optional(0, "histogram", o.chooseHistogram)
	d.flag(0, "errors", func() { o.outputs.Errors = true })
	d.arg(0, "json", file(&o.outputs.JSON))
	d.arg(0, "csv", file(&o.outputs.CSV))
	d.arg(0, "from-json", files(&o.fromJSON))
	d.arg(0, "against", files(&o.against.files))
	d.arg(0, "fail-on", o.against.failOn)
	d.arg(0, "pprof", file(&o.outputs.Pprof))
	d.arg(0, "html", file(&o.outputs.HTML))
	d.arg(0, "view", file(&o.view))
	d.arg(0, "stacks", o.chooseStacks)
	d.arg(0, "max-depth", o.chooseDepth)
	d.arg(0, "labels", o.chooseLabels)
	d.arg(0, "max-samples", o.chooseMaxSamples)
	d.flag(0, "debuginfod", func() { o.debuginfod = true })
	d.arg(0, "time", o.chooseTime)
	d.flag(0, "raw", func() { o.raw = true })
	d.flag('v', "verbose", func() { o.outputs.Verbose = true })
	d.flag(0, "no-controls", func() { o.controls = session.TruthBefore })
	d.arg(0, "controls", o.chooseControls)
	d.arg('O', "summary-syscall-overhead", func(s string) error {
		overhead, err := parseOverhead(s)
		o.overhead = &overhead
		return err
	})
}

// check finds what is wrong with the options taken together.
func (o *options) check(d declarations) error {
	if err := cmp.Or(o.checkBench(d), o.checkIntervals(), o.checkSlower(d), o.checkLive()); err != nil {
		return err
	}
	switch {
	case o.help || o.version || o.completions != "":
		return nil
	case o.view != "":
		return o.checkView(d)
	case len(o.fromJSON) > 0:
		return o.checkSaved(d)
	case o.against.given():
		return errors.New("--against and --fail-on compare saved runs: add --from-json FILE")
	case len(o.command) == 0 && !o.attaches() && !o.engine.everybody:
		return errors.New("nothing to trace: name a command, or a process with -p PID (sysprof --help)")
	case len(o.command) == 0 && (o.user != "" || len(o.env) > 0 || o.argv0 != nil):
		return errors.New("-u, -E and --argv0 are for a command to launch, and there is none")
	case o.killOnExit && o.attaches():
		return errors.New("--kill-on-exit is for a command to launch; it would kill the processes that are attached to")
	case o.seccomp == filterAsked && o.attaches():
		return errors.New("--seccomp-bpf is for a command to launch; what is attached to cannot be given a filter, so leave one of them out")
	case o.seccomp == filterAsked && o.noFollow:
		return errors.New("--seccomp-bpf needs children to be followed, who inherit the filter; leave out --no-follow")
	case o.outputs.Pprof == "" && !o.slower.Stacks && (o.stacks != session.StacksFull || o.maxDepth != 0),
		o.outputs.Pprof == "" && (o.labels != "" || o.maxSamples > 0 || o.debuginfod):
		return errors.New("--stacks, --max-depth, --labels, --max-samples and --debuginfod are for a profile; add --pprof FILE")
	case o.maxDepth != 0 && o.stacks == session.StacksOff:
		return errors.New("--max-depth says how much of a stack is kept, and --stacks=off that there are none; leave one of them out")
	case o.raw && o.overhead != nil:
		return errors.New("--raw takes nothing off the times and -O says what to take off; leave one of them out")
	}
	if err := o.groups.check(); err != nil {
		return err
	}
	if err := o.checkSelection(); err != nil {
		return err
	}
	if err := o.checkEngine(); err != nil {
		return err
	}
	return o.checkTables()
}

// checkTables finds what is wrong with the options about tables.
func (o *options) checkTables() error {
	switch out := o.outputs.Tables; {
	case o.columnsChosen && !o.outputs.Summary:
		return errors.New("-U chooses the columns of the table of -c: add -c")
	case o.outputs.Append && (out == "" || out == "-" || strings.ContainsAny(out[:1], "|!")):
		return errors.New("-A needs a file to append to: add -o FILE")
	}
	return nil
}

// addPIDs takes the argument of -p: process ids separated by commas or blanks, as pidof and pgrep
// print them. One that is there already is not taken again.
func (o *options) addPIDs(list string) error {
	pids := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
	if len(pids) == 0 {
		return errors.New("want a process id; the list is empty")
	}
	for _, s := range pids {
		pid, err := strconv.ParseInt(s, 10, 32)
		if err != nil || pid <= 0 {
			return fmt.Errorf("%q is not a process id", s)
		}
		if !slices.Contains(o.attach, int(pid)) {
			o.attach = append(o.attach, int(pid))
		}
	}
	return nil
}

// qualify takes the argument of -e: QUALIFIER=SET, or SET alone, which is trace=SET.
func (o *options) qualify(expr string) error {
	name, set, ok := strings.Cut(expr, "=")
	if !ok {
		return o.setTrace(expr)
	}
	switch name {
	case "trace", "t":
		return o.setTrace(set)
	case "status":
		return o.setStatuses(set)
	case "quiet", "q", "silent", "silence":
		o.outputs.Quiet = true
		return nil
	}
	if instead, ok := refusedQualifiers[name]; ok {
		return fmt.Errorf("%s= %w", name, &refusal{instead})
	}
	return fmt.Errorf("unknown qualifier %q%s; there are trace and status", name, suggest.DidYouMean(name, []string{"trace", "status"}))
}

func (o *options) setTrace(expr string) (err error) {
	o.traceExpr = expr
	o.trace, err = syscalltab.ParseSet(expr, syscalltab.Native()...)
	return err
}

// statusNames are those of -e status=.
var statusNames = []string{"successful", "failed", "unfinished", "unavailable", "detached", "all", "none"}

func (o *options) setStatuses(expr string) error {
	names := map[string]session.Statuses{
		"successful": session.Successful, "failed": session.Failed, "unfinished": session.Unfinished,
		"unavailable": session.Unavailable, "detached": session.Detached, "all": session.AllStatuses, "none": 0,
	}
	list, negated := strings.CutPrefix(expr, "!")
	var chosen session.Statuses
	for name := range strings.SplitSeq(list, ",") {
		s, ok := names[name]
		if !ok {
			return fmt.Errorf("unknown status %q%s; there are %s", name, suggest.DidYouMean(name, statusNames), strings.Join(statusNames, ", "))
		}
		chosen |= s
	}
	if negated {
		chosen = session.AllStatuses &^ chosen
	}
	o.statuses = chosen
	return nil
}

// chooseTime takes the argument of --time.
func (o *options) chooseTime(s string) error {
	switch s {
	case "wall":
		o.outputs.CPU = false
	case "cpu":
		o.outputs.CPU = true
	default:
		return fmt.Errorf("%q is not a kind of time; there are wall and cpu", s)
	}
	return nil
}

// chooseControls takes the argument of --controls.
func (o *options) chooseControls(s string) error {
	switch s {
	case "auto":
		o.controls = session.TruthFull
	case "off":
		o.controls = session.TruthBefore
	case "every":
		o.controls = session.TruthEvery
	default:
		return fmt.Errorf("%q is not a way to make controls; there are auto, off and every", s)
	}
	return nil
}

// chooseCPU takes the argument of --cpu.
func (o *options) chooseCPU(s string) error {
	switch s {
	case "auto":
		o.cpu = ptrace.CPUAuto
		return nil
	case "off":
		o.cpu = ptrace.CPUOff
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is no CPU; there are auto, off, and the number of one", s)
	}
	o.cpu = ptrace.OnCPU(int(n))
	return nil
}

// chooseHistogram takes the argument of --histogram: what strace's -e trace= takes, or nothing for all.
func (o *options) chooseHistogram(expr string) (err error) {
	o.outputs.Histogram, o.outputs.HistogramOf, o.outputs.HistogramSet = true, expr, nil
	if expr != "" {
		o.outputs.HistogramSet, err = syscalltab.ParseSet(expr, syscalltab.Native()...)
	}
	return err
}

// chooseStacks takes the argument of --stacks.
func (o *options) chooseStacks(s string) error {
	mode, ok := map[string]session.StackMode{
		"off": session.StacksOff, "fp": session.StacksByFramePointer, "full": session.StacksFull,
	}[s]
	if !ok {
		return fmt.Errorf("%q is no way to capture stacks; there are off, fp and full", s)
	}
	o.stacks = mode
	return nil
}

// chooseDepth takes the argument of --max-depth.
func (o *options) chooseDepth(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > stack.MaxWalk {
		return fmt.Errorf("%q is no number of frames from 1 to %d, which is how many are looked at", s, stack.MaxWalk)
	}
	o.maxDepth = n
	return nil
}

// chooseLabels takes the argument of --labels.
func (o *options) chooseLabels(list string) error {
	if o.labels != "" {
		list = o.labels + "," + list
	}
	o.labels = list
	_, err := label.Parse(list)
	return err
}

// hasLabel reports whether samples are to be told apart by a field.
func (o *options) hasLabel(name string) bool {
	return slices.Contains(strings.Split(o.labels, ","), name)
}

// chooseMaxSamples takes the argument of --max-samples.
func (o *options) chooseMaxSamples(s string) error {
	const most = 1_000_000
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("%q is no number of samples; want one from 1 to %d", s, most)
	}
	o.maxSamples = n
	return nil
}

// parseOverhead takes what strace's -O takes: a number of microseconds, or one with a unit.
func parseOverhead(s string) (time.Duration, error) {
	number, unit := s, time.Microsecond
	for _, u := range []struct {
		suffix string
		unit   time.Duration
	}{{"ms", time.Millisecond}, {"us", time.Microsecond}, {"µs", time.Microsecond}, {"ns", time.Nanosecond}, {"s", time.Second}} {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = n, u.unit
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	ns := n * float64(unit)
	if err != nil || !(ns >= 0 && ns < math.MaxInt64) {
		return 0, fmt.Errorf("%q is not an overhead; want microseconds, or a number with s, ms, us or ns", s)
	}
	return time.Duration(math.Round(ns)), nil
}

// parseDuration takes "10s", "1m30s", or a bare number of seconds.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, e := strconv.ParseFloat(s, 64); e == nil {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration; want one like 10s or 1m30s", s)
	}
	return d, nil
}

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sysprof/profile"
	"sysprof/report"
)

// The accuracy part asks whether what sysprof prints is true: how long calls take, and how long a
// program would have run untraced. The truth is what c/target.c measures of its own calls, untraced,
// in the same rounds.
const accuracyWorkload = "accuracy"

// timedCall is a kind of call that c/target.c makes.
type timedCall struct {
	name  string
	names []string // what tracers call it; it differs between architectures and libcs
	share int      // of the calls of the cheap ones, in percent: a slow call is made less often
}

var timedCalls = []timedCall{
	{"getppid", []string{"getppid"}, 100},
	{"pread-4K", []string{"pread64"}, 100},
	{"pread-1M", []string{"pread64"}, 10},
	{"write-null", []string{"write"}, 100},
	{"fstat", []string{"newfstatat", "fstat"}, 100},
	{"open", []string{"openat", "open"}, 100},
	{"close", []string{"close"}, 100},
	{"getdents", []string{"getdents64"}, 10},
	{"mmap", []string{"mmap"}, 100},
	{"munmap", []string{"munmap"}, 100},
	{"poll", []string{"poll", "ppoll"}, 100},
	{"nanosleep", []string{"clock_nanosleep"}, 10},
	{"pingpong", []string{"read"}, 50},
	{"futex-wake", []string{"futex"}, 100},
	{"futex-wait", []string{"futex"}, 10},
	{"fsync", []string{"fsync"}, 2},
}

// setting is the surroundings of a measurement.
type setting struct {
	Pinned bool `json:"pinned"` // everything on one CPU
	Busy   bool `json:"busy"`   // another CPU computes all the time
}

var allSettings = []setting{{true, false}, {true, true}, {false, false}, {false, true}}

func (s setting) String() string {
	words := "unpinned"
	if s.Pinned {
		words = "pinned"
	}
	if s.Busy {
		words += "+load"
	}
	return words
}

// accuracy is everything measured of the accuracy part.
type accuracy struct {
	Calls    int              `json:"calls"`
	Rounds   int              `json:"rounds"`
	Missing  []string         `json:"missing,omitempty"` // tracers
	Settings []*settingResult `json:"settings"`
}

// settingResult is what was measured in one setting.
type settingResult struct {
	setting
	Load  load         `json:"load"`
	Calls []*callRound `json:"calls,omitempty"`
	Runs  []*runRound  `json:"runs,omitempty"`
}

// callRound is one kind of call: its latency in nanoseconds, a value a round each.
type callRound struct {
	Call        string    `json:"call"`
	TruthMedian []float64 `json:"truth_median"`
	TruthMean   []float64 `json:"truth_mean"`
	Median      []float64 `json:"sysprof_median"`
	Mean        []float64 `json:"sysprof_mean"`
	Strace      []float64 `json:"strace_mean,omitempty"`
	Perf        []float64 `json:"perf_mean,omitempty"`
}

// runRound is one program: how long it ran untraced, in nanoseconds, and how long sysprof says that it
// would have.
type runRound struct {
	Run      string    `json:"run"`
	Untraced []float64 `json:"untraced"`
	Traced   []float64 `json:"traced"`
	Estimate []float64 `json:"estimate"`
	Low      []float64 `json:"low"`
	High     []float64 `json:"high"`
	Warned   []bool    `json:"warned"`
}

// accuracyOptions choose what of the accuracy part is measured.
type accuracyOptions struct {
	calls    int
	only     *regexp.Regexp
	settings []setting
}

func parseSettings(list string) (settings []setting, err error) {
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(allSettings, func(s setting) bool { return s.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown setting %q; there are %v", name, allSettings)
		}
		settings = append(settings, allSettings[i])
	}
	return settings, nil
}

// measureAccuracy measures all calls and programs in all settings that are wanted. cpu is where bench
// has been pinned, unpin the way back from there.
func measureAccuracy(k *toolkit, opt *accuracyOptions, rounds, cpu int, unpin func(), progress io.Writer) (*accuracy, error) {
	if k.whyNoC != "" {
		return nil, fmt.Errorf("the target is written in C: %s", k.whyNoC)
	}
	s, err := newScene(k)
	if err != nil {
		return nil, err
	}
	a := &accuracy{Calls: opt.calls, Rounds: rounds, Missing: s.missing}
	for _, in := range opt.settings {
		fmt.Fprintf(progress, "bench: %s, %s, %d rounds\n", accuracyWorkload, in, rounds)
		r, err := s.measure(in, opt, rounds, cpu, unpin)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in, err)
		}
		a.Settings = append(a.Settings, r)
	}
	return a, nil
}

// measure measures in one setting.
func (s *scene) measure(in setting, opt *accuracyOptions, rounds, cpu int, unpin func()) (r *settingResult, err error) {
	if in.Pinned {
		if _, _, err := pin(cpu); err != nil {
			return nil, err
		}
	} else {
		unpin()
		defer pin(cpu)
	}
	if in.Busy {
		end, err := s.spin(cpu)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	meter, err := startLoadMeter(cpu)
	if err != nil {
		return nil, err
	}
	r = &settingResult{setting: in}
	var steps []func() error
	for _, c := range timedCalls {
		if opt.only.MatchString(c.name) {
			result := &callRound{Call: c.name}
			r.Calls = append(r.Calls, result)
			steps = append(steps, func() error { return s.callOnce(&c, max(opt.calls*c.share/100, 1), result) })
		}
	}
	for _, p := range s.programs(opt.calls) {
		if opt.only.MatchString(p.name) {
			result := &runRound{Run: p.name}
			r.Runs = append(r.Runs, result)
			steps = append(steps, func() error { return s.programOnce(&p, result) })
		}
	}
	for range rounds {
		for _, i := range rand.Perm(len(steps)) {
			if err := steps[i](); err != nil {
				return nil, err
			}
		}
	}
	r.Load, err = meter.load()
	return r, err
}

// callOnce measures one kind of call once untraced and once under each tracer.
func (s *scene) callOnce(c *timedCall, count int, to *callRound) error {
	target := []string{s.k.target, c.name, strconv.Itoa(count), s.dir}
	ways := []func() error{
		func() error {
			out, err := output(target)
			if err != nil {
				return err
			}
			median, mean, err := summary(out)
			to.TruthMedian, to.TruthMean = append(to.TruthMedian, median), append(to.TruthMean, mean)
			return err
		},
		func() error {
			seen, err := s.sysprof(target)
			if err != nil {
				return err
			}
			for i := range seen.Rows {
				row := &seen.Rows[i]
				if slices.Contains(c.names, row.ABI.Name(row.Nr)) && row.Calls >= uint64(count) {
					h := row.Latency()
					to.Median = append(to.Median, float64(h.Quantile(0.5)))
					to.Mean = append(to.Mean, float64(h.Mean()))
					return nil
				}
			}
			return fmt.Errorf("sysprof has no row of %d × %s", count, c.name)
		},
	}
	if s.strace != "" {
		ways = append(ways, func() error {
			err := s.foreign([]string{s.strace, "-f", "-c", "-w", "-U", "name,total-time,calls", "-o", s.table, "--"}, target)
			mean, err := s.tableMean(err, c, count, straceRow)
			to.Strace = append(to.Strace, mean)
			return err
		})
	}
	if s.perf != "" {
		ways = append(ways, func() error {
			err := s.foreign([]string{s.perf, "trace", "-s", "-o", s.table, "--"}, target)
			mean, err := s.tableMean(err, c, 1, perfRow)
			to.Perf = append(to.Perf, mean)
			return err
		})
	}
	for _, i := range rand.Perm(len(ways)) {
		if err := ways[i](); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// sysprof runs a command under sysprof.
func (s *scene) sysprof(command []string) (*profile.Snapshot, error) {
	file := filepath.Join(s.k.dir, "json")
	err := s.foreign([]string{s.k.sysprof, "-c", "-o", s.table, "--json", file, "--"}, command)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	seen, _, err := report.ReadJSON(bytes.NewReader(text))
	return seen, err
}

func (s *scene) foreign(tracer, command []string) error {
	_, err := output(append(slices.Clone(tracer), command...))
	return err
}

// output runs a command and returns what it wrote.
func output(words []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C") // tables are parsed
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// summary is the median and the mean of what c/target.c writes.
func summary(samples []byte) (median, mean float64, err error) {
	ns := make([]int64, len(samples)/8)
	if len(ns) == 0 {
		return 0, 0, fmt.Errorf("the target wrote no samples")
	}
	if err := binary.Read(bytes.NewReader(samples), binary.NativeEndian, ns); err != nil {
		return 0, 0, err
	}
	sum := 0.0
	for _, v := range ns {
		sum += float64(v)
	}
	slices.Sort(ns)
	return float64(ns[len(ns)/2]), sum / float64(len(ns)), nil
}

// tableMean finds a call in the table of another tracer.
func (s *scene) tableMean(err error, c *timedCall, count int, row func(fields []string) (float64, int)) (float64, error) {
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(s.table)
	if err != nil {
		return 0, err
	}
	ns, calls := 0.0, 0 // perf has a table a thread
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 3 && slices.Contains(c.names, fields[0]) {
			if rowNs, n := row(fields); n >= count {
				ns, calls = ns+rowNs, calls+n
			}
		}
	}
	if calls == 0 {
		return 0, fmt.Errorf("no row of %s:\n%s", c.name, text)
	}
	return ns / float64(calls), nil
}

// straceRow reads name, seconds, calls.
func straceRow(fields []string) (ns float64, calls int) {
	seconds, _ := strconv.ParseFloat(fields[1], 64)
	calls, _ = strconv.Atoi(fields[2])
	return seconds * 1e9, calls
}

// perfRow reads name, calls, errors, milliseconds, ….
func perfRow(fields []string) (ns float64, calls int) {
	if len(fields) < 4 {
		return 0, 0
	}
	calls, _ = strconv.Atoi(fields[1])
	ms, _ := strconv.ParseFloat(fields[3], 64)
	return ms * 1e6, calls
}

// program is a command whose untraced run time is to be estimated.
type program struct {
	name    string
	command []string
}

// programs returns those that are there.
func (s *scene) programs(calls int) []program {
	many := filepath.Join(s.dir, "many")
	repository := filepath.Join(s.dir, "repository")
	list := []program{
		{"run getppid", append(slices.Clone(s.k.getppid), strconv.Itoa(10*calls))},
		{"run dd bs=1", []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=" + strconv.Itoa(5*calls)}},
		{"run find", []string{"find", filepath.Join(s.dir, "tree"), "-size", "+1"}},
		{"run tar", []string{"tar", "-cf", filepath.Join(s.dir, "tar"), "-C", s.dir, "many"}},
		{"run git status", []string{"git", "-C", repository, "status"}},
		{"run python", []string{"python3", "-S", "-c", "import json, subprocess"}},
	}
	if path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output(); err == nil {
		list[len(list)-1].command[0] = strings.TrimSpace(string(path)) // not a script that looks for it
	}
	_, noGit := os.Stat(repository)
	for _, args := range [][]string{{"init", "-q", repository}, {"-C", repository, "add", "."}} {
		if noGit == nil {
			break
		}
		if err := exec.Command("git", args...).Run(); err != nil {
			break
		}
		os.CopyFS(filepath.Join(repository, "files"), os.DirFS(many))
	}
	return slices.DeleteFunc(list, func(p program) bool {
		_, err := exec.LookPath(p.command[0])
		return err != nil
	})
}

// programOnce runs a program once untraced and once under sysprof.
func (s *scene) programOnce(p *program, to *runRound) error {
	for _, i := range rand.Perm(2) {
		if i == 0 {
			out, err := output(append([]string{s.k.target, "run"}, p.command...))
			if err != nil {
				return err
			}
			ns, _, err := summary(out)
			if err != nil {
				return err
			}
			to.Untraced = append(to.Untraced, ns)
			continue
		}
		seen, err := s.sysprof(p.command)
		if err != nil {
			return err
		}
		o := seen.Overhead
		if o == nil {
			return fmt.Errorf("%s: sysprof says nothing about overhead", p.name)
		}
		to.Traced = append(to.Traced, float64(o.WallNs))
		to.Estimate = append(to.Estimate, float64(o.UntracedNs.Ns))
		to.Low = append(to.Low, float64(o.UntracedNs.LowNs))
		to.High = append(to.High, float64(o.UntracedNs.HighNs))
		to.Warned = append(to.Warned, slices.ContainsFunc(seen.Warnings, func(w profile.Warning) bool {
			return slices.Contains(uncertain, w.Kind)
		}))
	}
	return nil
}

// uncertain are the warnings of an estimate of the untraced run time that is not to be relied on.
var uncertain = []profile.WarningKind{profile.UntracedByTracing, profile.UntracedByOthers, profile.UntracedByDoubt}

package compare

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/report"
)

// tracer is one way to run the command.
type tracer struct {
	name string
	path string   // of the program; empty: the command's own
	args []string // before the command, with the program's own name; those of a tracer end in "--"
	out  string   // the file that it writes to

	// read takes what is known of a run from out, if there is any, and says whether the tracer has traced.
	read func(t *tracer, s *sample) error

	hidesStatus bool   // it does not end as the command does
	failed      string // why it is left out
}

// sample is one run.
type sample struct {
	ns       int64 // how long it took
	status   unix.WaitStatus
	calls    uint64            // that were counted
	stopped  uint64            // those that the command was stopped at; by sysprof
	overhead *profile.Overhead // by sysprof
	warnings []profile.Warning // by sysprof
}

// The names of those that are always there.
const (
	untraced = "untraced"
	sysprof  = "sysprof"
)

// tracers lists the ways to run the command, and the names of those that are not installed. The first one is without a tracer.
func (p *Plan) tracers(dir string) (list []*tracer, missing []string) {
	file := filepath.Join(dir, "sysprof.json")
	list = []*tracer{
		{name: untraced, read: func(*tracer, *sample) error { return nil }},
		// What /proc/self/exe is of the child is the same program, even if its file has been replaced.
		{name: sysprof, path: "/proc/self/exe", out: file, read: readSysprof,
			args: append(append([]string{sysprof, "--json=" + file}, p.Sysprof...), "--")},
	}
	strace, noStrace := exec.LookPath("strace")
	perf, noPerf := exec.LookPath("perf")
	if noStrace == nil {
		list = append(list, p.strace("strace -f -c", strace, filepath.Join(dir, "strace")))
		if p.Filtered {
			list = append(list, p.strace("strace --seccomp-bpf", strace, filepath.Join(dir, "strace"), "--seccomp-bpf"))
		}
	} else {
		missing = append(missing, "strace")
	}
	if noPerf == nil {
		list = append(list, p.perf(perf, filepath.Join(dir, "perf")))
	} else {
		missing = append(missing, "perf")
	}
	return list, missing
}

func (p *Plan) strace(name, path, out string, more ...string) *tracer {
	args := []string{"strace", "-f", "-c", "-o", out}
	if p.NoFollow {
		name, args = "strace -c", []string{"strace", "-c", "-o", out}
	}
	if p.Trace != "" {
		args = append(args, "-e", "trace="+p.Trace)
	}
	return &tracer{name: name, path: path, args: append(append(args, more...), "--"), out: out, read: readStrace}
}

func (p *Plan) perf(path, out string) *tracer {
	args := []string{"perf", "trace", "-s", "-o", out}
	if p.NoFollow {
		args = append(args, "--no-inherit")
	}
	if p.Trace != "" {
		args = append(args, "-e", p.Trace)
	}
	return &tracer{name: "perf trace -s", path: path, args: append(args, "--"), out: out, read: readPerf, hidesStatus: true}
}

// readSysprof takes all that there is to know from the file of --json.
func readSysprof(t *tracer, s *sample) error {
	text, err := os.ReadFile(t.out)
	if err != nil {
		return errNotTraced
	}
	snapshot, _, err := report.ReadJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	s.calls, s.stopped = snapshot.Total.Calls, snapshot.Total.Calls
	s.overhead, s.warnings = snapshot.Overhead, snapshot.Warnings
	if s.overhead != nil {
		s.stopped = s.overhead.Calls
	}
	return nil
}

var errNotTraced = errors.New("it has not traced")

// readStrace takes the number of calls from the last line of the table. Without calls there is no table.
func readStrace(t *tracer, s *sample) error {
	text, _ := os.ReadFile(t.out)
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	total, ok := strings.CutSuffix(lines[len(lines)-1], " total")
	if !ok {
		if s.status != 0 {
			return errNotTraced
		}
		return nil
	}
	const from, to = 31, 40 // where the column of calls is, in every version
	if len(total) >= to {
		s.calls, _ = strconv.ParseUint(strings.TrimSpace(total[from:to]), 10, 64)
	}
	return nil
}

// readPerf adds up the calls of all threads. Each has a table, whose lines are: name, calls, errors, and times.
func readPerf(t *tracer, s *sample) error {
	text, _ := os.ReadFile(t.out)
	if !bytes.Contains(text, []byte("Summary of events")) {
		return errNotTraced
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 7 || !strings.HasSuffix(fields[len(fields)-1], "%") {
			continue
		}
		calls, err := strconv.ParseUint(fields[1], 10, 64)
		if err == nil {
			s.calls += calls
		}
	}
	return nil
}

// complaint is the line in which a tracer says why it fails: the first that begins with its name, as is usual, or else
// the first one.
func complaint(name, stderr string) string {
	first := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, name+": "); ok {
			return text
		}
		if text, ok := strings.CutPrefix(line, "Error:"); ok { // perf's
			return strings.TrimSpace(text)
		}
		first = cmp.Or(first, line)
	}
	return first
}

// how says how a process ended.
func how(s unix.WaitStatus) string {
	if s.Signaled() {
		return "died of " + cmp.Or(unix.SignalName(s.Signal()), s.Signal().String())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

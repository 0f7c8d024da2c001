// Package workload is what people trace: programs that run and end, servers under load, and the two
// shapes that a tracer finds hardest, many threads and many processes. It starts them, says how long a
// run or a request took, and knows nothing of tracers.
//
// Sizes are chosen so that a run takes 0.1 to 1 s untraced, or, where it does nothing but call, so
// that the slowest tracer takes not much more than 10 s. Where a program says itself how long its work
// took, that is taken; otherwise it is the whole run, its start and end and the tracer's included.
package workload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The groups of workloads; a Name begins with one and a slash.
const (
	Batch    = "batch"    // runs and ends
	Attached = "attached" // a server that runs already
	Filter   = "filter"   // traced with a filter
	Crowd    = "crowd"    // many threads or processes
)

// Workload is one of them. Either Command or Serve is set.
type Workload struct {
	Name    string
	What    string
	Unit    string // what is timed: a run, a call, a request, a transaction
	Filter  string // for trace=; empty: all calls are traced
	Needs   []Need
	NeedsC  bool // the helpers that are compiled
	CPUs    int  // how many everything may run on, the tracer included; 0: all
	Prepare func(*Env) error

	// A batch workload:
	Before  func(*Env) error // before every run, untimed; nil: nothing
	Command func(*Env) []string
	Dir     func(*Env) string                           // where to run it; nil: anywhere
	Elapsed func(stdout, stderr string) (Sample, error) // nil: the wall time of the whole run

	// One that is attached to:
	Serve func(context.Context, *Env) (Service, error)
}

// Sample is what one run showed.
type Sample struct {
	Ns    float64 // wall time ÷ units: what a unit took
	P99Ns float64 // 99 % of the units took at most that, as the program says; 0: it does not say
	Units int     // runs, calls, requests
}

// Service is something that runs and can be attached to.
type Service interface {
	Pids() []int                          // those to attach to
	Load(context.Context) (Sample, error) // puts it under load for about a second, more if it is slow
	Stop() error
}

// Env is what workloads work with.
type Env struct {
	Dir     string   // for their files
	Self    string   // the bench: its helpers
	Getppid []string // the loop
	Crowd   string   // c/crowd.c
	Source  string   // a C program to compile
	Scale   float64  // of the sizes; 1: those for a record
	GoRoot  string   // has files to search and copy; empty: there is no Go

	runs int // numbers what must be different each time
}

// size scales the size of a workload.
func (e *Env) size(n int) int { return max(2, int(float64(n)*e.Scale)) &^ 1 }

// Need is a program that a workload runs, and the Debian package that has it.
type Need struct{ Program, Package string }

// Missing says which programs or helpers are not there, and what to install; empty if all are there.
func (w *Workload) Missing(whyNoC string) string {
	var missing []string
	for _, n := range w.Needs {
		if _, err := Find(n.Program); err != nil {
			missing = append(missing, fmt.Sprintf("%s is not there (package %s)", n.Program, n.Package))
		}
	}
	if w.NeedsC && whyNoC != "" {
		missing = append(missing, "nothing compiles C (package gcc): "+whyNoC)
	}
	return strings.Join(missing, "; ")
}

// Find looks for a program where exec.LookPath does, and in the places where distributions put servers.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/sbin/", "/sbin/", "/usr/lib/postgresql/*/bin/"} {
		if found := glob(pattern + program); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", err
}

// All returns every workload, in the order in which they are measured.
func All() []Workload {
	var list []Workload
	for _, part := range [][]Workload{batch(), attached(), filtered(), crowds()} {
		list = append(list, part...)
	}
	return list
}

// Group is the part of the name before the slash.
func (w *Workload) Group() string {
	group, _, _ := strings.Cut(w.Name, "/")
	return group
}

// NewEnv finds what there is.
func NewEnv(dir, self string, getppid []string, crowd, source string, scale float64) (*Env, error) {
	e := &Env{Dir: dir, Self: self, Getppid: getppid, Crowd: crowd, Source: source, Scale: scale}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		e.GoRoot = strings.TrimSpace(string(out))
	}
	return e, nil
}

// tool runs a program that prepares something.
func tool(words ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
	}
	return nil
}

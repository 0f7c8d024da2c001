// Package workload has what people trace: programs that run and end, servers under load, and what is
// hardest for a tracer, many threads and many processes. It starts them and says how long a run or a
// request took. It does not know tracers.
//
// A run takes 0.1 to 1 s untraced. A run that makes nothing but system calls takes less, so that the
// slowest tracer takes not much more than 10 s. The time of a run is what the program itself says that
// its work took. For a program that does not say so, it is the time of the whole run, with the start and
// the end of the program and of the tracer.
package workload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The groups of workloads. A Name begins with one of them and a slash.
const (
	Batch    = "batch"    // programs that run and end
	Attached = "attached" // servers that run already
	Filter   = "filter"   // programs that are traced with a filter
	Crowd    = "crowd"    // many threads or processes
)

// Workload is something to trace. Either Command or Serve is set.
type Workload struct {
	Name    string
	What    string
	Unit    string           // what is timed: a run, a call, a request, a transaction
	Filter  string           // the SET of trace=SET; empty: all calls are traced
	Needs   []Need           // the programs that it runs
	NeedsC  bool             // it runs a helper in C
	CPUs    int              // the number of CPUs for the workload and its tracer; 0: all
	Prepare func(*Env) error // is called once; nil: there is nothing to prepare

	// Of a workload that a tracer starts:
	Before  func(*Env) error                            // is called before every run, untimed; nil: there is nothing to do
	Command func(*Env) []string                         // the words of the command
	Dir     func(*Env) string                           // the directory to run it in; nil: any
	Elapsed func(stdout, stderr string) (Sample, error) // parses its output; nil: the whole run is timed

	// Of a workload that a tracer attaches to:
	Serve func(context.Context, *Env) (Service, error)
}

// Sample is the result of one run.
type Sample struct {
	Ns    float64 // wall time ÷ Units
	P99Ns float64 // 99 % of the units took at most that; 0: the program does not say
	Units int     // the number of runs, calls, requests or transactions
}

// Service is something that runs and can be attached to.
type Service interface {
	Pids() []int                          // the processes to attach to
	Load(context.Context) (Sample, error) // puts it under load for about a second, or longer if it is slow
	Stop() error
}

// Env is what workloads work with.
type Env struct {
	Dir     string   // has their files
	Self    string   // the bench, which is also some of its helpers
	Getppid []string // the command of the getppid loop
	Crowd   string   // the program of c/crowd.c
	Source  string   // the text of a C program to compile
	Scale   float64  // factor of the sizes
	GoRoot  string   // has files to search and copy; empty: Go is not installed

	modules int // counts the changes of the Go module, so that each differs from the one before
}

// size returns the scaled size of a workload. It is even, since some sizes count pairs.
func (e *Env) size(n int) int { return max(2, int(float64(n)*e.Scale)) &^ 1 }

// Need is a program that a workload runs, with the Debian package that has it.
type Need struct{ Program, Package string }

// Missing says which programs or helpers are missing, and what to install. It is empty if none is.
// whyNoC says why there are no helpers in C, and is empty if there are.
func (w *Workload) Missing(whyNoC string) string {
	var missing []string
	for _, n := range w.Needs {
		if _, err := Find(n.Program); err != nil {
			missing = append(missing, fmt.Sprintf("%s is not installed (package %s)", n.Program, n.Package))
		}
	}
	if w.NeedsC && whyNoC != "" {
		missing = append(missing, "nothing compiles C (package gcc): "+whyNoC)
	}
	return strings.Join(missing, "; ")
}

// Find looks for a program where exec.LookPath does, and in the directories where distributions put servers.
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

// NewEnv makes the directory of the workloads, and finds Go's sources.
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

// tool runs a program that prepares a workload.
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

package workload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"sysprof/bench/process"
)

// crowds returns workloads of many threads that sleep, and of many processes that make system calls.
func crowds() []Workload {
	return []Workload{
		{
			Name: BusyAlone, What: "a process that calls getppid 20,000 times", Unit: "call", NeedsC: true,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveBusy(ctx, e, 0) },
		},
		{
			Name: BusyBesideIdle, What: "the same, beside 1,000 threads that sleep, traced too", Unit: "call", NeedsC: true,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveBusy(ctx, e, e.size(1000)) },
		},
		{
			Name: HerdOneCPU, What: "200 processes that call getppid 500 times each, on one CPU, the tracer too", NeedsC: true, CPUs: 1,
			Command: herd, Elapsed: printedNs,
		},
		{
			Name: HerdTwoCPUs, What: "the same on two CPUs", NeedsC: true, CPUs: 2,
			Command: herd, Elapsed: printedNs,
		},
		{
			Name: HerdAttached, What: "200 processes that run already and call getppid 500 times each, on all CPUs", Unit: "call", NeedsC: true,
			Serve: serveHerd,
		},
	}
}

// The names of the workloads that are compared with each other.
const (
	BusyAlone      = "crowd/busy"
	BusyBesideIdle = "crowd/busy+1000-idle"
	HerdOneCPU     = "crowd/200-on-1-cpu"
	HerdTwoCPUs    = "crowd/200-on-2-cpus"
	HerdAttached   = "crowd/200-attached"
)

func herd(e *Env) []string { return []string{e.Crowd, "herd", strconv.Itoa(e.size(200)), "500"} }

// busyAndIdle is the service of a process that makes system calls, and of one with many idle threads.
type busyAndIdle struct {
	calls int
	busy  *member
	idle  *member // nil: there are no idle threads
}

// member is one process of a crowd. It has written "ready", and ends when its input does.
type member struct {
	*process.Process
	input *os.File
	lines chan string
}

func serveBusy(ctx context.Context, e *Env, threads int) (Service, error) {
	c := &busyAndIdle{calls: e.size(20_000)}
	var err error
	if c.busy, err = startMember(ctx, e.Crowd, "busy", strconv.Itoa(c.calls)); err != nil {
		return nil, err
	}
	if threads > 0 {
		if c.idle, err = startMember(ctx, e.Crowd, "idle", strconv.Itoa(threads)); err != nil {
			c.busy.end()
			return nil, err
		}
	}
	return c, nil
}

// startMember starts c/crowd.c, and returns once it is ready.
func startMember(ctx context.Context, words ...string) (*member, error) {
	in, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	output, out := io.Pipe()
	m := &member{input: input, lines: make(chan string, 8)}
	go func() {
		defer close(m.lines)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			m.lines <- lines.Text()
		}
	}()
	if m.Process, err = process.Start(process.Spec{Words: words, Stdin: in, Stdout: out}); err != nil {
		out.Close()
		input.Close()
		return nil, err
	}
	line, err := m.line(ctx, startBound)
	if err == nil && line != "ready" {
		err = fmt.Errorf("%s: %q, not ready", words[0], line)
	}
	if err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

// line reads a line that the process writes.
func (m *member) line(ctx context.Context, bound time.Duration) (string, error) {
	select {
	case line, ok := <-m.lines:
		if !ok {
			return "", fmt.Errorf("the output ended")
		}
		return line, nil
	case <-time.After(bound):
		return "", fmt.Errorf("no line within %v", bound)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// end closes the input of the process, and waits until it has ended.
func (m *member) end() error {
	m.input.Close()
	return m.Wait(context.Background(), stopBound)
}

func (c *busyAndIdle) Pids() []int {
	pids := []int{c.busy.Pid}
	if c.idle != nil {
		pids = append(pids, c.idle.Pid)
	}
	return pids
}

func (c *busyAndIdle) Load(ctx context.Context) (Sample, error) {
	if _, err := c.busy.input.WriteString("\n"); err != nil {
		return Sample{}, err
	}
	line, err := c.busy.line(ctx, loadBound)
	if err != nil {
		return Sample{}, err
	}
	ns, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	return Sample{Ns: ns / float64(c.calls), Units: c.calls}, err
}

func (c *busyAndIdle) Stop() error {
	err := c.busy.end()
	if c.idle != nil {
		err = errors.Join(err, c.idle.end())
	}
	return err
}

// attachedHerd is the service of many processes that make system calls.
type attachedHerd struct {
	calls   int // of each process
	members []*member
}

func serveHerd(ctx context.Context, e *Env) (Service, error) {
	c := &attachedHerd{calls: 500}
	for range e.size(200) {
		m, err := startMember(ctx, e.Crowd, "busy", strconv.Itoa(c.calls))
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

func (c *attachedHerd) Pids() (pids []int) {
	for _, m := range c.members {
		pids = append(pids, m.Pid)
	}
	return pids
}

// Load lets all processes make their calls at once, and times that until the last one has finished.
func (c *attachedHerd) Load(ctx context.Context) (Sample, error) {
	begin := time.Now()
	for _, m := range c.members {
		if _, err := m.input.WriteString("\n"); err != nil {
			return Sample{}, err
		}
	}
	for _, m := range c.members {
		if _, err := m.line(ctx, loadBound); err != nil {
			return Sample{}, err
		}
	}
	units := len(c.members) * c.calls
	return Sample{Ns: float64(time.Since(begin)) / float64(units), Units: units}, nil
}

func (c *attachedHerd) Stop() error {
	var err error
	for _, m := range c.members {
		err = errors.Join(err, m.end())
	}
	return err
}

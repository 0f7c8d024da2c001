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

// crowds are many threads, which do nothing, and many processes, which do all that they can.
func crowds() []Workload {
	return []Workload{
		{
			Name: BusyAlone, What: "a process that calls getppid 20,000 times", Unit: "call", NeedsC: true,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveCrowd(ctx, e, 0) },
		},
		{
			Name: BusyBesideIdle, What: "the same, beside 1,000 threads that sleep, traced too", Unit: "call", NeedsC: true,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveCrowd(ctx, e, e.size(1000)) },
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

// Those that are compared with each other.
const (
	BusyAlone      = "crowd/busy"
	BusyBesideIdle = "crowd/busy+1000-idle"
	HerdOneCPU     = "crowd/200-on-1-cpu"
	HerdTwoCPUs    = "crowd/200-on-2-cpus"
	HerdAttached   = "crowd/200-attached"
)

func herd(e *Env) []string { return []string{e.Crowd, "herd", strconv.Itoa(e.size(200)), "500"} }

// crowd is a busy process and perhaps one with many idle threads. Both wait for the end of their input.
type crowd struct {
	calls int
	busy  *member
	idle  *member // nil: it is alone
}

// member is one process of a crowd. It has said that it is ready.
type member struct {
	*process.Process
	input *os.File
	lines chan string
}

func serveCrowd(ctx context.Context, e *Env, threads int) (Service, error) {
	c := &crowd{calls: e.size(20_000)}
	var err error
	if c.busy, err = join(ctx, e.Crowd, "busy", strconv.Itoa(c.calls)); err != nil {
		return nil, err
	}
	if threads > 0 {
		if c.idle, err = join(ctx, e.Crowd, "idle", strconv.Itoa(threads)); err != nil {
			c.busy.leave()
			return nil, err
		}
	}
	return c, nil
}

func join(ctx context.Context, words ...string) (*member, error) {
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
		m.leave()
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

func (m *member) leave() error {
	m.input.Close()
	return m.Wait(context.Background(), stopBound)
}

func (c *crowd) Pids() []int {
	pids := []int{c.busy.Pid}
	if c.idle != nil {
		pids = append(pids, c.idle.Pid)
	}
	return pids
}

func (c *crowd) Load(ctx context.Context) (Sample, error) {
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

func (c *crowd) Stop() error {
	err := c.busy.leave()
	if c.idle != nil {
		err = errors.Join(err, c.idle.leave())
	}
	return err
}

// crowdOfBusy is many busy processes, which wait for the end of their input.
type crowdOfBusy struct {
	calls   int // of each
	members []*member
}

func serveHerd(ctx context.Context, e *Env) (Service, error) {
	c := &crowdOfBusy{calls: 500}
	for range e.size(200) {
		m, err := join(ctx, e.Crowd, "busy", strconv.Itoa(c.calls))
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

func (c *crowdOfBusy) Pids() (pids []int) {
	for _, m := range c.members {
		pids = append(pids, m.Pid)
	}
	return pids
}

// Load lets all of them call at once, and takes the time until the last one is done.
func (c *crowdOfBusy) Load(ctx context.Context) (Sample, error) {
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

func (c *crowdOfBusy) Stop() error {
	var err error
	for _, m := range c.members {
		err = errors.Join(err, m.leave())
	}
	return err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sysprof/bench/process"
	"sysprof/bench/workload"
	"sysprof/report"
)

// The longest that parts of one run may take. Most runs take seconds.
const (
	runBound    = 60 * time.Second
	attachBound = 20 * time.Second
	endBound    = 30 * time.Second // from SIGINT to the end of a tracer, which writes its results in between
)

// runner runs one workload under one tracer.
type runner struct {
	k    *toolkit
	env  *workload.Env
	cpus []int // the CPUs that bench may use
}

// prepare makes what a workload needs before its first run. It returns why the workload cannot be
// measured, and nothing if it can.
func (r *runner) prepare(w *workload.Workload) (why string) {
	if why := w.Missing(r.k.whyNoC); why != "" {
		return why
	}
	if w.CPUs > len(r.cpus) {
		return fmt.Sprintf("it needs %d CPUs, and may run on %d", w.CPUs, len(r.cpus))
	}
	if w.Prepare != nil {
		if err := w.Prepare(r.env); err != nil {
			return firstLineOf(err.Error())
		}
	}
	return ""
}

// once runs a workload under a tracer.
func (r *runner) once(ctx context.Context, w *workload.Workload, t *tracer) (sample workload.Sample, err error) {
	if t.observer != nil {
		end, err := r.observe(ctx, t)
		if err != nil {
			return sample, err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	if w.Serve != nil {
		return r.attached(ctx, w, t)
	}
	return r.launched(ctx, w, t)
}

// launched runs a command under a tracer that starts it. The command runs alone if the tracer is an
// observer.
func (r *runner) launched(ctx context.Context, w *workload.Workload, t *tracer) (workload.Sample, error) {
	if w.Before != nil {
		if err := w.Before(r.env); err != nil {
			return workload.Sample{}, err
		}
	}
	words := append(t.launch(w.Filter), w.Command(r.env)...)
	if w.CPUs > 0 {
		words = append([]string{"taskset", "-c", numbers(r.cpus[:w.CPUs])}, words...)
	}
	spec := process.Spec{Words: words, Env: workload.Environment, Discard: w.Elapsed == nil}
	if w.Dir != nil {
		spec.Dir = w.Dir(r.env)
	}
	start := time.Now()
	p, err := process.Run(ctx, spec, runBound)
	took := time.Since(start)
	switch {
	case err != nil:
		return workload.Sample{}, err
	case w.Elapsed == nil:
		return workload.Sample{Ns: float64(took), Units: 1}, nil
	}
	return w.Elapsed(p.Output())
}

// attached starts a service, attaches a tracer, puts the service under load, and ends both.
func (r *runner) attached(ctx context.Context, w *workload.Workload, t *tracer) (sample workload.Sample, err error) {
	service, err := w.Serve(ctx, r.env)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, service.Stop()) }()
	if t.attaches {
		detach, err := r.attach(ctx, t, service.Pids())
		if err != nil {
			return sample, err
		}
		defer func() { err = errors.Join(err, detach()) }()
	}
	return service.Load(ctx)
}

// attach attaches a tracer to processes, and returns once all of their threads are traced.
func (r *runner) attach(ctx context.Context, t *tracer, pids []int) (detach func() error, err error) {
	if t.pinnedTo >= 0 {
		for _, pid := range pids {
			words := []string{"taskset", "-a", "-c", "-p", strconv.Itoa(t.pinnedTo), strconv.Itoa(pid)}
			if _, err := process.Run(ctx, process.Spec{Words: words, Discard: true}, attachBound); err != nil {
				return nil, err
			}
		}
	}
	p, err := process.Start(process.Spec{Words: append(t.attach(), numbers(pids))})
	if err != nil {
		return nil, err
	}
	err = process.Until(ctx, t.name+" has attached", attachBound, func() bool {
		if t.began != nil {
			return p.Ended() || t.began(p.Pid)
		}
		return p.Ended() || !slices.ContainsFunc(pids, func(pid int) bool { return !process.Traced(pid) })
	})
	if err != nil {
		p.Kill()
		return nil, err
	}
	return func() error { return p.Stop(syscall.SIGINT, endBound) }, nil
}

// observe starts a tracer of the whole machine, and returns once the tracer has written "ready".
func (r *runner) observe(ctx context.Context, t *tracer) (end func() error, err error) {
	out, err := os.CreateTemp(r.k.dir, "observer")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name())
	p, err := process.Start(process.Spec{Words: t.observer, Stdout: out})
	if err != nil {
		return nil, err
	}
	err = process.Until(ctx, t.name+" is ready", attachBound, func() bool {
		text, _ := os.ReadFile(out.Name())
		return p.Ended() || bytes.Contains(text, []byte("ready"))
	})
	if err != nil {
		p.Kill()
		return nil, err
	}
	return func() error { return p.Stop(syscall.SIGINT, endBound) }, nil
}

// count returns how many calls a unit of the workload makes, with all threads and children. One run of
// sysprof without a filter counts them.
func (r *runner) count(ctx context.Context, w *workload.Workload) (float64, error) {
	file := filepath.Join(r.k.dir, "count.json")
	words := []string{r.k.sysprof, "-c", "-q", "-o", filepath.Join(r.k.dir, "table"), "--json", file, "--"}
	whole := *w
	whole.Filter = ""
	sample, err := r.once(ctx, &whole, &tracer{name: sysprofC, prefix: words, attaches: true, pinnedTo: -1})
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	seen, _, err := report.ReadJSON(bytes.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	calls := 0.0
	for i := range seen.Rows {
		calls += float64(seen.Rows[i].Calls)
	}
	return calls / float64(max(1, sample.Units)), nil
}

// numbers joins numbers with commas, as taskset -c and -p expect them.
func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"sysprof/bench/workload"
)

// results are everything that was measured.
type results struct {
	Format  int            `json:"format"` // version of the JSON: 1
	Machine machine        `json:"machine"`
	Missing []string       `json:"missing,omitempty"` // tracers and workloads that were left out, and why
	Timed   []*series      `json:"timed,omitempty"`
	Memory  *growth        `json:"memory,omitempty"`
	Pauses  []*crowdPauses `json:"pauses,omitempty"`

	Accuracy *accuracy `json:"accuracy,omitempty"`
	Matrix   []*row    `json:"matrix,omitempty"`

	tracers []tracer // those that were measured, in the order of the tables
}

// bench measures what the options choose, and writes the results.
func bench(opt *options, stdout, stderr io.Writer) error {
	cpu := opt.cpu
	if cpu < 0 {
		cpu = slices.Max(allowedCPUs())
	}
	if opt.list {
		list(stdout, cpu)
		return nil
	}
	if opt.accuracy.tables != nil {
		a, err := readAccuracy(&opt.accuracy)
		if err != nil {
			return err
		}
		return a.writeTable(stdout)
	}
	k, err := newToolkit(opt.sysprofs)
	if err != nil {
		return err
	}
	defer k.close()
	tracers, missing, unknown := chosenTracers(allTracers(k, cpu), opt.tracers)
	if len(unknown) > 0 {
		return fmt.Errorf("unknown tracers: %s (see -list)", strings.Join(unknown, ", "))
	}
	r := &results{Format: 1, tracers: tracers, Machine: describeMachine(tracers, k, cpu)}
	for _, t := range missing {
		r.Missing = append(r.Missing, fmt.Sprintf("%s is left out: %s", t.name, t.missing))
	}
	if err := r.measureEverywhere(opt, k, stderr); err != nil {
		return err
	}
	if err := r.measurePinned(opt, k, stderr); err != nil {
		return err
	}
	if len(r.Timed) == 0 && r.Memory == nil && r.Pauses == nil && r.Accuracy == nil && len(r.Matrix) == 0 {
		return fmt.Errorf("no workload matches %q (see -list), or all are left out:\n%s", opt.only, strings.Join(r.Missing, "\n"))
	}
	if err := r.write(opt, stdout); err != nil {
		return err
	}
	if n := r.failures(); n > 0 {
		return fmt.Errorf("%d of the measurements failed; see above", n)
	}
	return nil
}

// measureEverywhere measures the matrix, and pauses, on all CPUs. SIGINT and SIGTERM end it and all that it has
// started.
func (r *results) measureEverywhere(opt *options, k *toolkit, progress io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The kernel kills what this thread starts when this thread ends (see package process).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rows, missing, err := measureMatrix(ctx, k, opt, r.tracers, progress)
	r.Matrix, r.Missing = rows, append(r.Missing, missing...)
	if err == nil && ctx.Err() == nil {
		r.Pauses, missing, err = measurePauses(ctx, k, r.tracers, opt, progress)
		r.Missing = append(r.Missing, missing...)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// measurePinned measures the workloads on one CPU, the memory, and the accuracy. It writes to progress
// which of them it measures.
func (r *results) measurePinned(opt *options, k *toolkit, progress io.Writer) error {
	_, unpin, err := pin(r.Machine.CPU)
	if err != nil {
		return err
	}
	defer unpin()
	for _, w := range allWorkloads() {
		if !opt.only.MatchString(w.name) {
			continue
		}
		if w.missing != nil && w.missing(k) != "" {
			r.Missing = append(r.Missing, fmt.Sprintf("%s is left out: %s", w.name, w.missing(k)))
			continue
		}
		fmt.Fprintf(progress, "bench: %s, %d rounds\n", w.name, opt.rounds)
		s, err := measure(k, w, r.tracers, opt.rounds, opt.calls, r.Machine.CPU)
		if err != nil {
			return err
		}
		r.Timed = append(r.Timed, s)
	}
	if opt.only.MatchString(memoryWorkload) {
		fmt.Fprintf(progress, "bench: %s, %d calls, %d processes, %d threads\n",
			memoryWorkload, opt.grow.calls, opt.grow.processes, opt.grow.threads)
		g, err := measureGrowth(k, opt.grow)
		if err != nil {
			return fmt.Errorf("%s: %w", memoryWorkload, err)
		}
		r.Memory = g
	}
	if opt.only.MatchString(accuracyWorkload) {
		a, err := measureAccuracy(k, &opt.accuracy, opt.rounds, r.Machine, unpin, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", accuracyWorkload, err)
		}
		r.Accuracy = a
	}
	return nil
}

// failures returns how many pairs of workload and tracer could not be measured.
func (r *results) failures() (n int) {
	for _, row := range r.Matrix {
		n += len(row.Failed)
	}
	if r.Accuracy != nil {
		n += len(r.Accuracy.Failures)
	}
	return n
}

// write writes the tables and the files that the options name.
func (r *results) write(opt *options, stdout io.Writer) error {
	if err := r.writeTables(stdout); err != nil {
		return err
	}
	for path, format := range map[string]func(io.Writer) error{
		opt.goFormat: r.writeGoFormat, opt.json: r.writeJSON, opt.svg: r.writeChart,
	} {
		if path == "" {
			continue
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := format(file); err != nil {
			file.Close()
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// list prints the workloads and the tracers.
func list(w io.Writer, cpu int) {
	fmt.Fprintln(w, "workloads on one CPU, together with the tracer:")
	for _, wl := range allWorkloads() {
		fmt.Fprintf(w, "  %-23s %s\n", wl.name, wl.what)
	}
	fmt.Fprintf(w, "  %-23s %s\n", memoryWorkload, "resident memory of sysprof after many calls, processes and threads")
	fmt.Fprintf(w, "  %-23s %s\n", accuracyWorkload, "what sysprof, strace and perf trace say of calls and run times, compared with the truth")
	fmt.Fprintln(w, "conditions of accuracy, with the place, what other CPUs do, what is measured, and the threads:")
	for _, c := range allConditions() {
		fmt.Fprintf(w, "  %s\n", c)
	}
	fmt.Fprintln(w, "workloads on all CPUs, as people run them:")
	for _, wl := range workload.All() {
		fmt.Fprintf(w, "  %-23s %s%s\n", wl.Name, wl.What, note(wl.Missing("")))
	}
	for _, c := range workload.Throngs() {
		fmt.Fprintf(w, "  %-23s how long one thread pauses for an attach, and for its end: %s\n", c.Name, c.What)
	}
	fmt.Fprintln(w, "tracers:")
	for _, t := range allTracers(&toolkit{}, cpu) {
		fmt.Fprintf(w, "  %-20s %s%s\n", t.name, t.what, note(t.missing))
	}
}

// note returns the remark about what is left out. It is empty if nothing is missing.
func note(missing string) string {
	if missing == "" {
		return ""
	}
	return " (left out: " + missing + ")"
}

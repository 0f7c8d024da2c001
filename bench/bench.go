package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// results are everything that was measured.
type results struct {
	Format  int       `json:"format"` // of the JSON; 1
	Machine machine   `json:"machine"`
	Missing []string  `json:"missing,omitempty"` // tracers that were left out, and why
	Timed   []*series `json:"timed,omitempty"`
	Memory  *growth   `json:"memory,omitempty"`

	Accuracy *accuracy `json:"accuracy,omitempty"`

	tracers []tracer // those that were measured, in the order of the table
}

// bench does what the options say.
func bench(opt *options, stdout, stderr io.Writer) error {
	if opt.list {
		list(stdout)
		return nil
	}
	k, err := newToolkit(opt.sysprof)
	if err != nil {
		return err
	}
	defer k.close()
	tracers, missing, unknown := chosenTracers(allTracers(k), opt.tracers)
	if len(unknown) > 0 {
		return fmt.Errorf("unknown tracers: %s (see -list)", strings.Join(unknown, ", "))
	}
	r := &results{Format: 1, tracers: tracers}
	for _, t := range missing {
		r.Missing = append(r.Missing, fmt.Sprintf("%s is left out: %s", t.name, t.missing))
	}

	cpu, unpin, err := pin(opt.cpu)
	if err != nil {
		return err
	}
	defer unpin()
	r.Machine = describeMachine(tracers, k, cpu)
	if err := r.measureAll(opt, k, unpin, stderr); err != nil {
		return err
	}
	if len(r.Timed) == 0 && r.Memory == nil && r.Accuracy == nil {
		return fmt.Errorf("no workload matches %q (see -list)", opt.only)
	}
	return r.write(opt, stdout)
}

// measureAll measures every workload that is wanted, and says on progress which.
func (r *results) measureAll(opt *options, k *toolkit, unpin func(), progress io.Writer) error {
	for _, w := range allWorkloads() {
		if !opt.only.MatchString(w.name) {
			continue
		}
		if w.missing != nil && w.missing(k) != "" {
			r.Missing = append(r.Missing, fmt.Sprintf("%s is left out: %s", w.name, w.missing(k)))
			continue
		}
		fmt.Fprintf(progress, "bench: %s, %d rounds of %d tracers\n", w.name, opt.rounds, len(r.tracers))
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
		a, err := measureAccuracy(k, &opt.accuracy, opt.rounds, r.Machine.CPU, unpin, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", accuracyWorkload, err)
		}
		r.Accuracy = a
	}
	return nil
}

// write writes the tables, and the files that the options name.
func (r *results) write(opt *options, stdout io.Writer) error {
	if err := r.writeTables(stdout); err != nil {
		return err
	}
	for path, format := range map[string]func(io.Writer) error{opt.goFormat: r.writeGoFormat, opt.json: r.writeJSON} {
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

// list prints what there is to measure.
func list(w io.Writer) {
	fmt.Fprintln(w, "workloads:")
	for _, wl := range allWorkloads() {
		fmt.Fprintf(w, "  %-10s %s\n", wl.name, wl.what)
	}
	fmt.Fprintf(w, "  %-10s %s\n", memoryWorkload, "resident memory of sysprof after many calls, processes and threads")
	fmt.Fprintf(w, "  %-10s %s\n", accuracyWorkload, "what sysprof, strace and perf trace say of calls and run times, and what is true")
	fmt.Fprintln(w, "tracers:")
	for _, t := range allTracers(&toolkit{}) {
		note := ""
		if t.missing != "" {
			note = " (missing: " + t.missing + ")"
		}
		fmt.Fprintf(w, "  %-10s %s%s\n", t.name, t.what, note)
	}
}

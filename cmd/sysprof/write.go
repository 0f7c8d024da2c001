package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// writeTables writes what the options ask for, for people or for programs that know strace -c.
func (o *options) writeTables(w io.Writer, look terminalLook, s *profile.Snapshot) error {
	for _, table := range o.tables(look) {
		if err := table.Write(w, s); err != nil {
			return err
		}
	}
	if o.quiet {
		return nil
	}
	return report.Notes(w, s, look.width)
}

type table interface {
	Write(io.Writer, *profile.Snapshot) error
}

// tables lists the tables that the options ask for. The views --histogram and --errors stand behind -c's
// table, and in the place of the other one.
func (o *options) tables(look terminalLook) []table {
	var tables []table
	if o.summaryOnly {
		tables = append(tables, report.Summary{Columns: o.columns, Sort: o.sortBy, CPU: o.cpuTime})
	}
	if o.histogram {
		tables = append(tables, report.Distribution{Name: o.histogramOf, Calls: o.histogramSet, Width: look.width, Color: look.color})
	}
	if o.errors {
		tables = append(tables, report.Failures{Width: look.width, Color: look.color})
	}
	if len(tables) == 0 {
		tables = append(tables, report.Table{Sort: o.sortBy, Width: look.width, Color: look.color})
	}
	return tables
}

// writeFiles writes the formats for machines, each to a file that is there whole or not at all.
func (o *options) writeFiles(s *profile.Snapshot, meta report.Meta) error {
	var failures []error
	write := func(path string, f func(io.Writer) error) {
		if path == "" {
			return
		}
		if err := replaceFile(path, f); err != nil {
			failures = append(failures, fmt.Errorf("write %s: %w", path, err))
		}
	}
	write(o.json, func(w io.Writer) error { return report.WriteJSON(w, s, meta) })
	write(o.csv, func(w io.Writer) error { return report.WriteCSV(w, s) })
	return errors.Join(failures...)
}

// replaceFile writes a file beside path and renames it, so that a reader never sees half of it and a
// failure leaves what was there. A path that is no regular file (/dev/stderr, a pipe) is written to.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && (!info.Mode().IsRegular() || isDevice(path)) {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(file), file.Close())
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o666&^umask()), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// isDevice reports whether a path is to a place of the kernel's, as /dev/stdout is, whatever file that shows:
// nothing is to be renamed there.
func isDevice(path string) bool {
	path, err := filepath.Abs(path)
	return err == nil && (strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/proc/"))
}

// showSaved writes the tables of a run that was saved with --json.
func (p *process) showSaved(opt *options) error {
	file, err := os.Open(opt.fromJSON)
	if err != nil {
		return err
	}
	defer file.Close()
	snapshot, meta, err := report.ReadJSON(file)
	if err != nil {
		return fmt.Errorf("%s: %w", opt.fromJSON, err)
	}
	out, err := p.openOutput(opt)
	if err != nil {
		return err
	}
	if err := errors.Join(opt.writeTables(out, out.look(), snapshot), opt.writeFiles(snapshot, meta), out.close()); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// chooseHistogram takes the argument of --histogram: what strace's -e trace= takes, or nothing for all.
func (o *options) chooseHistogram(expr string) (err error) {
	o.histogram, o.histogramOf, o.histogramSet = true, expr, nil
	if expr != "" {
		o.histogramSet, err = syscalltab.ParseSet(expr, syscalltab.Native()...)
	}
	return err
}

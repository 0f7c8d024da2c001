package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// Outputs says what is written, and where to.
type Outputs struct {
	Summary bool // the table of strace -c, in the place of the one for people
	Columns []report.Column
	Sort    report.SortKey
	CPU     bool // Summary shows CPU time
	Quiet   bool // nothing stands under the tables

	Histogram    bool            // whole distributions
	HistogramOf  string          // what they are called; "": all calls
	HistogramSet *syscalltab.Set // of these calls; nil: all
	Errors       bool            // the table of errnos

	JSON, CSV, Pprof string // files; "": none
}

// Meta says what a run is of, as far as that is known before it.
type Meta struct {
	Version string
	Command []string
	PIDs    []int
	CPUs    int // that the tracer may use
}

// Write writes everything that was asked for of what has been counted so far: tables to out, as they have to
// look there, and files. more are warnings besides the engine's.
func (s *Session) Write(out io.Writer, look Look, more ...profile.Warning) error {
	snapshot := s.Snapshot()
	warnings, _ := s.engine.Warnings()
	snapshot.Warnings = append(append(snapshot.Warnings, warnings...), more...)
	meta := s.meta()
	var failures []error
	if s.samples != nil {
		failures = append(failures, replaceFile(s.config.Outputs.Pprof, func(w io.Writer) error { return s.samples.write(w, snapshot, meta) }))
	}
	failures = append(failures, s.config.Outputs.Write(out, look, snapshot, meta))
	return errors.Join(failures...)
}

// ReadSaved reads a run that was saved as JSON.
func ReadSaved(path string) (*profile.Snapshot, report.Meta, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, report.Meta{}, err
	}
	defer file.Close()
	snapshot, meta, err := report.ReadJSON(file)
	if err != nil {
		return nil, meta, fmt.Errorf("%s: %w", path, err)
	}
	return snapshot, meta, nil
}

// meta says what a snapshot is of.
func (s *Session) meta() report.Meta {
	host, _ := os.Hostname()
	var u unix.Utsname
	unix.Uname(&u)
	progress := s.engine.Progress()
	return report.Meta{
		Version:  s.config.Meta.Version,
		Command:  s.config.Meta.Command,
		PIDs:     s.config.Meta.PIDs,
		Start:    progress.Start,
		Duration: progress.Elapsed,
		Host:     host,
		Kernel:   unix.ByteSliceToString(u.Release[:]),
		Arch:     unix.ByteSliceToString(u.Machine[:]),
		CPUs:     s.config.Meta.CPUs,
	}
}

// Write writes tables, and the files that need nothing but a snapshot.
func (o *Outputs) Write(out io.Writer, look Look, s *profile.Snapshot, meta report.Meta) error {
	return errors.Join(
		o.writeTables(out, look, s),
		replaceFile(o.JSON, func(w io.Writer) error { return report.WriteJSON(w, s, meta) }),
		replaceFile(o.CSV, func(w io.Writer) error { return report.WriteCSV(w, s) }),
	)
}

// writeTables writes tables for people, or for programs that know strace -c, and what stands under them.
func (o *Outputs) writeTables(w io.Writer, look Look, s *profile.Snapshot) error {
	for _, table := range o.tables(look) {
		if err := table.Write(w, s); err != nil {
			return err
		}
	}
	if o.Quiet {
		return nil
	}
	return report.Notes(w, s, look.Width)
}

type table interface {
	Write(io.Writer, *profile.Snapshot) error
}

// tables lists the tables that were asked for. Distributions and errnos stand behind the table of strace -c, and
// in the place of the other one.
func (o *Outputs) tables(look Look) []table {
	var tables []table
	if o.Summary {
		tables = append(tables, report.Summary{Columns: o.Columns, Sort: o.Sort, CPU: o.CPU})
	}
	if o.Histogram {
		tables = append(tables, report.Distribution{Name: o.HistogramOf, Calls: o.HistogramSet, Width: look.Width, Color: look.Color})
	}
	if o.Errors {
		tables = append(tables, report.Failures{Width: look.Width, Color: look.Color})
	}
	if len(tables) == 0 {
		tables = append(tables, report.Table{Sort: o.Sort, Width: look.Width, Color: look.Color})
	}
	return tables
}

// replaceFile writes a file beside path and renames it, so that a reader never sees half of it and a
// failure leaves what was there. A path that is no regular file (/dev/stderr, a pipe) is written to. Nothing is
// done for no path.
func replaceFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	if err := tryReplace(path, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func tryReplace(path string, write func(io.Writer) error) (err error) {
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

// umask reads the process's file mode creation mask.
func umask() os.FileMode {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return os.FileMode(mask)
}

// isDevice reports whether a path is to a place of the kernel's, as /dev/stdout is, whatever file that shows:
// nothing is to be renamed there.
func isDevice(path string) bool {
	path, err := filepath.Abs(path)
	return err == nil && (strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/proc/"))
}

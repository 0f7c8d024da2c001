package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/report/page"
	"sysprof/syscalltab"
)

// Outputs says what is written, and where to.
type Outputs struct {
	Summary bool // the table of strace -c, in the place of the one for people
	Columns []report.Column
	Sort    report.SortKey
	CPU     bool // Summary shows CPU time
	Quiet   bool // nothing stands under the tables
	Verbose bool // all there is to say of the cost does

	By           []string        // the fields of groups; nil: there are none
	NoGroups     bool            // groups are for looking on, and are not written
	Top          int             // of groups the largest in tables; the others are one
	Histogram    bool            // whole distributions
	HistogramOf  string          // what they are called; "": all calls
	HistogramSet *syscalltab.Set // of these calls; nil: all
	Errors       bool            // the table of errnos

	JSON, CSV, Pprof, HTML string // files; "-": stdout; "": none
	Tables                 string // likewise, or a shell command behind '|'; "": stderr
	Append                 bool   // tables are appended to what the file holds

	Interval time.Duration // so often the interval since the last one is written; 0: never
	ToStdout bool          // tables go to stdout, not to stderr
}

// StartProgram reports whether Open starts one, that reads the tables.
func (o *Outputs) StartProgram() bool { return isShellCommand(o.Tables) }

// Meta says what a run is of, as far as that is known before it.
type Meta struct {
	Version string
	Command []string
	PIDs    []int
	CPUs    int    // that the tracer may use
	Traced  string // a program or a process, by its name
}

// Write writes everything that was asked for of the whole run: tables first, then files, and last what needs names. What
// cannot be written is said, and is returned. more are warnings besides the engine's. When ctx ends, no more names are looked
// for, and what is not written soon is given up.
func (s *Session) Write(ctx context.Context, files *Files, more ...profile.Warning) error {
	s.slow.Close(ctx)
	if s.pieces == nil {
		return s.write(ctx, files, s.Snapshot(), whole, more)
	}
	return errors.Join(s.writeLast(ctx, files), s.write(ctx, files, s.pieces.whole(), wholeOfIntervals, more))
}

// WriteSoFar is Write before the end of a run. Files that intervals are written to are left to them.
func (s *Session) WriteSoFar(ctx context.Context, files *Files) error {
	return s.write(ctx, files, s.Snapshot(), soFar, nil)
}

func (s *Session) write(ctx context.Context, files *Files, snapshot *profile.Snapshot, what part, more []profile.Warning) error {
	warnings, _ := s.engine.Warnings()
	snapshot.Warnings = append(append(snapshot.Warnings, warnings...), more...)
	if unread := s.config.Paths.Unread(); unread > 0 {
		snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.PathsUnread, Count: unread})
	}
	s.written(snapshot, what)
	var all []profile.Sample
	profiles := s.config.Outputs.Pprof != ""
	if profiles {
		var now []profile.Unreturned
		if what == soFar {
			now = s.waiting(ctx)
		}
		all = s.samples.taken(snapshot, now)
	}
	meta := s.meta()
	if what == wholeOfIntervals {
		meta.Intervals, meta.End = s.pieces.written, s.pieces.endAt
	}
	meta.OverTime = s.timeline.upToNow()
	view := page.Page{Snapshot: snapshot, Meta: meta, Timeline: meta.OverTime}
	err := files.write(ctx, snapshot, meta, what)
	if !profiles {
		return errors.Join(err, files.WritePage(ctx, view))
	}
	if s.config.BeforeNames != nil {
		s.config.BeforeNames()
	}
	located := s.samples.locate(ctx, all)
	corrected := s.samples.corrected(snapshot, all)
	view.Stacks = s.samples.stacks(corrected, located)
	return errors.Join(err,
		files.writeFile(ctx, pprofGrace, files.pprof, func(w io.Writer) error {
			return s.samples.write(w, snapshot, meta, corrected, located)
		}),
		files.WritePage(ctx, view))
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
		PIDs:     slices.Concat(s.config.Meta.PIDs, s.later.all()),
		Traced:   s.traced(),
		Threads:  progress.Seen,
		Start:    progress.Start,
		Duration: progress.Elapsed,
		Host:     host,
		Kernel:   unix.ByteSliceToString(u.Release[:]),
		Arch:     unix.ByteSliceToString(u.Machine[:]),
		CPUs:     s.config.Meta.CPUs,
	}
}

// traced names what is traced.
func (s *Session) traced() string {
	if command := s.engine.Launched(); command != nil {
		return fmt.Sprintf("%s (%d)", s.config.Meta.Traced, command.PID())
	}
	return s.config.Meta.Traced
}

// writeTables writes tables for people, or for programs that know strace -c, and what stands under them.
func (o *Outputs) writeTables(w io.Writer, look Look, s *profile.Snapshot, meta *report.Meta, what part) error {
	if heading, ok := what.heading(meta); ok {
		if err := heading.Write(w, s); err != nil {
			return err
		}
	}
	if what == oneInterval {
		return o.writeOfInterval(w, look, s)
	}
	for _, table := range o.tables(look) {
		if err := table.Write(w, s); err != nil {
			return err
		}
	}
	if o.Quiet {
		return report.Warnings(w, &profile.Snapshot{Warnings: besidesTheTable(s.Warnings)})
	}
	return report.Notes(w, s, *meta, look.Width, o.Verbose)
}

// writeOfInterval writes the tables of an interval. What is to be said of them is said of the run.
func (o *Outputs) writeOfInterval(w io.Writer, look Look, s *profile.Snapshot) error {
	if s.Total.Calls > 0 {
		for _, table := range o.tables(look) {
			if err := table.Write(w, s); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// besidesTheTable keeps the warnings that are not about what stands in the table, but about a file that is hardly worth
// writing: they are said also to who wants the table alone.
func besidesTheTable(all []profile.Warning) (kept []profile.Warning) {
	for _, w := range all {
		if w.Kind == profile.StacksMissing {
			kept = append(kept, w)
		}
	}
	return kept
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
	groups := report.Groups{Top: o.Top, Table: report.Table{Sort: o.Sort, Width: look.Width, Color: look.Color}}
	if o.Summary {
		groups.Summary = &report.Summary{Columns: o.Columns, Sort: o.Sort, CPU: o.CPU}
	}
	return append(tables, groups)
}

package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/report/page"
)

// Files are the outputs of a run, opened before it.
type Files struct {
	outputs                *Outputs
	std                    Streams
	tables                 *tablesOutput
	json, csv, pprof, html *file // nil: not asked for

	writing sync.Mutex // held while tables, or lines between them, are written
	mu      sync.Mutex // guards what follows
	failed  string     // what was said last of an interval that could not be written; "": the last one could be
}

// Open opens the outputs, or tries the folders that they are to be in. An error names the one that cannot be
// written to; nothing has been changed then.
func (o *Outputs) Open(std Streams) (_ *Files, err error) {
	f := &Files{outputs: o, std: std}
	for _, one := range []struct {
		option, path string
		to           **file
	}{{"--json", o.JSON, &f.json}, {"--csv", o.CSV, &f.csv}, {"--pprof", o.Pprof, &f.pprof}, {"--html", o.HTML, &f.html}} {
		if one.path == "" {
			continue
		}
		if *one.to, err = openFile(one.path, std.Stdout); err != nil {
			return nil, fmt.Errorf("%s: %w", one.option, err)
		}
	}
	f.tables, err = openTables(o, std) // last, since it may start something
	return f, err
}

// LooksLike is how tables have to look.
func (f *Files) LooksLike() Look { return f.tables.look }

// Close lets go of all of them, and waits for the shell command that reads the tables.
func (f *Files) Close(ctx context.Context) error {
	for _, file := range []*file{f.json, f.csv, f.pprof, f.html} {
		if file != nil {
			file.close()
		}
	}
	return f.said(f.tables.close(ctx))
}

// When a signal has come, each output has this time left, so that one that blocks does not take it from the others, and the
// search for names has as much. A profile takes longest to be made, and a page that shows one.
const (
	grace      = 150 * time.Millisecond
	pprofGrace = 400 * time.Millisecond

	// Grace is more than all of that together.
	Grace = 4*grace + 2*pprofGrace + 100*time.Millisecond
)

// after returns a context that ends some time after another one has.
func after(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		time.Sleep(grace)
		cancel()
	})
	return later, func() { stop(); cancel() }
}

// Write writes tables, and after them the files that need nothing but a snapshot. What cannot be written is said, and
// the others are written nevertheless. When ctx ends, what is not written soon is given up.
func (f *Files) Write(ctx context.Context, s *profile.Snapshot, meta report.Meta) error {
	return f.write(ctx, s, meta, whole)
}

// write is Write of a part of a run.
func (f *Files) write(ctx context.Context, s *profile.Snapshot, meta report.Meta, what part) error {
	tables := f.writeTables(ctx, func(w io.Writer) error { return f.outputs.writeTables(w, f.tables.look, s, &meta, what) })
	if f.outputs.Interval > 0 {
		if what == soFar {
			return tables
		}
		return errors.Join(tables, f.writeLines(ctx, s, &meta))
	}
	return errors.Join(tables,
		f.stream(ctx, f.json, func(w io.Writer) error { return report.WriteJSON(w, s, meta) }),
		f.stream(ctx, f.csv, func(w io.Writer) error { return report.WriteCSV(w, s) }),
	)
}

// WritePage writes the page, as Write writes its files.
func (f *Files) WritePage(ctx context.Context, p page.Page) error {
	return f.writeFile(ctx, pprofGrace, f.html, p.Write)
}

// WriteDifference writes how runs differ as Write writes one.
func (f *Files) WriteDifference(ctx context.Context, d *report.Difference) error {
	return errors.Join(
		f.writeTables(ctx, func(w io.Writer) error {
			d.Top = f.outputs.Top
			return d.Write(w, f.tables.look.Width, f.tables.look.Color, f.outputs.Quiet)
		}),
		f.writeFile(ctx, grace, f.json, d.WriteJSON),
		f.writeFile(ctx, grace, f.csv, d.WriteCSV),
	)
}

// writeTables writes the tables that write makes, to stderr if they cannot be written to a file.
func (f *Files) writeTables(ctx context.Context, write func(io.Writer) error) error {
	ctx, cancel := after(ctx, grace)
	defer cancel()
	var text bytes.Buffer
	if err := write(&text); err != nil {
		return f.said(err)
	}
	printed := f.std.Printed(text.String())
	err := f.putTables(ctx, []byte(printed))
	if err == nil || f.tables.standard {
		return f.said(err)
	}
	f.said(err)
	return errors.Join(err, within(ctx, func() error {
		_, err := io.WriteString(f.std.Messages, printed)
		return err
	}))
}

// putTables writes to where tables go, one after the other.
func (f *Files) putTables(ctx context.Context, text []byte) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.tables.write(ctx, text)
}

// writeFile makes what write writes the whole of a file. Nothing is done for no file.
func (f *Files) writeFile(ctx context.Context, grace time.Duration, file *file, write func(io.Writer) error) error {
	if file == nil {
		return nil
	}
	ctx, cancel := after(ctx, grace)
	defer cancel()
	var data bytes.Buffer
	err := within(ctx, func() error { return write(&data) })
	if err != nil {
		return f.said(fmt.Errorf("%s was not written: %w", file.show, err))
	}
	return f.said(file.replace(ctx, text(data.Bytes())))
}

// stream is writeFile of what may be more than is to be in memory, and can be written again.
func (f *Files) stream(ctx context.Context, file *file, write content) error {
	if file == nil {
		return nil
	}
	ctx, cancel := after(ctx, grace)
	defer cancel()
	return f.said(file.replace(ctx, write))
}

// said says an error, unless it is that nobody reads a standard stream any more, and returns it.
func (f *Files) said(err error) error {
	if err != nil && !isGone(err) {
		f.std.Say(err)
	}
	return err
}

// isGone reports whether an error is that nobody reads any more.
func isGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

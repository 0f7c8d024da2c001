package session

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"sysprof/profile"
	"sysprof/report"
)

// part is how much of a run is written.
type part uint8

const (
	whole part = iota
	wholeOfIntervals
	soFar
	oneInterval
)

// heading is what stands over its tables. Over those of a run that is written once there is nothing.
func (p part) heading(meta *report.Meta) (h report.Heading, ok bool) {
	h = report.Heading{At: meta.End, Length: meta.Duration}
	switch p {
	case oneInterval:
		h.Part = report.OneInterval
	case wholeOfIntervals:
		h.Part = report.TheWhole
	case soFar:
		h.At, h.Part = time.Now(), report.SoFar
	default:
		return h, false
	}
	return h, true
}

// pieces are the intervals that are written of a run. They add up to what is written at its end: the latencies of the whole
// are those of the intervals, though what is taken off them for tracing differs from one to the next.
type pieces struct {
	*Intervals
	mu      sync.Mutex // guards what follows
	written int
	sum     profile.Sum
	lost    error // why one could not be written, the first one
}

// next ends an interval, which has groups if there are any.
func (p *pieces) next() *Interval {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.handOver() // which waits while an interval of groups is cut
	var i *Interval
	groups := p.s.groups.cut(func(done func()) { i = p.Intervals.next(done) })
	if groups != nil {
		p.s.addGroups(i.Snapshot, groups)
	}
	p.sum.Add(i.Snapshot)
	return i
}

// whole is the run that the intervals are of.
//
// Precondition: nothing is counted any more, and the last interval has ended.
func (p *pieces) whole() *profile.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	run, sum := p.s.Snapshot(), p.sum.Snapshot()
	sum.Overhead, sum.Warnings = run.Overhead, run.Warnings
	bound := make(map[profile.Key]bool)
	for i := range run.Rows {
		bound[run.Rows[i].Key] = run.Rows[i].UpperBound
	}
	for i := range sum.Rows {
		sum.Rows[i].UpperBound = bound[sum.Rows[i].Key]
	}
	return sum
}

// WriteInterval ends an interval now, and writes it. While that takes long, because nobody reads, the calls that come in
// belong to the next one, which is longer then.
func (s *Session) WriteInterval(ctx context.Context, files *Files) {
	s.writeInterval(ctx, files, s.pieces.next(), true)
}

// writeLast writes what is left of a run when it is over. Of nothing but the time that ending it took nothing is written, nor
// a table of an interval that is all of the run. It returns an error if any interval could not be written.
func (s *Session) writeLast(ctx context.Context, files *Files) error {
	last := s.pieces.next()
	short := last.Length < s.config.Outputs.Interval/10
	empty := last.Snapshot.Total.Calls == 0
	if !empty || !short || len(last.Snapshot.InFlight) > 0 {
		s.writeInterval(ctx, files, last, !(empty && short) && last.Number > 1)
	}
	s.pieces.mu.Lock()
	defer s.pieces.mu.Unlock()
	return s.pieces.lost
}

func (s *Session) writeInterval(ctx context.Context, files *Files, i *Interval, table bool) {
	meta := s.meta()
	meta.Interval, meta.Start, meta.End, meta.Duration = i.Number, i.Start, i.End, i.Length
	var err error
	if table {
		err = files.write(ctx, i.Snapshot, meta, oneInterval)
	} else {
		err = files.writeLines(ctx, i.Snapshot, &meta)
	}
	s.pieces.mu.Lock()
	defer s.pieces.mu.Unlock()
	s.pieces.written = i.Number
	s.pieces.lost = cmp.Or(s.pieces.lost, err)
}

// writeLines writes a part of a run behind the parts that stand in the files already.
func (f *Files) writeLines(ctx context.Context, s *profile.Snapshot, m *report.Meta) error {
	return errors.Join(
		f.putFile(ctx, f.json, func(w io.Writer) error { return report.WriteJSONLine(w, s, *m) }),
		f.putFile(ctx, f.csv, func(w io.Writer) error { return report.WriteCSVOfInterval(w, s, m, f.outputs.By, !f.csv.begun) }),
	)
}

// putFile writes what write writes behind what a file holds. Nothing is done for no file.
func (f *Files) putFile(ctx context.Context, file *file, write func(io.Writer) error) error {
	if file == nil {
		return nil
	}
	ctx, cancel := after(ctx, grace)
	defer cancel()
	return f.saidOnce(file.put(ctx, write, false))
}

// saidOnce is said of what is tried again and again.
func (f *Files) saidOnce(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.failed = ""
		return nil
	}
	if f.failed != err.Error() {
		f.failed = err.Error()
		f.said(err)
	}
	return err
}

package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sysprof/profile"
)

// readJSON reads a file of one object, or of several, each of which is a line.
func readJSON(r io.Reader) (*profile.Snapshot, Meta, error) {
	const atOnce = 64 << 10
	in := bufio.NewReaderSize(r, atOnce)
	first, err := readLine(in)
	if err != nil && err != io.EOF {
		return nil, Meta{}, err
	}
	if err == nil && json.Valid(first) {
		return readLines(first, in)
	}
	return readObject(io.MultiReader(bytes.NewReader(first), in))
}

var errTooLarge = fmt.Errorf("the file is larger than %d MB", maxJSONBytes>>20)

// readLine reads a line with its end. It returns io.EOF with one that has none.
func readLine(in *bufio.Reader) (line []byte, err error) {
	r := lineReader{in: in}
	line, err = io.ReadAll(io.LimitReader(&r, maxJSONBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(line) > maxJSONBytes:
		return nil, errTooLarge
	case !r.ended:
		return line, io.EOF
	}
	return line, nil
}

// lineReader reads one line.
type lineReader struct {
	in    *bufio.Reader
	ended bool
}

func (r *lineReader) Read(p []byte) (n int, err error) {
	if r.ended {
		return 0, io.EOF
	}
	if _, err := r.in.Peek(1); err != nil {
		return 0, err
	}
	part, _ := r.in.Peek(min(len(p), r.in.Buffered()))
	if end := bytes.IndexByte(part, '\n'); end >= 0 {
		part, r.ended = part[:end+1], true
	}
	n = copy(p, part)
	r.in.Discard(n)
	return n, nil
}

// readLines reads objects that are lines, of which the first one has been read. A last line without an end is half of one that
// sysprof could not write any more.
func readLines(line []byte, in *bufio.Reader) (whole *profile.Snapshot, of Meta, err error) {
	var pieces intervals
	for number := 1; err == nil; number++ {
		if len(bytes.TrimSpace(line)) > 0 {
			s, m, err := readObject(bytes.NewReader(line))
			switch {
			case err != nil:
				return nil, m, fmt.Errorf("line %d: %w", number, err)
			case m.Interval == 0:
				whole, of = s, m
				pieces = intervals{}
			default:
				if err := pieces.add(s, &m); err != nil {
					return nil, m, fmt.Errorf("line %d: %w", number, err)
				}
			}
		}
		line, err = readLine(in)
	}
	switch {
	case err != io.EOF:
		return nil, of, err
	case whole != nil:
		return whole, of, nil
	}
	whole, of = pieces.whole()
	return whole, of, nil
}

// intervals are what has been read of a run that has no end.
type intervals struct {
	sum    profile.Sum
	count  uint64
	meta   Meta // of the first one
	length time.Duration
}

func (i *intervals) add(s *profile.Snapshot, m *Meta) error {
	s.Warnings = nil // they are about what tracing cost, which is not known of all together
	i.sum.Add(s)
	if i.sum.Octaves() > maxOctaves {
		return errors.New("the intervals up to here have more histograms than fit into memory")
	}
	if i.count == 0 {
		i.meta = *m
	}
	i.count++
	i.length += m.Duration
	return nil
}

func (i *intervals) whole() (*profile.Snapshot, Meta) {
	whole, m := i.sum.Snapshot(), i.meta
	m.Interval, m.Intervals, m.Duration, m.End = 0, int(i.count), max(i.length, 0), time.Time{}
	whole.Warnings = []profile.Warning{{Kind: profile.WholeMissing, Count: i.count}}
	return whole, m
}

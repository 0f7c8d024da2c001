package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// judged is one comparison: what a tracer said of one kind of call, or of a program, and the truth just
// before and just after.
type judged struct {
	Condition string   `json:"in"`
	Round     int      `json:"round"`
	Kind      string   `json:"of"`
	By        string   `json:"by"` // a sysprof's name, or another tracer
	Before    timing   `json:"before"`
	After     timing   `json:"after"`
	Got       timing   `json:"got,omitzero"`  // of a call
	Run       *runTime `json:"run,omitempty"` // of a program; its truth is the P50 of Before and After
}

// rawLine is a line of a raw file. One of its fields is set.
type rawLine struct {
	Header    *header        `json:"header,omitempty"`
	Condition *conditionLoad `json:"condition,omitempty"`
	Row       *judged        `json:"row,omitempty"`
	Failure   string         `json:"failure,omitempty"`
}

// recorder keeps what is measured, and appends it to a raw file at once. A run that is cut short leaves
// what it has measured, and files of several runs are one when they are put together.
type recorder struct {
	all  accuracy
	file *os.File // nil: none
}

func newRecorder(path string) (*recorder, error) {
	if path == "" {
		return new(recorder), nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	return &recorder{file: file}, err
}

func (r *recorder) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

func (r *recorder) header(h header) error           { return r.add(rawLine{Header: &h}) }
func (r *recorder) condition(c conditionLoad) error { return r.add(rawLine{Condition: &c}) }
func (r *recorder) row(row judged) error            { return r.add(rawLine{Row: &row}) }
func (r *recorder) failure(text string) error       { return r.add(rawLine{Failure: text}) }

func (r *recorder) add(line rawLine) error {
	r.all.add(line)
	if r.file == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = r.file.Write(append(text, '\n'))
	return err
}

func (a *accuracy) add(line rawLine) {
	switch {
	case line.Header != nil:
		a.Headers = append(a.Headers, *line.Header)
	case line.Condition != nil:
		a.Conditions = append(a.Conditions, *line.Condition)
	case line.Row != nil:
		a.Rows = append(a.Rows, *line.Row)
	case line.Failure != "":
		a.Failures = append(a.Failures, line.Failure)
	}
}

// readFile adds what is in a raw file, which may be compressed by gzip.
func (a *accuracy) readFile(file *os.File) error {
	if !strings.HasSuffix(file.Name(), ".gz") {
		return a.read(file)
	}
	plain, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	return a.read(plain)
}

// read adds what is in a raw file. Its last line may have been cut short.
func (a *accuracy) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var line rawLine
		if err := json.Unmarshal(text, &line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		a.add(line)
	}
}

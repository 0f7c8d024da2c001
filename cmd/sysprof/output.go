package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// output is where tables go.
type output struct {
	io.Writer
	close func() error
}

// look is how a table has to look there.
func (o *output) look() terminalLook { return look(o.Writer) }

// openOutput opens the argument of -o: a file, or, behind a '|' or '!', a shell command to write
// to. Without one, tables go to stderr.
func (p *process) openOutput(opt *options) (*output, error) {
	switch {
	case opt.output == "":
		return &output{Writer: p.stderr, close: func() error { return nil }}, nil
	case strings.HasPrefix(opt.output, "|"), strings.HasPrefix(opt.output, "!"):
		return p.openPipe(opt.output[1:])
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if opt.appending {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	file, err := os.OpenFile(opt.output, flags, 0o666)
	if err != nil {
		return nil, fmt.Errorf("-o: %w", err)
	}
	return &output{Writer: file, close: file.Close}, nil
}

// openPipe starts a shell command that reads the tables.
func (p *process) openPipe(command string) (*output, error) {
	// A ^C at the terminal reaches the reader too, and would take away who the table is for.
	reader := exec.Command("/bin/sh", "-c", "trap '' INT QUIT; "+command)
	reader.Stdout, reader.Stderr = p.stdout, p.stderr
	in, err := reader.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("-o '|%s': %w", command, err)
	}
	if err := reader.Start(); err != nil {
		return nil, fmt.Errorf("-o '|%s': %w", command, err)
	}
	return &output{Writer: untilClosed{in}, close: func() error {
		if err := errors.Join(in.Close(), reader.Wait()); err != nil {
			return fmt.Errorf("-o '|%s': %w", command, err)
		}
		return nil
	}}, nil
}

// untilClosed writes to a reader that need not read all of it, as head(1) does not. Its exit status says
// whether something was wrong.
type untilClosed struct{ io.Writer }

func (w untilClosed) Write(data []byte) (int, error) {
	n, err := w.Writer.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		return len(data), nil
	}
	return n, err
}

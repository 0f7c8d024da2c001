package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Output is where tables go.
type Output struct {
	io.Writer
	close func() error
}

// OpenOutput opens a file, or, behind a '|' or '!', a shell command to write to, whose own output goes to stdout
// and stderr. Without a name, tables go to stderr.
func OpenOutput(name string, appending bool, stdout, stderr *os.File) (*Output, error) {
	switch {
	case name == "":
		return &Output{Writer: stderr, close: func() error { return nil }}, nil
	case strings.HasPrefix(name, "|"), strings.HasPrefix(name, "!"):
		return openPipe(name[1:], stdout, stderr)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if appending {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	file, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, fmt.Errorf("-o: %w", err)
	}
	return &Output{Writer: file, close: file.Close}, nil
}

// Close ends the output. Of a shell command it waits for the end.
func (o *Output) Close() error { return o.close() }

// openPipe starts a shell command that reads the tables.
func openPipe(command string, stdout, stderr *os.File) (*Output, error) {
	// A ^C at the terminal reaches the reader too, and would take away who the table is for.
	reader := exec.Command("/bin/sh", "-c", "trap '' INT QUIT; "+command)
	reader.Stdout, reader.Stderr = stdout, stderr
	in, err := reader.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("-o '|%s': %w", command, err)
	}
	if err := reader.Start(); err != nil {
		return nil, fmt.Errorf("-o '|%s': %w", command, err)
	}
	return &Output{Writer: untilClosed{in}, close: func() error {
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

// Look is how a table has to look where it is written to.
type Look struct {
	Width int // 0: as wide as it likes
	Color bool
}

// Look is that of the terminal that the output is, or of a file.
func (o *Output) Look() Look {
	file, ok := o.Writer.(*os.File)
	if !ok {
		return Look{}
	}
	return LookOf(file)
}

// LookOf is the look of the terminal that a file is, or of a file.
func LookOf(file *os.File) Look {
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Look{}
	}
	return Look{
		Width: int(size.Col),
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", // https://no-color.org
	}
}

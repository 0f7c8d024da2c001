package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sysprof/report"
)

// Streams are those of this process.
type Streams struct {
	Stdout, Stderr *os.File
	// Messages is stderr as well, and may be written to when Stderr has been given away.
	Messages io.Writer
	// Say says what could not be written, in a line of its own.
	Say func(error)
	// ASCII says that nothing else is to be written for people to read, wherever it goes.
	ASCII bool
}

// Printed is a text for people as it is to be written.
func (s *Streams) Printed(text string) string {
	if s.ASCII {
		return report.ASCII(text)
	}
	return text
}

// tablesOutput is where tables go.
type tablesOutput struct {
	// write writes the tables of one moment.
	write func(ctx context.Context, data []byte) error
	// close ends the output. Of a shell command it waits for the end.
	close func(ctx context.Context) error
	look  Look
	// standard says that it is a stream of this process, which needs no other one in its place.
	standard bool
}

// openTables opens a file, or, behind a '|' or '!', starts a shell command to write to, whose own output goes to
// stdout and stderr. Without a name, tables go to a standard stream.
func openTables(o *Outputs, std Streams) (*tablesOutput, error) {
	name := o.Tables
	switch {
	case name == "" && o.ToStdout:
		return standardOutput(std.Stdout), nil
	case name == "":
		return standardOutput(std.Stderr), nil
	case isShellCommand(name):
		return openPipe(name[1:], std)
	}
	file, err := openFile(name, std.Stdout)
	if err != nil {
		return nil, fmt.Errorf("-o: %w", err)
	}
	out := &tablesOutput{
		write: func(ctx context.Context, data []byte) error { return file.put(ctx, text(data), o.Append) },
		close: func(context.Context) error { file.close(); return nil },
	}
	if file.open != nil {
		out.look = LookOf(file.open)
	}
	return out, nil
}

func standardOutput(stream *os.File) *tablesOutput {
	return &tablesOutput{
		write: func(ctx context.Context, data []byte) error {
			return within(ctx, func() error {
				_, err := stream.Write(data)
				return err
			})
		},
		close:    func(context.Context) error { return nil },
		look:     LookOf(stream),
		standard: true,
	}
}

// openPipe starts a shell command that reads the tables.
func openPipe(command string, std Streams) (*tablesOutput, error) {
	explain := func(err error) error {
		if err != nil {
			err = fmt.Errorf("-o '|%s': %w", command, err)
		}
		return err
	}
	// A ^C at the terminal reaches the reader too, and would take away who the table is for.
	reader := exec.Command("/bin/sh", "-c", "trap '' INT QUIT; "+command)
	reader.Stdout, reader.Stderr = std.Stdout, std.Stderr
	in, err := reader.StdinPipe()
	if err != nil {
		return nil, explain(err)
	}
	ended, err := startKept(reader)
	if err != nil {
		return nil, explain(err)
	}
	return &tablesOutput{
		write: func(ctx context.Context, data []byte) error {
			return explain(within(ctx, func() error {
				_, err := in.Write(data)
				if errors.Is(err, syscall.EPIPE) {
					// It need not read all of it, as head(1) does not. Its exit status says whether
					// something was wrong.
					return nil
				}
				return err
			}))
		},
		close: func(ctx context.Context) error {
			defer ended()
			return explain(within(ctx, func() error { return errors.Join(in.Close(), reader.Wait()) }))
		},
	}, nil
}

// startKept starts a command from a thread that stays until ended is called. A process that is to get a signal when its
// parent ends gets it when that thread ends (prctl(2), PR_SET_PDEATHSIG), and some threads of this process do end.
func startKept(cmd *exec.Cmd) (ended func(), err error) {
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-done
	}()
	if err := <-started; err != nil {
		close(done)
		return nil, err
	}
	return sync.OnceFunc(func() { close(done) }), nil
}

// Look is how a table has to look where it is written to.
type Look struct {
	Width int // 0: as wide as it likes
	Color bool
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

// isShellCommand reports whether tables go to a shell command.
func isShellCommand(tables string) bool {
	return strings.HasPrefix(tables, "|") || strings.HasPrefix(tables, "!")
}

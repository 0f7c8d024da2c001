package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/ptrace"
)

// process is the process that sysprof runs in, as far as sysprof has to do with it.
type process struct {
	stdin, stdout, stderr *os.File
	origin                *ptrace.Origin // nil if not known
	own                   bool           // it is ours alone: its descriptors may be closed, its signals taken
	signals               chan os.Signal // of catchBlocked; may be nil
	messages              *messages      // to stderr
	begun                 atomic.Bool    // something that is traced may run
	garbage               garbage
	start                 *ptrace.Haste // until something that is traced runs; may be nil
	finish                finish
}

// streams are what outputs are told of it.
func (p *process) streams() session.Streams {
	return session.Streams{Stdout: p.stdout, Stderr: p.stderr, Messages: p.messages, Say: p.messages.say, ASCII: p.messages.ascii}
}

// ending is how the process is to end.
type ending struct {
	status int            // the exit status, if not by a signal
	signal syscall.Signal // 0, or what it dies of
}

// The exit statuses that are sysprof's own, and not the command's. 126 and 127 are the shell's
// (POSIX, "Shell Command Language", 2.8.2).
const (
	statusFailure       = 1
	statusUsage         = 2
	statusNotExecutable = 126
	statusNotFound      = 127
)

// leave ends the process.
func (e ending) leave() {
	if e.signal != 0 {
		ptrace.DieOf(e.signal)
		os.Exit(128 + int(e.signal)) // it did not end us: as a shell would put it
	}
	os.Exit(e.status)
}

// run is the whole program.
func (p *process) run(args []string) ending {
	p.messages = newMessages(p.stderr, !utf8Locale(os.Getenv))
	catchBrokenPipes()
	opt, err := parseOptions(args)
	switch {
	case err != nil:
		p.messages.say(err)
		return ending{status: statusUsage}
	case opt.help:
		io.WriteString(p.stdout, helpText)
		return ending{}
	case opt.version:
		fmt.Fprintln(p.stdout, versionLine())
		return ending{}
	case opt.completions != "":
		io.WriteString(p.stdout, completions[opt.completions](opt.offered()))
		return ending{}
	}
	if len(opt.fromJSON) > 0 || opt.bench.rounds > 0 || opt.outputs.StartProgram() {
		p.start.Enough() // it takes long, or starts programs, which would be in haste, too
		p.start = nil
	}
	if opt.view != "" || len(opt.against.files) > 0 || len(opt.fromJSON) > 0 || opt.bench.rounds > 0 {
		p.garbage.collect()
	}
	var end ending
	switch {
	case opt.view != "":
		err = p.view(opt.view)
	case len(opt.against.files) > 0:
		end, err = p.showDifference(opt)
	case len(opt.fromJSON) > 0:
		end, err = p.showSaved(opt)
	case opt.bench.rounds > 0:
		end, err = p.compare(opt)
	default:
		end, err = p.profile(opt)
	}
	if err != nil {
		p.messages.say(err)
		return endingOf(err)
	}
	return end
}

// endingOf is how the process is to end for what kept sysprof from its work. A command that died in its execve, as one
// does whose program turns out not to fit when the former one is gone (execve(2), "point of no return"), has died for the
// shell, too.
func endingOf(err error) ending {
	if killed := (*ptrace.KilledError)(nil); errors.As(err, &killed) {
		return ending{signal: killed.Signal}
	}
	return ending{status: statusOf(err)}
}

// statusOf is the exit status for what kept sysprof from its work.
func statusOf(err error) int {
	var exec *ptrace.ExecError
	switch {
	case errors.Is(err, errCommandNotFound):
		return statusNotFound
	case errors.Is(err, errNotExecutable):
		return statusNotExecutable
	case errors.As(err, &exec) && errors.Is(err, fs.ErrNotExist):
		return statusNotFound
	case errors.As(err, &exec):
		return statusNotExecutable
	}
	return statusFailure
}

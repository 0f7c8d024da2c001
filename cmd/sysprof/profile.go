package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/ptrace"
)

// profile traces what the options say, and writes what they ask for.
func (p *process) profile(opt *options) (ending, error) {
	if err := enoughDescriptors(); err != nil {
		return ending{}, err
	}
	inherited := inheritedDescriptors()
	command, err := p.command(opt)
	if err != nil {
		return ending{}, err
	}
	s, engine, err := newSession(opt, command)
	if err != nil {
		return ending{}, err
	}
	out, err := session.OpenOutput(opt.output, opt.appending, p.stdout, p.stderr)
	if err != nil {
		return ending{}, err
	}
	r := &run{
		engine:   engine,
		signals:  catchSignals(p.origin, len(opt.command) == 0),
		duration: opt.duration,
		attached: len(opt.attach) > 0,
	}
	if err := s.Start(); err != nil {
		return ending{}, errors.Join(explainLaunch(err, opt), out.Close())
	}
	ownTerminal := p.ownTerminal(opt)
	if command != nil && p.own {
		closeInherited(inherited, opt.output != "", opt.outputs.JSON, opt.outputs.CSV, opt.outputs.Pprof)
	}
	var status *session.StatusLine
	if ownTerminal {
		status = s.ShowStatus(p.stderr)
	}
	r.follow(func() {
		if err := s.Write(out, out.Look()); err != nil {
			fmt.Fprintf(os.Stderr, "sysprof: write the summary so far: %v\n", err)
		}
	})
	_, err = engine.Warnings()
	status.Clear()
	if err != nil {
		return ending{}, errors.Join(err, out.Close())
	}
	err = errors.Join(s.Write(out, out.Look(), losesPrivileges(command)...), out.Close())
	r.awaitFiltered(p.stderr, opt.outputs.Quiet)
	if err != nil {
		err = fmt.Errorf("write the summary: %w", err)
		if r.stoppedBy == 0 {
			return ending{}, err
		}
		fmt.Fprintf(p.stderr, "sysprof: %v\n", err)
	}
	return r.ending(), nil
}

// newSession prepares a run and its engine.
func newSession(opt *options, command *ptrace.Command) (*session.Session, session.Engine, error) {
	config := opt.config(command)
	filter := opt.filter(config.Watched())
	config.GapsHaveCalls = filter != nil
	engine := session.Ptrace(ptrace.Options{
		Command:    command,
		Attach:     opt.attach,
		Follow:     !opt.noFollow,
		KillOnExit: opt.killOnExit,
		CPUTime:    opt.outputs.CPU,
		CPU:        opt.cpu,
		Filter:     filter,
	}, !opt.raw && opt.overhead == nil)
	s, err := session.New(config, engine)
	return s, engine, err
}

// config is what a run counts and writes.
func (o *options) config(command *ptrace.Command) session.Config {
	return session.Config{
		Trace:      o.trace,
		Statuses:   o.statuses,
		Raw:        o.raw,
		ByHand:     o.overhead,
		Program:    o.program(command),
		Stacks:     o.stacks,
		Labels:     o.labels,
		Debuginfod: o.debuginfod,
		Outputs:    o.outputs,
		Meta:       session.Meta{Version: versionLine(), Command: o.command, PIDs: o.attach, CPUs: runtime.NumCPU()},
	}
}

// program is the file that is profiled.
func (o *options) program(command *ptrace.Command) string {
	if command == nil {
		program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", o.attach[0]))
		return program
	}
	path, _ := filepath.Abs(command.Path) // as mappings have it
	program, _ := filepath.EvalSymlinks(path)
	return program
}

// filter is what the command is to be stopped at, nil if at all calls. watched are calls that have to be seen
// besides those that are asked for.
func (o *options) filter(watched []string) *ptrace.Filter {
	switch {
	case o.seccomp == filterOff, o.trace == nil, o.trace.All():
		return nil
	case len(o.command) == 0, len(o.attach) > 0, o.noFollow: // see ptrace.Filter
		return nil
	}
	return &ptrace.Filter{Calls: o.trace, Also: watched}
}

// showSaved writes the tables of a run that was saved with --json.
func (p *process) showSaved(opt *options) error {
	snapshot, meta, err := session.ReadSaved(opt.fromJSON)
	if err != nil {
		return err
	}
	out, err := session.OpenOutput(opt.output, opt.appending, p.stdout, p.stderr)
	if err != nil {
		return err
	}
	if err := errors.Join(opt.outputs.Write(out, out.Look(), snapshot, meta), out.Close()); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/ptrace"
)

// profile traces what the options say, and writes what they ask for.
func (p *process) profile(opt *options) (ending, error) {
	if err := enoughDescriptors(); err != nil {
		return ending{}, err
	}
	p.garbage.collectSoon()
	inherited := inheritedDescriptors()
	command, err := p.command(opt)
	if err != nil {
		return ending{}, err
	}
	finder, err := opt.find()
	if err != nil {
		return ending{}, err
	}
	view, err := p.prepareLive(opt)
	if err != nil {
		return ending{}, err
	}
	defer view.end()
	announcer := p.announcer(opt)
	s, engine, err := p.newSession(opt, command, announcer)
	if err != nil {
		return ending{}, err
	}
	files, err := opt.outputs.Open(p.streams())
	if err != nil {
		return ending{}, err
	}
	if err := s.WriteSlow(files); err != nil {
		return ending{}, err
	}
	r := newRun(engine, catchSignals(p.signals, p.origin, len(opt.command) == 0), opt, &p.finish)
	r.view = view.process()
	started, obeyNoMore := r.obeyStops(p)
	if err := s.Start(); err != nil {
		obeyNoMore()
		r.close(files)
		return ending{}, explainLaunch(err, opt)
	}
	view.begin(opt, s, engine)
	started()
	ownTerminal, keepStderr := p.ownTerminal(opt), func() {}
	if command != nil && p.own {
		closeInherited(inherited)
		if opt.outputs.Tables != "" {
			keepStderr = p.messages.share(engine.Launched().PID())
			defer keepStderr()
		}
	}
	var status *session.StatusLine
	if ownTerminal && (opt.outputs.Interval == 0 && opt.slower.AtLeast == 0 || opt.outputs.Tables != "") && view == nil {
		status = s.ShowStatus(p.streams())
	}
	announcer.above(status)
	if finder != nil {
		go p.newWatcher(opt, finder, s, engine, announcer).watch()
	}
	r.follow( // what goes wrong is said, and may go well the next time
		func(ctx context.Context) {
			if !view.hides(opt) {
				s.WriteSoFar(ctx, files)
			}
		},
		func(ctx context.Context) { s.WriteInterval(ctx, files) },
	)
	_, err = engine.Warnings()
	announcer.close()
	shown := status.Clear() || view != nil
	r.write(func(context.Context) error { view.end(); return nil })
	if err != nil {
		r.close(files)
		return ending{}, err
	}
	if !r.commandRuns() {
		keepStderr() // until all is said
	}
	newline := !shown && opt.outputs.Tables == "" && r.endedByKey() && echoesKeys(p.stderr)
	err = r.write(func(ctx context.Context) error {
		if newline {
			io.WriteString(p.stderr, "\n")
		}
		return errors.Join(s.Write(ctx, files, losesPrivileges(command, &opt.engine)...), files.Close(ctx))
	})
	p.finish.over()
	endOutput := view.followOutput()
	r.awaitFiltered(p.messages, opt.outputs.Quiet)
	obeyNoMore()
	end := r.ending()
	endOutput(r.signals)
	if (err != nil || view.hasFailed()) && end == (ending{}) { // it has been said
		end.status = statusFailure
	}
	return end, nil
}

// newSession prepares a run and its engine.
func (p *process) newSession(opt *options, command *ptrace.Command, announcer *announcer) (*session.Session, session.Engine, error) {
	config := opt.config(command)
	if config.Groups != nil {
		p.garbage.leave(groupsGarbage)
	}
	config.BeforeNames = p.finish.over
	engine, err := p.newEngine(opt, command, &config, announcer)
	if err != nil {
		return nil, nil, err
	}
	s, err := session.New(config, engine)
	return s, engine, err
}

// finish is the haste in which a run is brought to its end, and written, as far as that is over soon.
type finish struct{ haste atomic.Pointer[ptrace.Haste] }

// begin is called by one goroutine only.
func (f *finish) begin() {
	if f.haste.Load() == nil {
		f.haste.Store(ptrace.Hurry())
	}
}

func (f *finish) over() { f.haste.Load().Enough() }

// truth is how it is measured what tracing adds.
func (o *options) truth() session.Truth {
	if o.raw || o.overhead != nil {
		return session.TruthNotAtAll
	}
	return o.controls
}

// config is what a run counts and writes.
func (o *options) config(command *ptrace.Command) session.Config {
	labels, groups, only := o.projection()
	if groups != nil && !o.outputs.NoGroups {
		o.outputs.By = groups.By()
	}
	return session.Config{
		Trace:      o.trace,
		Statuses:   o.statuses,
		Raw:        o.raw,
		ByHand:     o.overhead,
		Paths:      o.selection.files,
		Open:       o.attaches() || o.duration > 0 || o.engine.everybody,
		Slower:     o.slower,
		Program:    o.program(command),
		Stacks:     o.stacks,
		MaxDepth:   o.maxDepth,
		Labels:     labels,
		Groups:     groups,
		Only:       only,
		MaxSamples: o.maxSamples,
		Debuginfod: o.debuginfod,
		Singles:    o.live,
		Outputs:    o.outputs,
		Meta:       session.Meta{Version: versionLine(), Command: o.command, PIDs: o.processes(), CPUs: runtime.NumCPU(), Traced: o.traced()},
	}
}

// traced names what is traced: a command by its program, processes by their names and numbers.
func (o *options) traced() string {
	switch {
	case o.engine.everybody:
		return "all processes"
	case len(o.command) > 0:
		return filepath.Base(o.command[0])
	}
	const most = 3
	var names []string
	all := slices.DeleteFunc(o.processes(), func(pid int) bool { return unix.Kill(pid, 0) == unix.ESRCH })
	for _, pid := range all[:min(len(all), most)] {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, fmt.Sprintf("%s (%d)", strings.TrimSpace(string(comm)), pid))
	}
	if more := len(all) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// filter is what the command is to be stopped at, nil if at all calls. watched are calls that have to be seen
// besides those that are asked for.
func (o *options) filter(watched []string) *ptrace.Filter {
	switch {
	case o.seccomp == filterOff, len(o.command) == 0, o.attaches(), o.noFollow: // see ptrace.Filter
		return nil
	}
	calls := o.stopsAt()
	if calls == nil {
		return nil
	}
	return &ptrace.Filter{Calls: calls, Also: watched}
}

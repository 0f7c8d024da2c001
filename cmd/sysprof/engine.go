package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/profile/inkernel"
	"sysprof/profile/label"
	"sysprof/ptrace"
)

// engineChoice is which engine sees the calls.
type engineChoice struct {
	name      string // one of engineNames; "": not said
	everybody bool   // -a
	timed     int    // of frequent and short calls one of so many is timed; 0: all are
}

// The engines by their names.
const (
	byPtrace = "ptrace"
	byKernel = "kernel"
	byAuto   = "auto"
	byBoth   = "both"
)

var engineNames = []string{byPtrace, byKernel, byAuto, byBoth}

func (o *options) declareEngine(d declarations) {
	d.arg(0, "engine", func(s string) error {
		for _, name := range engineNames {
			if s == name {
				o.engine.name = s
				return nil
			}
		}
		return fmt.Errorf("%q is no engine; there are %s", s, strings.Join(engineNames, ", "))
	})
	d.flag('a', "all", func() { o.engine.everybody = true })
	d.arg(0, "timed", o.chooseTimed)
}

// chooseTimed takes the argument of --timed: 1/N.
func (o *options) chooseTimed(s string) error {
	const most = 1024
	one, of, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(of)
	if err != nil || one != "1" || n < 1 || n > most {
		return fmt.Errorf("%q is no share of the calls; want one from 1/1 to 1/%d, as 1/16", s, most)
	}
	o.engine.timed = n
	return nil
}

// checkEngine finds what is wrong with the choice of the engine.
func (o *options) checkEngine() error {
	e := &o.engine
	switch {
	case e.name == "" && e.everybody:
		e.name = byKernel // no other one can
	case e.name == "":
		e.name = byPtrace
	}
	switch {
	case e.everybody && (e.name == byPtrace || e.name == byBoth):
		return fmt.Errorf("-a counts the calls of the whole machine, which --engine=%s cannot: leave that out, or name processes with -p", e.name)
	case e.everybody && o.attaches():
		return errors.New("-a counts all processes, and -p, --name or --cgroup some of them; leave one of them out")
	case e.name == byBoth && o.searches():
		return errors.New("--tree, --name and --cgroup do not go with --engine=both, which has to begin with all processes at once: name them with -p")
	case e.name == byBoth && o.noFollow:
		return errors.New("--no-follow does not go with --engine=both: counting in the kernel has threads and children always counted with their parents")
	case e.timed > 0 && e.name == byPtrace:
		return errors.New("--timed is for counting in the kernel, where taking the time is what costs: add --engine=kernel")
	case e.name == byKernel:
		if cannot := o.kernelCannot(); cannot != "" {
			return errors.New(cannot)
		}
	}
	return nil
}

// kernelCannot says what of the options cannot be done by counting in the kernel; "": all of it can.
func (o *options) kernelCannot() string {
	switch {
	case o.outputs.Pprof != "" && o.hasLabel("fd"):
		return "--labels=fd needs a look at each call, which counting in the kernel does not have: use --engine=ptrace"
	case o.groups.unaddable() != "":
		return fmt.Sprintf("--by and --only by %s need a look at each call, which counting in the kernel does not have: use --engine=ptrace", o.groups.unaddable())
	case o.slower.AtLeast > 0 && o.engine.timed > 1:
		return "--timed does not go with --slower, which takes the time of each call: leave one of them out"
	case o.slower.AtLeast > 0 && len(o.groups.only) > 0:
		return "--slower goes with --only where each call is seen, which counting in the kernel does not: use --engine=ptrace"
	case o.slower.Stacks && o.outputs.Pprof == "":
		return "--slower has stacks where threads are stopped at their calls, as counting in the kernel does not: use --engine=ptrace"
	case len(o.selection.paths) > 0:
		return "-P needs single calls, which counting in the kernel does not see: use --engine=ptrace"
	case o.outputs.CPU:
		return "--time=cpu needs a look at each call, which counting in the kernel does not have: use --engine=ptrace"
	case o.noFollow:
		return "--no-follow is for --engine=ptrace: counting in the kernel has threads and children always counted with their parents"
	case o.killOnExit:
		return "--kill-on-exit is for --engine=ptrace: counting in the kernel has no hold on the command"
	case o.seccomp == filterAsked:
		return "--seccomp-bpf is for --engine=ptrace, to stop a command at fewer calls: counting in the kernel stops it at none"
	case o.cpu != ptrace.CPUAuto && o.cpu != ptrace.CPUOff:
		return "--cpu is for --engine=ptrace: counting in the kernel pins nothing to any CPU"
	case o.overhead != nil:
		return "-O is for --engine=ptrace: counting in the kernel adds nothing to latencies that could be taken off"
	}
	return ""
}

// newEngine makes the engine that was chosen. By auto that is the kernel's where it may count and can do what is asked.
func (p *process) newEngine(opt *options, command *ptrace.Command, config *session.Config, announcer *announcer) (session.Engine, error) {
	choice := &opt.engine
	switch choice.name {
	case byPtrace:
		return session.Ptrace(p.ptraceOptions(opt, command, config, announcer), opt.truth()), nil
	case byBoth:
		engine, err := session.Both(p.ptraceOptions(opt, command, config, announcer), opt.truth(), opt.trace, opt.engine.timed)
		return engine, withOtherEngine(err, choice)
	}
	why := opt.kernelCannot()
	if why == "" {
		engine, err := p.kernelEngine(opt, command, config)
		var refused *inkernel.Refused
		if err == nil || choice.name == byKernel || !errors.As(err, &refused) {
			return engine, withOtherEngine(err, choice)
		}
		why = err.Error()
	}
	if choice.everybody {
		return nil, errors.New(why)
	}
	p.messages.say(fmt.Errorf("--engine=auto: ptrace, as %s", strings.TrimSuffix(why, ": use --engine=ptrace")))
	return session.Ptrace(p.ptraceOptions(opt, command, config, announcer), opt.truth()), nil
}

// withOtherEngine adds to a refusal that the other engine may do.
func withOtherEngine(err error, choice *engineChoice) error {
	var refused *inkernel.Refused
	if errors.As(err, &refused) && !choice.everybody {
		return fmt.Errorf("%w; --engine=ptrace does without", err)
	}
	return err
}

func (p *process) ptraceOptions(opt *options, command *ptrace.Command, config *session.Config, announcer *announcer) ptrace.Options {
	filter := opt.filter(config.Watched())
	config.GapsHaveCalls = filter != nil
	return ptrace.Options{
		Command:        command,
		Attach:         opt.attach,
		Found:          opt.selection.found,
		Grows:          opt.searches(),
		Follow:         !opt.noFollow,
		KillOnExit:     opt.killOnExit,
		CPUTime:        opt.outputs.CPU,
		CPU:            opt.cpu,
		LookFromFirst:  config.Labels.Index(label.State) >= 0,
		Filter:         filter,
		OnAttachFailed: p.messages.say, // it may be long until the table
		OnAttached:     announcer.onAttached(),
		OnEnded:        announcer.onEnded(),
		OnBegin:        func() { p.begun.Store(true) },
		Haste:          p.start,
	}
}

func (p *process) kernelEngine(opt *options, command *ptrace.Command, config *session.Config) (session.Engine, error) {
	return session.Kernel(session.KernelOptions{
		Command:        command,
		Attach:         opt.processes(),
		Grows:          opt.searches(),
		Everybody:      opt.engine.everybody,
		Calls:          opt.trace,
		By:             config.KernelFields(),
		ByExits:        config.Only != nil,
		Timed:          opt.engine.timed,
		Draws:          opt.outputs.Pprof != "",
		Slower:         opt.slowerInKernel(),
		OnAttachFailed: p.messages.say,
		OnBegin:        func() { p.begun.Store(true) },
		Haste:          p.start,
	})
}

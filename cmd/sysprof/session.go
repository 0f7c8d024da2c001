package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
	"sysprof/report"
)

// session is one run of the tracer with all that belongs to it.
type session struct {
	opt     *options
	out     *output
	profile *profile.Profile
	samples *samples // nil: no stacks are asked for
	tracer  *ptrace.Tracer
	signals chan os.Signal
	calls   atomic.Int64 // finished so far, counted or not

	transits transits

	stoppedBy syscall.Signal // the signal that made us stop tracing, 0 if none did
}

// profile traces what the options say, and writes the tables.
func (p *process) profile(opt *options) (ending, error) {
	if err := enoughDescriptors(); err != nil {
		return ending{}, err
	}
	inherited := inheritedDescriptors()
	command, err := p.command(opt)
	if err != nil {
		return ending{}, err
	}
	s := &session{opt: opt, profile: profile.New(), samples: newSamples(opt, command)}
	if s.out, err = p.openOutput(opt); err != nil {
		return ending{}, err
	}
	filter := opt.filter()
	if filter != nil {
		s.profile.GapsHaveCalls()
	}
	s.catchSignals(p.origin)
	s.tracer, err = ptrace.Start(ptrace.Options{
		Command:    command,
		Attach:     opt.attach,
		Follow:     !opt.noFollow,
		KillOnExit: opt.killOnExit,
		Sink:       s,
		CPUTime:    opt.cpuTime,
		CPU:        opt.cpu,
		Filter:     filter,
		OnEntry:    s.samples.onEntry(),

		OnCalibration: s.calibration(),
	})
	if err != nil {
		return ending{}, errors.Join(explainLaunch(err, opt), s.out.close())
	}
	s.correct()
	ownTerminal := p.ownTerminal(opt)
	if command != nil && p.own {
		release(inherited, opt.output != "", opt.json, opt.csv, opt.pprof)
	}
	var status *statusLine
	if ownTerminal {
		status = p.showStatus(s, &s.calls)
	}
	s.follow()
	result, err := s.tracer.Result()
	status.clear()
	if err != nil {
		return ending{}, errors.Join(err, s.out.close())
	}
	result.Warnings = append(result.Warnings, losesPrivileges(command)...)
	err = errors.Join(s.write(result.Warnings), s.out.close())
	s.keep(p.stderr)
	result, _ = s.tracer.Result() // it has the command's end by now
	if err != nil {
		err = fmt.Errorf("write the summary: %w", err)
		if s.stoppedBy == 0 {
			return ending{}, err
		}
		fmt.Fprintf(p.stderr, "sysprof: %v\n", err)
	}
	return s.ending(result), nil
}

// Feed returns what one tracer thread calls with every finished call.
func (s *session) Feed() func(*profile.Call) {
	shard, opt := s.profile.Shard(), s.opt
	return func(c *profile.Call) {
		s.calls.Add(1)
		outcome := successful
		if c.Errno != 0 {
			outcome = failed
		}
		counted := opt.statuses&outcome != 0 && (opt.trace == nil || opt.trace.Has(c.ABI, c.Nr))
		if counted {
			shard.Add(c)
		} else {
			shard.Skip(c)
		}
		if s.samples != nil {
			s.samples.add(c, counted)
		}
	}
}

// transits are what tracing adds to calls, where tracer and tracee share a CPU and elsewhere. Both nil:
// latencies remain raw.
type transits struct{ placed, apart *profile.Transit }

// calibration returns what the tracer calls with every call of its calibration children, nil if nothing is
// to be calibrated.
func (s *session) calibration() func(*profile.Call) {
	switch {
	case s.opt.raw:
		return nil
	case s.opt.overhead != nil:
		s.transits.placed = profile.ByHandTransit(*s.opt.overhead)
		return nil
	}
	const warmUp = 64 // calls
	placed, apart := profile.NewTransit(), profile.NewTransit()
	s.transits = transits{placed, apart}
	var seenPlaced, seenApart int
	return func(c *profile.Call) {
		t, seen := placed, &seenPlaced
		if c.CrossCPU {
			t, seen = apart, &seenApart
		}
		switch *seen++; {
		case *seen <= warmUp:
		case c.Nr == ptrace.CalibrationCall:
			t.Add(c)
		default:
			t.AddReference(c)
		}
	}
}

// correct makes the profile correct its latencies by what the calibrations showed.
func (s *session) correct() {
	for _, c := range s.tracer.Calibrations() {
		t := s.transits.placed
		if c.CrossCPU {
			t = s.transits.apart
		}
		t.Untraced(c.UntracedNs, c.BatchCalls)
		for _, r := range c.References {
			t.Reference(r.Nrs, r.UntracedNs, r.BatchCalls)
		}
	}
	s.profile.Correct(s.transits.placed, s.transits.apart)
}

// InFlight takes a call that was never seen to return.
func (s *session) InFlight(f *profile.InFlight) {
	outcome := unfinished
	if f.Why == profile.Detached {
		outcome = detached
	}
	if s.opt.statuses&outcome == 0 || s.opt.trace != nil && !s.opt.trace.Has(f.ABI, f.Nr) {
		return
	}
	s.profile.AddInFlight(*f)
}

// Ended takes the end of a thread.
func (s *session) Ended(pid, tid int32) {
	if s.samples != nil {
		s.samples.ended(pid, tid)
	}
}

// catchSignals takes over the signals that end a run or ask for a table. One that was ignored when
// sysprof was started remains so: nohup means it. But a shell without job control starts all its
// background jobs with SIGINT and SIGQUIT ignored, and a script that sends one of them to a sysprof that is
// only attached means that: there is nothing else that could end it.
func (s *session) catchSignals(origin *ptrace.Origin) {
	if origin != nil {
		ptrace.DropPending(origin.Pending) // they are the command's, see ptrace.Origin
	}
	s.signals = make(chan os.Signal, 16)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1} {
		ignored := signal.Ignored(sig) || origin != nil && origin.Ignored&(1<<(sig-1)) != 0
		onlyAttached := len(s.opt.command) == 0
		if ignored && !(onlyAttached && (sig == syscall.SIGINT || sig == syscall.SIGQUIT)) {
			signal.Ignore(sig) // the runtime has put a handler in its place
			continue
		}
		signal.Notify(s.signals, sig)
	}
}

// follow waits for the end of the run, and does meanwhile what signals ask for.
func (s *session) follow() {
	var timeUp <-chan time.Time
	if s.opt.duration > 0 {
		timeUp = time.After(s.opt.duration)
	}
	var commandEnded <-chan struct{}
	if command := s.tracer.Command(); command != nil {
		commandEnded = command.Ended()
	}
	hasCommand, told := commandEnded != nil, false
	for {
		select {
		case <-s.tracer.Counted():
			return
		case <-timeUp:
			s.tracer.Stop()
		case <-commandEnded:
			commandEnded = nil
			hasCommand = false
			if told && len(s.opt.attach) > 0 {
				s.tracer.Stop() // the signal was meant for all of it
			}
		case got := <-s.signals:
			sig := got.(syscall.Signal)
			select {
			case <-commandEnded: // both have come, and this came first
				commandEnded, hasCommand = nil, false
			default:
			}
			switch {
			case sig == syscall.SIGUSR1:
				if err := s.write(nil); err != nil {
					fmt.Fprintf(os.Stderr, "sysprof: write the summary so far: %v\n", err)
				}
			case hasCommand:
				// The command decides what becomes of it, and of the run.
				told = true
				go s.tracer.Command().PassOn(sig, time.Now())
			default:
				s.stoppedBy = sig
				s.tracer.Stop()
			}
		}
	}
}

// snapshot returns what has been counted so far.
func (s *session) snapshot(warnings []profile.Warning) *profile.Snapshot {
	snapshot := s.profile.SnapshotAfter(s.tracer.Progress().Elapsed)
	snapshot.Warnings = append(snapshot.Warnings, warnings...)
	return snapshot
}

// write writes what has been counted so far.
func (s *session) write(warnings []profile.Warning) error {
	snapshot := s.snapshot(warnings)
	meta := s.meta()
	var failures []error
	if s.samples != nil {
		if err := replaceFile(s.opt.pprof, func(w io.Writer) error { return s.samples.write(w, snapshot, meta) }); err != nil {
			failures = append(failures, fmt.Errorf("write %s: %w", s.opt.pprof, err))
		}
	}
	return errors.Join(append(failures, s.opt.writeTables(s.out, s.out.look(), snapshot), s.opt.writeFiles(snapshot, meta))...)
}

// meta says what a snapshot is of.
func (s *session) meta() report.Meta {
	progress := s.tracer.Progress()
	host, _ := os.Hostname()
	var u unix.Utsname
	unix.Uname(&u)
	return report.Meta{
		Version:  versionLine(),
		Command:  s.opt.command,
		PIDs:     s.opt.attach,
		Start:    progress.Start,
		Duration: progress.Elapsed,
		Host:     host,
		Kernel:   unix.ByteSliceToString(u.Release[:]),
		Arch:     unix.ByteSliceToString(u.Machine[:]),
		CPUs:     runtime.NumCPU(),
	}
}

// ending says how sysprof ends: by the signal that made it stop, or as its command did.
func (s *session) ending(result ptrace.Result) ending {
	status, ended := result.Command, result.CommandEnded
	if command := s.tracer.Command(); command != nil && !ended {
		// It runs on untraced, and is still our child: somebody waits for us to know how it ends.
		status, ended = command.Await(s.signals)
	}
	switch {
	case s.stoppedBy != 0:
		return ending{signal: s.stoppedBy}
	case !ended:
		return ending{}
	case status.Signaled():
		return ending{signal: status.Signal()}
	}
	return ending{status: status.ExitStatus()}
}

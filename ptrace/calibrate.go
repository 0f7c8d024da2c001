package ptrace

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// Calibration is what a child that makes the cheapest of all calls took for them, by its own clock,
// first untraced and then traced as everything else is. The difference is what tracing costs.
type Calibration struct {
	CrossCPU   bool    // tracer and tracee were not pinned to one CPU
	BatchCalls int     // calls a batch
	UntracedNs []int64 // a batch each
	TracedNs   []int64
}

// CalibrationCall is the number of the call that the calibration child makes: getppid(2) takes no
// argument, touches no memory of the caller's, and cannot be answered without the kernel.
const CalibrationCall = unix.SYS_GETPPID

const (
	calibrationBatches = 3
	calibrationCalls   = 24 // a batch; all batches together are 1 ms of traced calls, on one CPU
	crossCPUBatches    = 1  // more, across CPUs, whose calls take several times as long

	mostCalibrationBatches = calibrationBatches + crossCPUBatches

	clockCallsABatch = 2 // of the child, to time it
)

// calibrateAll calibrates for where the tracees are going to run: on the tracer's CPU, and, where that is so for some of
// their calls only, elsewhere.
//
// Precondition: the caller is the tracer thread and nothing is traced yet.
func (w *worker) calibrateAll(to profile.Feeder) error {
	defer func() {
		w.home.RestoreAll()
		w.rest()
	}()
	sameCPU, crossCPU := calibrationBatches, crossCPUBatches
	switch m := w.t.machine; {
	case !m.Pins():
		sameCPU, crossCPU = 0, calibrationBatches
	case m.OneCPU():
		crossCPU = 0
	}
	if err := w.calibrate(to, sameCPU, crossCPU); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	return nil
}

// calibrate lets a child make so many batches of calls on the tracer's CPU, and then so many wherever it runs, and hands
// those that are traced over. Nothing is known then if somebody ended the child, as a ^C at the terminal does.
//
// The child is forked and executes nothing, so it makes no call but those that are asked of it, and it is traced by the
// very loop that traces everything else. There is but one, since what this process writes to after a fork is copied page by
// page: after each of several, again.
func (w *worker) calibrate(to profile.Feeder, sameCPU, crossCPU int) error {
	page, err := raw.MapShared[calibrationPage]()
	if err != nil {
		return fmt.Errorf("map a page to share with a child: %w", err)
	}
	defer raw.UnmapShared(page)
	page.batches = sameCPU + crossCPU
	page.gate.parent = int32(unix.Getpid())
	pid, err := w.forkCalibrated(page, sameCPU > 0)
	if err != nil {
		return err
	}
	fastestNs := int64(math.MaxInt64)
	var gaps []int64
	clockCalls := 0
	feed, decide := w.feed, w.controls
	w.controls = controls{mode: min(decide.mode, controlsHalf)}
	w.feed = calibration{to, func(c *profile.Call) {
		to.Call(c)
		fastestNs = min(fastestNs, c.ExitSeenNs-c.EntryResumedNs)
		if c.CrossCPU && c.GapNs >= 0 {
			gaps = append(gaps, c.GapNs)
		}
		if c.Nr != unix.SYS_CLOCK_GETTIME {
			return
		}
		if clockCalls++; clockCalls == clockCallsABatch*sameCPU && crossCPU > 0 {
			w.table.tracees[pid].place.NeverPin()
			w.home.RestoreAll()
		}
	}}
	w.traceCalibrated(page, pid)
	w.feed, w.controls = feed, decide
	if err := w.t.failed(); err != nil {
		unix.Kill(int(pid), unix.SIGKILL)
		return err
	}
	// With one tracee nobody waits in line: this is how soon a stop can follow upon a resumption.
	// Half of it leaves room for a machine that becomes faster.
	if w.t.queuedBelowNs == 0 || fastestNs/2 < w.t.queuedBelowNs {
		w.t.queuedBelowNs = fastestNs / 2
	}
	if slices.Sort(gaps); len(gaps) > 0 {
		w.t.machine.SetWake(gaps[len(gaps)/2])
	}
	w.t.calibrations = page.calibrations(sameCPU)
	return nil
}

// calibration takes the calls and controls of a calibration.
type calibration struct {
	profile.Feeder
	call func(*profile.Call)
}

func (c calibration) Call(call *profile.Call) { c.call(call) }

// forkCalibrated forks a calibration child, pinned to the tracer's CPU or not, and returns when it is seized and makes its
// untraced calls, or has made them.
func (w *worker) forkCalibrated(page *calibrationPage, pinned bool) (pid int32, err error) {
	pid, err = forkCalibration(page, w.filter.calibrationProgram())
	if err != nil {
		return 0, fmt.Errorf("fork: %w", err)
	}
	if err := raw.Seize(pid, w.t.seizeOptions()|unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESECCOMP); err != nil {
		why := whyNoSeize(pid, err) // as long as there is a child to ask
		unix.Kill(int(pid), unix.SIGKILL)
		unix.Wait4(int(pid), nil, unix.WALL, nil)
		return 0, fmt.Errorf("trace a child: %w%s", err, why)
	}
	tr := w.add(pid, pid)
	if pinned {
		tr.place.PinAtAnyPolicy()
		w.home.Pin(&tr.place)
	} else {
		tr.place.NeverPin()
	}
	page.gate.phase.Set(gateSeized)
	for page.gate.phase.Load() == gateSeized {
		page.gate.phase.Wait(gateSeized, childCheckEvery)
		if got, err := unix.Wait4(int(pid), nil, unix.WALL|unix.WNOHANG, nil); err != nil || got != 0 {
			unix.Kill(int(pid), unix.SIGKILL) // another process has ended it, or waited for it
			w.remove(tr)
			return 0, errors.New("the calibration child did not begin")
		}
	}
	return pid, nil
}

// traceCalibrated traces a calibration child until its end, as the command will be traced.
func (w *worker) traceCalibrated(page *calibrationPage, pid int32) {
	raw.Interrupt(pid)
	for w.step() {
		// Its first stop is over, so all of its calls from now on are traced.
		if page.gate.phase.Load() == gateReady && w.table.has(pid) {
			page.gate.phase.Set(gateGo)
		}
		w.filter.calibrating(&page.gate.filter)
	}
	w.filter.calibrating(nil)
}

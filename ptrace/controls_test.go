package ptrace_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// TestControls: a program whose every call is followed by a control makes the calls that it would have made, with the
// results that they would have had.
func TestControls(t *testing.T) {
	for _, name := range []string{"calls", "threads", "forks", "vforks", "registers"} {
		t.Run(name, func(t *testing.T) {
			var controls, wrong atomic.Int64
			file := filepath.Join(t.TempDir(), "ledger")
			s := &sink{control: func(c *profile.Control) {
				controls.Add(1)
				if c.RawNs <= 0 || c.HoldNs < 0 || c.TID == 0 || c.AtNs <= 0 {
					wrong.Add(1)
				}
			}}
			tracer, r := trace(t, ptrace.Options{Command: targetCommand(file, name), Follow: true, Sink: s, Controls: ptrace.ControlsEvery})
			result := finish(t, tracer)
			if result.Command.ExitStatus() != 0 {
				t.Fatalf("status %#x", uint32(result.Command))
			}
			if n := controls.Load(); n == 0 || n > r.counted.Load() {
				t.Errorf("%d controls in %d calls", n, r.counted.Load())
			}
			if wrong.Load() > 0 {
				t.Errorf("%d controls make no sense", wrong.Load())
			}
		})
	}
}

// TestNoControls: none are made unless they are asked for.
func TestNoControls(t *testing.T) {
	made := 0
	s := &sink{control: func(*profile.Control) { made++ }, call: func(*profile.Call) {}}
	tracer, err := ptrace.Start(ptrace.Options{Command: &ptrace.Command{Path: "/bin/true", Args: []string{"true"}}, Follow: true, Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tracer.Wait(); err != nil || made != 0 {
		t.Errorf("%d controls, %v", made, err)
	}
}

var _ = target("registers", func(l *ledger, args []string) {
	for i := range 2_000 {
		// A result that is no error, and one that is, are as the kernel left them.
		if got := l.call(unix.SYS_GETPID); got != uintptr(unix.Getpid()) {
			l.fault("getpid returned %d", got)
		}
		if got := int64(l.call(unix.SYS_CLOSE, ^uintptr(0))); got != -1 {
			l.fault("%d: close returned %d", i, got)
		}
	}
})

// TestControlsLeaveResults as they are, also where the tracer ends at any moment.
func TestControlsLeaveResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger")
	tracer, _ := trace(t, ptrace.Options{Command: targetCommand(file, "registers"), Follow: true, Controls: ptrace.ControlsEvery})
	finish(t, tracer)
	if l := readLedger(t, file); len(l.Faults) > 0 {
		t.Error(fmt.Sprint(l.Faults))
	}
}

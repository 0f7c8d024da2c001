package main_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
)

// The target has two threads that wait for each other by pipes.
var _ = drive.Target("ping and pong", func([]string) {
	const rounds = 5000
	var ping, pong [2]int
	drive.Must(unix.Pipe2(ping[:], 0))
	drive.Must(unix.Pipe2(pong[:], 0))
	over := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(over)
		ball := make([]byte, 1)
		for range rounds {
			unix.Read(ping[0], ball)
			unix.Write(pong[1], ball)
		}
	}()
	runtime.LockOSThread()
	ball := make([]byte, 1)
	for range rounds {
		unix.Write(ping[1], ball)
		unix.Read(pong[0], ball)
	}
	<-over
})

// TestThreadsThatWaitForEachOther: what tracing costs one of them, the other one waits for. Where all CPUs are busy, waiting for one
// may be most of what a run has: beside three busy loops on two CPUs that was one run in 30.
func TestThreadsThatWaitForEachOther(t *testing.T) {
	const runs, most = 5, 3
	t.Setenv(drive.TargetEnv, "ping and pong")
	marked := 0
	for range runs {
		run := saved(t, nil, drive.Self())
		if run.row(t, "read").UpperBound {
			marked++
		}
		if r := run.row(t, "write"); r.UpperBound {
			t.Errorf("the times of write are upper bounds: %+v", r)
		}
	}
	if marked < most {
		t.Errorf("the times of read are upper bounds in %d of %d runs", marked, runs)
	}
}

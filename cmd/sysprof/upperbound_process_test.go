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

// TestThreadsThatWaitForEachOther: what tracing costs one of them, the other one waits for.
func TestThreadsThatWaitForEachOther(t *testing.T) {
	t.Setenv(drive.TargetEnv, "ping and pong")
	run := saved(t, nil, drive.Self())
	if r := run.row(t, "read"); !r.UpperBound {
		t.Errorf("the times of read are no upper bounds: %+v", r)
	}
	if r := run.row(t, "write"); r.UpperBound {
		t.Errorf("those of write are: %+v", r)
	}
}

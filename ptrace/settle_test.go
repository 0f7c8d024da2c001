package ptrace

import (
	"os/exec"
	"runtime"
	"testing"
	"time"

	"sysprof/ptrace/internal/place"
	"sysprof/syscalltab/needs"
)

// TestEndIsNotHeldUp: one that never answers its interrupt holds the end up for no longer than the bound.
func TestEndIsNotHeldUp(t *testing.T) {
	const bound = 50 * time.Millisecond
	silent := exec.Command("sleep", "1000") // it looks as if it could answer
	began, took, gone := make(chan error), make(chan time.Duration, 1), make(chan struct{})
	onOwnThread(func() {
		err := silent.Start() // a child of this thread, so that there may be stops to come
		began <- err
		if err != nil {
			return
		}
		pid := int32(silent.Process.Pid)
		for stateOf(pid) != 'S' {
			runtime.Gosched()
		}
		w := &worker{t: &Tracer{}, home: place.NewHome(nil, func() {})}
		w.table.tracees = make(map[int32]*tracee)
		w.add(pid, pid).interruptPending = true
		begin := time.Now()
		w.settle(bound)
		took <- time.Since(begin)
	}, func() { close(gone) })
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		silent.Process.Kill()
		<-gone
		silent.Wait()
	})
	select {
	case d := <-took:
		if d < bound {
			t.Errorf("it was not waited for, but for %v", d)
		}
	case <-time.After(needs.Patience()):
		t.Error("it is waited for for ever")
	}
}

// TestNoAlarmAfterTheEnd: the thread that tells of alarms does not come to life again when nobody will end it.
func TestNoAlarmAfterTheEnd(t *testing.T) {
	l := lookout{files: &quota{most: 10}}
	l.stop()
	if fd, _, err := l.open(&worker{}, 1, 0); err == nil || fd != 0 || l.tid != 0 {
		t.Errorf("descriptor %d, error %v, thread %d", fd, err, l.tid)
	}
	if n := l.files.taken.Load(); n != 0 {
		t.Errorf("%d alarms are counted", n)
	}
}

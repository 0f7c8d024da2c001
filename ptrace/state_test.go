package ptrace

import (
	"slices"
	"testing"
	"time"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestRunStates(t *testing.T) {
	for _, test := range []struct {
		name    string
		through []phase // a worker leaves as the second one begins, another one before the end
		is      phase
		counted bool
		done    bool
		elapsed time.Duration
	}{
		{"nothing is traced yet", nil, calibrating, false, false, 0},
		{"it counts", []phase{attaching, launching, counting}, counting, false, false, 90},
		{"it is to stop", []phase{attaching, counting, stopping}, stopping, false, false, 90},
		{"it fails at once", []phase{stopping}, stopping, false, false, 90},
		{"it has stopped", []phase{attaching, counting, stopping, ended}, ended, true, true, 60},
		{"tracees have a filter", []phase{counting, stopping, countingOver}, countingOver, true, false, 40},
		{"the same, at their end", []phase{counting, stopping, countingOver, ended}, ended, true, true, 40},
		{"all tracees have ended", []phase{counting, ended}, ended, true, true, 60},
		{"no way back", []phase{ended, counting, stopping, countingOver}, ended, true, true, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newRunState()
			for i, next := range test.through {
				if i == 1 {
					s.leave(30)
				}
				if next == ended {
					s.leave(70)
				}
				former := s.is()
				if went := s.enter(next, 50); went != (next > former) {
					t.Errorf("from %d to %d: %v", former, next, went)
				}
				s.begin(10)
				s.begin(20)
			}
			if s.is() != test.is || closed(s.counted) != test.counted || closed(s.done) != test.done {
				t.Errorf("it is in state %d, counted %v, done %v", s.is(), closed(s.counted), closed(s.done))
			}
			if got := s.elapsed(100); got != test.elapsed {
				t.Errorf("elapsed: %v, want %v", got, test.elapsed)
			}
		})
	}
}

// All letters are read, in their order, that come before the thread waits for stops, at the last moment, too.
func TestMailbox(t *testing.T) {
	tracer := &Tracer{start: time.Now(), run: newRunState()}
	w := tracer.newWorker()
	var read []int
	letter := func(n int) func() { return func() { read = append(read, n) } }
	w.thread.post(letter(1))
	w.thread.do(letter(2))
	hold := make(chan struct{})
	w.thread.post(func() { <-hold }) // what follows is read at once
	w.thread.post(letter(3))
	w.thread.post(func() { w.thread.post(letter(4)) })
	w.thread.waitForStops()
	close(hold)
	<-w.thread.gone // at once: there are no tracees
	if want := []int{1, 2, 3, 4}; !slices.Equal(read, want) {
		t.Errorf("read: %v, want %v", read, want)
	}
}

func TestFirstNumberOfSchedstat(t *testing.T) {
	for text, want := range map[string]int64{"123456789012 5 6\n": 123456789012, "0 0 0\n": 0, "7": 7, "": 0, "x": 0} {
		if got := firstNumber([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

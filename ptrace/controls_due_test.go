package ptrace

import (
	"testing"

	"sysprof/profile"
)

// TestControlsDoNotSeekPauses: a thread that now and then waits for a CPU makes as few of its controls just after that as
// calls. They come every 2 ms or so all the same.
func TestControlsDoNotSeekPauses(t *testing.T) {
	c := controls{mode: ControlsAuto}
	const callNs, pauseNs, turn, calls = 10_000, 3_000_000, 300, 300_000
	nowNs, made, after := int64(0), 0, 0
	for i := range calls {
		nowNs += callNs
		if i%turn == 0 {
			nowNs += pauseNs
		}
		if c.due(profile.SameCPU, nowNs) {
			c.take(profile.SameCPU, nowNs)
			made++
			if i%turn < 4 {
				after++
			}
		}
	}
	if want := int(nowNs / controlEveryNs); made < want/2 || made > want*2 {
		t.Errorf("%d controls in %d ms, want about %d", made, nowNs/1e6, want)
	}
	if after > made/20 {
		t.Errorf("%d of %d controls are among the four calls after a pause, as 1 call in %d is", after, made, turn/4)
	}
}

// TestControlsFollowTheRate: they come as often when calls become rare, and when they become frequent again.
func TestControlsFollowTheRate(t *testing.T) {
	c := controls{mode: ControlsAuto}
	nowNs := int64(0)
	run := func(calls int, callNs int64) (made int) {
		for range calls {
			nowNs += callNs
			if c.due(profile.SameCPU, nowNs) {
				c.take(profile.SameCPU, nowNs)
				made++
			}
		}
		return made
	}
	run(10_000, 8_000)
	if made := run(2_000, 1_000_000); made < 300 {
		t.Errorf("%d controls in 2000 calls of 1 ms: at most one in four calls is followed by one, and most of those that may be are to be", made)
	}
	if made := run(100_000, 8_000); made < 200 || made > 800 {
		t.Errorf("%d controls in 800 ms, want about 400", made)
	}
}

// TestControlsDoNotGrowOld: a program that has called often and then calls once a second makes a control soon, at any one of
// the next calls but the first.
func TestControlsDoNotGrowOld(t *testing.T) {
	c := controls{mode: ControlsAuto}
	nowNs := int64(0)
	call := func(callNs int64) bool {
		nowNs += callNs
		due := c.due(profile.SameCPU, nowNs)
		if due {
			c.take(profile.SameCPU, nowNs)
		}
		return due
	}
	at := make(map[int]int)
	for range 500 {
		for range 1_000 {
			call(8_000)
		}
		n := 0
		for !call(1_000_000_000) {
			n++
		}
		at[n]++
	}
	soon := 0
	for n := 1; n <= soonCalls; n++ {
		soon += at[n]
		if at[n] < 20 {
			t.Errorf("%d of 500 come after %d calls", at[n], n)
		}
	}
	if soon < 490 {
		t.Errorf("%d of 500 come after 1 to %d calls: %v", soon, soonCalls, at)
	}
}

// TestControlsDoNotSeekLongPauses: nor do those that are drawn anew come where a stop is unlike others.
func TestControlsDoNotSeekLongPauses(t *testing.T) {
	c := controls{mode: ControlsAuto}
	const callNs, pauseNs, turn, calls = 10_000, 2 * oldNs, 3_000, 300_000
	nowNs, made, after := int64(0), 0, 0
	for i := range calls {
		nowNs += callNs
		if i%turn == 0 {
			nowNs += pauseNs
		}
		if c.due(profile.SameCPU, nowNs) {
			c.take(profile.SameCPU, nowNs)
			made++
			if i%turn < 4 {
				after++
			}
		}
	}
	if after > made/20 {
		t.Errorf("%d of %d controls are among the four calls after a pause, as 1 call in %d is", after, made, turn/4)
	}
	t.Logf("%d of %d", after, made)
}

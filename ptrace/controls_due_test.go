package ptrace

import (
	"testing"

	"sysprof/profile"
)

// A stop of these tests takes 10 µs and is held for 5; a control takes as long, and is held for 10.
const testTransitNs, testHoldNs, testControlHoldNs = 10_000, 5_000, 10_250

// called makes a call, and the control that may be due after it.
func called(c *controls, nowNs int64) (due bool) {
	c.paid(&profile.Call{EntryResumedNs: testHoldNs})
	if due = c.due(profile.SameCPU, nowNs); due {
		c.take(profile.SameCPU, nowNs)
		c.took(testTransitNs, testControlHoldNs, false)
	}
	return due
}

// TestControlsDoNotSeekPauses: a thread that now and then waits for a CPU makes as few of its controls just after that as
// calls. They come every 2 ms or so all the same.
func TestControlsDoNotSeekPauses(t *testing.T) {
	c := controls{mode: ControlsAuto}
	const callNs, pauseNs, turn, calls = 30_000, 3_000_000, 300, 300_000
	nowNs, made, after := int64(0), 0, 0
	for i := range calls {
		nowNs += callNs
		if i%turn == 0 {
			nowNs += pauseNs
		}
		if called(&c, nowNs) {
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

// TestControlsFollowTheRate: they come as often when calls become rare, as far as tracing costs enough, and when they become
// frequent again.
func TestControlsFollowTheRate(t *testing.T) {
	c := controls{mode: ControlsAuto}
	nowNs := int64(0)
	run := func(calls int, callNs int64) (made int) {
		for range calls {
			nowNs += callNs
			if called(&c, nowNs) {
				made++
			}
		}
		return made
	}
	run(10_000, 30_000)
	if made := run(2_000, 100_000); made < 25 || made > 110 {
		t.Errorf("%d controls in 2000 calls of 0.1 ms, want 38, and what is left of before", made)
	}
	if made := run(2_000, 10_000_000); made < 100 || made > 250 {
		t.Errorf("%d controls in 2000 calls of 10 ms, want about 150: none gets much older than 0.1 s", made)
	}
	if made := run(30_000, 30_000); made < 200 || made > 800 {
		t.Errorf("%d controls in 900 ms, want about 450", made)
	}
}

// TestControlsArePaidFor: they take no more than their part of what tracing costs, whatever a program does between its calls,
// but for the first ones, and one in 0.1 s; and they come after each call of a loop as often.
func TestControlsArePaidFor(t *testing.T) {
	const calls, turn = 50_000, 18
	for _, callNs := range []int64{1_000, 30_000, 200_000, 5_000_000, 300_000_000} {
		c := controls{mode: ControlsAuto}
		nowNs, made, at := int64(0), 0, [turn]int{}
		for i := range calls {
			nowNs += callNs
			if called(&c, nowNs) {
				made++
				at[i%turn]++
			}
		}
		const controlNs, costNs = testTransitNs + testControlHoldNs, 2 * (testTransitNs + testHoldNs)
		if most := calls*costNs/controlNs/paidBy + firstControls + 1 + min(nowNs/oldNs, calls/2); int64(made) > most {
			t.Errorf("calls of %d ns: %d controls, want at most %d", callNs, made, most)
		}
		if made < 20 {
			t.Errorf("calls of %d ns: only %d controls", callNs, made)
		}
		for i, n := range at {
			if made > 500 && (n < made/turn/3 || n > made/turn*3) {
				t.Errorf("calls of %d ns: %d of %d controls come after call %d of %d", callNs, n, made, i, turn)
			}
		}
	}
}

// TestControlsDoNotGrowOld: a program that has called often and then calls once a second makes a control soon, at any one of
// the next calls but the first.
func TestControlsDoNotGrowOld(t *testing.T) {
	c := controls{mode: ControlsAuto}
	nowNs := int64(0)
	call := func(callNs int64) bool {
		nowNs += callNs
		return called(&c, nowNs)
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
	const callNs, pauseNs, turn, calls = 30_000, 2 * oldNs, 3_000, 300_000
	nowNs, made, after := int64(0), 0, 0
	for i := range calls {
		nowNs += callNs
		if i%turn == 0 {
			nowNs += pauseNs
		}
		if called(&c, nowNs) {
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

package place

import "testing"

// simulate has stops come at these rates a second, of which share stands in line, from one time to another, in ms, and
// returns for how long of it the threads were apart.
func simulate(c *crowd, m *Machine, fromMs, toMs int64, together, apart int, share float64) (apartMs int64) {
	var lined float64
	for now, to := fromMs*ms, toMs*ms; now < to; {
		rate := together
		if c.apart {
			rate = apart
		}
		step := int64(1000*ms) / int64(rate)
		lined += share
		if c.apart {
			apartMs += step
		}
		queued := lined >= 1
		if queued {
			lined--
		}
		if now += step; c.stop(now, queued) {
			c.close(now, 8, m)
			if c.trial == 0 {
				m.trial.Store(0)
			}
		}
	}
	return apartMs / ms
}

func TestCrowd(t *testing.T) {
	const long = 20_000 // ms
	for _, test := range []struct {
		name            string
		together, apart int
		share           float64
		wantApart       bool
		least, most     int64 // ms apart, of the whole time
	}{
		{"apart is faster", 40_000, 60_000, 0.4, true, 0.97 * long, long},
		{"apart is slower", 60_000, 40_000, 0.4, false, 1, 0.02 * long},
		{"a little faster is not worth it", 40_000, 41_000, 0.4, false, 1, 0.02 * long},
		{"nobody stands in line", 40_000, 60_000, 0.1, false, 0, 0},
		{"they sleep most of the time", 1_000, 2_000, 0.4, false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c crowd
			apartMs := simulate(&c, new(Machine), 0, long, test.together, test.apart, test.share)
			if c.trial == 0 && c.apart != test.wantApart {
				t.Errorf("apart = %v", c.apart)
			}
			if apartMs < test.least || apartMs > test.most {
				t.Errorf("apart for %d ms of %d, want %d to %d", apartMs, long, test.least, test.most)
			}
		})
	}
}

func TestCrowdGoesByWhatIsTrueLater(t *testing.T) {
	var c crowd
	m := new(Machine)
	simulate(&c, m, 0, 5_000, 40_000, 60_000, 0.4)
	if !c.apart {
		t.Fatal("not apart")
	}
	simulate(&c, m, 5_000, 20_000, 60_000, 40_000, 0.4)
	if c.apart {
		t.Error("still apart, though it is slower now")
	}
}

func TestCrowdEndsWhenNobodyStandsInLine(t *testing.T) {
	var c crowd
	m := new(Machine)
	simulate(&c, m, 0, 5_000, 40_000, 60_000, 0.4)
	if simulate(&c, m, 5_000, 8_000, 40_000, 60_000, 0); c.apart {
		t.Error("still apart")
	}
}

func TestCrowdSleepsDuringTrial(t *testing.T) {
	var c crowd
	m := new(Machine)
	now := int64(0)
	for c.trial != trialWindows-1 || c.settling {
		simulate(&c, m, now, now+1, 40_000, 60_000, 0.4)
		now++
	}
	simulate(&c, m, now+5_000, now+5_001, 40_000, 60_000, 0.4)
	if c.trial != 0 || c.apart {
		t.Errorf("trial %d, apart %v after a pause", c.trial, c.apart)
	}
}

func TestOneTrialAtATime(t *testing.T) {
	m := new(Machine)
	if !m.mayTry(1*ms) || m.mayTry(2*ms) {
		t.Error("two trials at a time, or none")
	}
	if !m.mayTry(3_000 * ms) {
		t.Error("a Home whose threads have died keeps the others from trying for ever")
	}
}

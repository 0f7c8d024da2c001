package profile

import (
	"testing"

	"sysprof/syscalltab"
)

// counted is a snapshot of calls with these latencies, of number nr, of which the first ones failed with errno 2.
func counted(nr uint64, failed int, ns ...int64) *Snapshot {
	raw := new(Raw)
	row := raw.Calls[SameCPU].Row(Key{syscalltab.AMD64, nr})
	for i, n := range ns {
		errno := int32(0)
		if i < failed {
			errno = 2
		}
		row.Outcome(errno).Latency.Record(n)
	}
	return raw.Snapshot()
}

// TestDisagreementsOfTheKilled: a call that one engine saw return, while its thread was killed, is in flight by the other.
func TestDisagreementsOfTheKilled(t *testing.T) {
	flying := func(s *Snapshot, why Ending, n uint64) *Snapshot {
		s.InFlight = []Flight{{Key: Key{syscalltab.AMD64, 1}, Why: why, Count: n}}
		return s
	}
	for _, tt := range []struct {
		name       string
		one, other *Snapshot
		broken     bool
	}{
		{"killed", flying(counted(1, 0, 100), Killed, 2), flying(counted(1, 0, 100, 200), Killed, 1), true},
		{"replaced", flying(counted(1, 0, 100), Replaced, 1), counted(1, 0, 100, 200), true},
		{"detached", flying(counted(1, 0, 100), Detached, 1), counted(1, 0, 100, 200), false},
		{"more besides", flying(counted(1, 0, 100), Killed, 1), counted(1, 0, 100, 200, 300), false},
	} {
		got := Disagreements(tt.one, tt.other)
		if len(got) != 1 || !got[0].Counts || got[0].Broken != tt.broken {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func many(n int, ns int64) (all []int64) {
	for range n {
		all = append(all, ns)
	}
	return all
}

func TestDisagreements(t *testing.T) {
	for _, tt := range []struct {
		name        string
		one, other  *Snapshot
		some, count bool
	}{
		{"nothing", new(Snapshot), new(Snapshot), false, false},
		{"the same", counted(1, 1, 100, 200), counted(1, 1, 100, 200), false, false},
		{"another count", counted(1, 0, 100, 200), counted(1, 0, 100), true, true},
		{"another outcome", counted(1, 1, 100, 200), counted(1, 2, 100, 200), true, true},
		{"another call", counted(1, 0, 100), counted(2, 0, 100), true, true},
		{"seen by one alone", new(Snapshot), counted(2, 1, 100), true, true},
		{"medians of few calls", counted(1, 0, 100), counted(1, 0, 10_000), false, false},
		{"medians apart", counted(1, 0, many(100, 1000)...), counted(1, 0, many(100, 1400)...), true, false},
		{"medians within 0.3 µs", counted(1, 0, many(100, 1000)...), counted(1, 0, many(100, 1250)...), false, false},
		{"medians within 10 %", counted(1, 0, many(100, 10_000)...), counted(1, 0, many(100, 10_900)...), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pair := range [][2]*Snapshot{{tt.one, tt.other}, {tt.other, tt.one}} {
				got := Disagreements(pair[0], pair[1])
				if (len(got) > 0) != tt.some || len(got) > 0 && got[0].Counts != tt.count {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

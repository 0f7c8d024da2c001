package session

import (
	"slices"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// TestSinglesAreTheSlowest of each call, of all tracer threads together, and once only.
func TestSinglesAreTheSlowest(t *testing.T) {
	s, err := New(Config{Statuses: AllStatuses, Singles: true, Raw: true}, newAdder())
	check(t, err)
	feeders := []profile.Feeder{s.Feed(), s.Feed()}
	call := func(feeder int, nr uint64, took int64, tid int32) {
		feeders[feeder].Call(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, PID: 1, TID: tid, ExitSeenNs: took, CPUNs: -1, GapNs: -1})
	}
	for i := range int64(10) {
		call(int(i%2), 0, 100+i, int32(i))
	}
	call(0, 1, 5, 77)
	all := s.Singles()
	var took []time.Duration
	for _, one := range all[profile.Key{ABI: syscalltab.AMD64, Nr: 0}] {
		took = append(took, one.Took)
		if time.Duration(100+one.TID) != one.Took {
			t.Errorf("%+v", one)
		}
	}
	if want := []time.Duration{109, 108, 107}; !slices.Equal(took, want) {
		t.Errorf("the slowest are %v, want %v", took, want)
	}
	if one := all[profile.Key{ABI: syscalltab.AMD64, Nr: 1}]; len(one) != 1 || one[0].TID != 77 {
		t.Errorf("%+v", one)
	}
	for key, again := range s.Singles() {
		if len(again) > 0 {
			t.Errorf("%v once more: %v", key, again)
		}
	}
	c := &profile.Call{ABI: syscalltab.AMD64, ExitSeenNs: 1000, CPUNs: -1, GapNs: -1}
	if n := testing.AllocsPerRun(100, func() { feeders[0].Call(c) }); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
}

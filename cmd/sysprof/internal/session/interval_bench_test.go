package session

import (
	"math/rand/v2"
	"testing"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// BenchmarkInterval is what an interval takes of a run with so many kinds of calls, each of which fails now and then.
func BenchmarkInterval(b *testing.B) {
	s, err := New(Config{Statuses: AllStatuses}, newAdder())
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	const kinds, calls = 40, 20_000
	shard, rng := s.profile.Shard(), rand.New(rand.NewPCG(1, 2))
	add := func() {
		for range calls {
			c := profile.Call{ABI: syscalltab.AMD64, Nr: rng.Uint64N(kinds), ExitSeenNs: int64(rng.ExpFloat64() * 20_000), CPUNs: -1, GapNs: 1_000}
			c.ExitSeenNs += int64(1_000 * c.Nr)
			if rng.IntN(20) == 0 {
				c.Errno = int32(1 + rng.IntN(2))
			}
			c.CrossCPU, c.Queued = rng.IntN(10) == 0, rng.IntN(50) == 0
			shard.Add(&c)
		}
	}
	intervals := s.Intervals()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		add()
		b.StartTimer()
		intervals.Next()
	}
}

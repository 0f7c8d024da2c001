package session

import (
	"math/rand/v2"
	"testing"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// BenchmarkInterval is what an interval takes of a run with so many kinds of calls: as many as a server makes, some of which
// fail, and many, each of which fails now and then in two ways, on both sides of pinning.
func BenchmarkInterval(b *testing.B) {
	b.Run("12 kinds", func(b *testing.B) { benchmarkInterval(b, 12, 1, 0) })
	b.Run("40 kinds", func(b *testing.B) { benchmarkInterval(b, 40, 2, 0.1) })
}

func benchmarkInterval(b *testing.B, kinds uint64, errnos int, crossCPU float64) {
	s, err := New(Config{Statuses: AllStatuses}, newAdder())
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	const calls = 20_000
	shard, rng := s.profile.Shard(), rand.New(rand.NewPCG(1, 2))
	add := func() {
		for range calls {
			c := profile.Call{ABI: syscalltab.AMD64, Nr: rng.Uint64N(kinds), ExitSeenNs: int64(rng.ExpFloat64() * 20_000), CPUNs: -1, GapNs: 1_000}
			c.ExitSeenNs += int64(1_000 * c.Nr)
			if rng.IntN(20) == 0 && (errnos > 1 || c.Nr%4 == 0) {
				c.Errno = int32(1 + rng.IntN(errnos))
			}
			c.CrossCPU, c.Queued = rng.Float64() < crossCPU, crossCPU > 0 && rng.IntN(50) == 0
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

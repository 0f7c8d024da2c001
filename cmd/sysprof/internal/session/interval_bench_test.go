package session

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// BenchmarkInterval is what an interval takes of a run with so many kinds of calls: as many as a server makes, some of which
// fail, and many, each of which fails now and then in two ways, on both sides of pinning; and what it takes to write it. What
// counts is the CPU time, garbage included, whatever else the machine does.
func BenchmarkInterval(b *testing.B) {
	table := Outputs{Interval: 1}
	for name, write := range map[string]func(*Interval) error{
		"": func(*Interval) error { return nil },
		", table": func(i *Interval) error {
			return table.writeTables(io.Discard, Look{Width: 100}, i.Snapshot, &report.Meta{Interval: i.Number}, oneInterval)
		},
		", JSON": func(i *Interval) error {
			return content(func(w io.Writer) error { return report.WriteJSONLine(w, i.Snapshot, report.Meta{Interval: i.Number}) }).to(io.Discard)
		},
	} {
		b.Run("12 kinds"+name, func(b *testing.B) { benchmarkInterval(b, 12, 1, 0, write) })
		b.Run("40 kinds"+name, func(b *testing.B) { benchmarkInterval(b, 40, 2, 0.1, write) })
	}
}

// cpuUsed is the CPU time of this process.
func cpuUsed() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmarkInterval(b *testing.B, kinds uint64, errnos int, crossCPU float64, write func(*Interval) error) {
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
	var used time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		add()
		b.StartTimer() // which stops the world to read the memory's statistics, as StopTimer does: that is not ours
		begun := cpuUsed()
		if err := write(intervals.Next()); err != nil {
			b.Fatal(err)
		}
		used += cpuUsed() - begun
		b.StopTimer()
		n++
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/op")
}

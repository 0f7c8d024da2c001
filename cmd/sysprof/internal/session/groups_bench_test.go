package session

import (
	"os"
	"testing"

	"sysprof/profile"
	"sysprof/profile/label"
	"sysprof/syscalltab"
)

// BenchmarkCall is what a finished call costs that one tracer thread tells of, without groups and with.
func BenchmarkCall(b *testing.B) {
	for _, by := range []string{"", "pid", "pid,comm", "tid", "fd", "errno", "cgroup"} {
		b.Run("by="+by, func(b *testing.B) {
			config := Config{Statuses: AllStatuses}
			if by != "" {
				config.Labels = label.None()
				config.Groups, _ = config.Labels.Group(by)
			}
			s, err := New(config, &adder{can: Abilities{SingleCalls: true, Stacks: true}})
			if err != nil {
				b.Fatal(err)
			}
			feed, pid := s.Feed(), int32(os.Getpid())
			entered := s.entered()
			b.ReportAllocs()
			var c profile.Call
			for i := range b.N {
				at := int64(i) * 10_000
				c = profile.Call{PID: pid, TID: pid, ABI: syscalltab.AMD64, Nr: uint64(i % 8), EntrySeenNs: at, EntryResumedNs: at + 500,
					ExitSeenNs: at + 7000 + int64(i%64), ExitResumedNs: at + 7500, CPUNs: -1, GapNs: 100}
				if entered != nil {
					entered(&c, 0, 0, nil)
				}
				feed.Call(&c)
			}
		})
	}
}

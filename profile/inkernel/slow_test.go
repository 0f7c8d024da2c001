package inkernel

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// slowCalls are those of a target of which it is told.
func slowCalls(t *testing.T, s Slower, expr, what string) (all []Slow) {
	t.Helper()
	set, err := syscalltab.ParseSet(expr, syscalltab.Native()...)
	check(t, err)
	s.Calls = set
	c := load(t, Options{Slower: s})
	check(t, c.OnSlow(func(s *Slow) { all = append(all, *s) }))
	counts(t, c, what)
	c.SlowAll()
	if lost := c.SlowLost(); lost > 0 {
		t.Errorf("%d calls are lost", lost)
	}
	return all
}

// TestSlowCallsAsAskedFor: it is told of the calls that are asked for, with how they ended and what they were given.
func TestSlowCallsAsAskedFor(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Slower
		want []string
	}{
		{"successes", Slower{Successes: true}, []string{"clock_nanosleep 0"}},
		{"failures", Slower{Failures: true}, []string{"recvfrom 11"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.AtLeast = time.Millisecond
			var got []string
			for _, s := range slowCalls(t, tt.s, "clock_nanosleep,recvfrom", "slow") {
				if s.Kind == SlowReturned && s.Ns >= tt.s.AtLeast.Nanoseconds() {
					got = append(got, fmt.Sprint(s.ABI.Name(s.Nr), " ", s.Errno))
					if s.Nr == unix.SYS_CLOCK_NANOSLEEP && (s.Args[0] != unix.CLOCK_MONOTONIC || s.Args[1] != 0) {
						t.Errorf("arguments: %v", s.Args)
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("told: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSlowCallsBrokenOff: it is told of a call that ends with its process, by those who ask for that.
func TestSlowCallsBrokenOff(t *testing.T) {
	for _, deaths := range []bool{true, false} {
		killed := 0
		for _, s := range slowCalls(t, Slower{AtLeast: 1, Deaths: deaths}, "read", "ends 0") {
			if s.Kind == SlowBrokenOff && s.Why == profile.Killed {
				killed++
			}
		}
		if want := map[bool]int{true: 1, false: 0}[deaths]; killed != want {
			t.Errorf("deaths %v: told of %d, want %d", deaths, killed, want)
		}
	}
}

// TestSlowCallsAreLimited: no more are told of in a second than anybody reads, and the rest is counted.
func TestSlowCallsAreLimited(t *testing.T) {
	const calls, aSecond = 2000, 100
	set, err := syscalltab.ParseSet("getppid", syscalltab.Native()...)
	check(t, err)
	c := load(t, Options{Slower: Slower{AtLeast: 1, Calls: set, Successes: true}})
	told := 0
	check(t, c.OnSlow(func(*Slow) { told++ }))
	begin := time.Now()
	counts(t, c, fmt.Sprint("getppid 1 ", calls))
	seconds := int(time.Since(begin).Seconds()) + 2
	c.SlowAll()
	if lost := int(c.SlowLost()); told == 0 || told > aSecond*seconds || told+lost != calls {
		t.Errorf("told of %d, %d are lost, of %d in less than %d s", told, lost, calls, seconds)
	}
}

// TestHangingCallOnce: that a call hangs is told once, however often it is looked for.
func TestHangingCallOnce(t *testing.T) {
	p := startTarget(t, "getppid 1 1")
	c := load(t, Options{Slower: Slower{AtLeast: time.Millisecond}})
	var mu sync.Mutex
	told := make(map[string]int)
	hangs := make(chan struct{}, 1)
	check(t, c.OnSlow(func(s *Slow) {
		if s.Kind != SlowHangs {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprint(s.TID, " ", s.ABI.Name(s.Nr), " ", s.Since)]++
		if s.Nr == unix.SYS_READ {
			select {
			case hangs <- struct{}{}:
			default:
			}
		}
	}))
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	select {
	case <-hangs:
	case <-time.After(needs.Patience()):
		t.Fatal("it is not told that the target waits")
	}
	for range 3 {
		check(t, eachThread(c.slowing.hanging))
	}
	check(t, c.End())
	c.SlowAll()
	for call, n := range told {
		if n != 1 {
			t.Errorf("told %d times: %s", n, call)
		}
	}
}

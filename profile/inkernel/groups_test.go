package inkernel

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// groupsCounted counts what a target does, by whose it is, and takes it every so often.
func groupsCounted(t *testing.T, o Options, what string, takes int) (all []profile.CountedGroup) {
	t.Helper()
	p := startTarget(t, what)
	c := load(t, o)
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range takes {
			some, err := c.TakeGroups(false)
			if err != nil {
				t.Error(err)
			}
			all = append(all, some...)
		}
	}()
	p.makesCalls(t)
	<-done
	check(t, c.End())
	rest, err := c.TakeGroups(true)
	check(t, err)
	return append(all, rest...)
}

func getppids(g *profile.CountedGroup) (calls uint64) {
	for i := range g.Rows {
		r := &g.Rows[i]
		if r.Nr != unix.SYS_GETPPID {
			continue
		}
		inBuckets := uint64(0)
		for _, b := range r.Buckets {
			inBuckets += b.Count
		}
		if inBuckets != r.Calls || r.MinNs > r.MaxNs || r.SumNs < r.MinNs*int64(r.Calls) || r.SumNs > r.MaxNs*int64(r.Calls) {
			panic(fmt.Sprintf("%d calls, %d of them in buckets, from %d to %d ns, %d in all", r.Calls, inBuckets, r.MinNs, r.MaxNs, r.SumNs))
		}
		calls += r.Calls
	}
	return calls
}

// TestGroupsHaveAllCalls of their threads, while they are taken again and again.
func TestGroupsHaveAllCalls(t *testing.T) {
	const threads, calls = 40, 2000
	of := make(map[int32]uint64)
	for _, g := range groupsCounted(t, Options{By: ByTID}, fmt.Sprintf("getppid %d %d", threads, calls), 30) {
		if g.Unknown {
			t.Errorf("it is not known whose %d calls are", getppids(&g))
		}
		of[g.TID] += getppids(&g)
	}
	whole := 0
	for tid, n := range of {
		switch n {
		case calls:
			whole++
		case 0:
		default:
			t.Errorf("thread %d has %d calls", tid, n)
		}
	}
	if whole != threads {
		t.Errorf("%d threads have all of their calls, want %d", whole, threads)
	}
}

// TestGroupsTimedNowAndThen: counts of groups stay exact when not all calls are timed, and all calls have times.
func TestGroupsTimedNowAndThen(t *testing.T) {
	p := startTarget(t, "busy 1200")
	c := load(t, Options{By: ByTID, Timed: 16})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	var got, untimed uint64
	add := func(last bool) {
		all, err := c.TakeGroups(last)
		check(t, err)
		for i := range all {
			got += getppids(&all[i])
		}
		for _, sum := range c.debts.all {
			untimed = max(untimed, sum.calls-sum.weight())
		}
	}
	done := make(chan uint64)
	go func() { done <- p.makesCalls(t) }()
	made := uint64(0)
	for made == 0 {
		select {
		case made = <-done:
		case <-time.After(100 * time.Millisecond):
			add(false)
		}
	}
	check(t, c.End())
	add(true)
	if got != made || untimed == 0 || len(c.debts.owed) > 0 {
		t.Errorf("%d calls, want %d; %d of them were not timed", got, made, untimed)
	}
}

// TestDebts: calls of which none was timed are handed over with the next ones, and at the end as those of others were.
func TestDebts(t *testing.T) {
	var d debts
	rare, frequent := debtor{who: who{PID: 1}}, debtor{who: who{PID: 2}}
	timed := func(calls uint64, ns int64) *takenRow {
		r := new(takenRow)
		r.add(&takenRow{calls: calls, sum: float64(ns), minNs: ns, maxNs: ns, buckets: []weighedBucket{{bucketOf(ns), 1}}})
		return r
	}
	if d.fit(rare, 1, &takenRow{calls: 3}) || !d.fit(frequent, 2, timed(100, 500)) {
		t.Error("what has been timed is not what is handed over")
	}
	r := timed(2, 70_000)
	if !d.fit(rare, 1, r) || r.calls != 5 {
		t.Errorf("%d calls are handed over with the first that is timed, want 5", r.calls)
	}
	if row := r.counted(rowKey{}); row.Calls != 5 || row.SumNs != 350_000 || row.Buckets[0].Count != 5 {
		t.Errorf("%+v", row)
	}
	d.fit(rare, 1, &takenRow{calls: 7})
	all := d.settle()
	if len(all) != 1 || all[0].PID != 1 || all[0].Rows[0].Calls != 7 || all[0].Rows[0].MinNs < 490 || all[0].Rows[0].MaxNs > 71_000 || len(d.settle()) > 0 {
		t.Errorf("%+v", all)
	}
}

// TestFewStandForMany: one call that stands for three takes as long as its bucket says, though these took less on average.
func TestFewStandForMany(t *testing.T) {
	r := &takenRow{calls: 1, sum: 100 + 2*500, minNs: 100, maxNs: 500, buckets: []weighedBucket{{bucketOf(100), 1}, {bucketOf(500), 2}}}
	row := r.counted(rowKey{Nr: unix.SYS_GETPPID})
	if n := getppids(&profile.CountedGroup{Rows: []profile.CountedRow{row}}); n != 1 || row.MinNs < 490 {
		t.Errorf("%+v", row)
	}
}

func bucketOf(ns int64) (bucket int) {
	for low, _ := bounds(bucket + 1); low <= ns; low, _ = bounds(bucket + 1) {
		bucket++
	}
	return bucket
}

// TestGroupsWithoutRoom: no call is lost, whichever table is full.
func TestGroupsWithoutRoom(t *testing.T) {
	const threads, calls = 60, 500
	for name, sizes := range map[string]groupSizes{"groups": {3, 10, 12}, "shares": {10, 4, 12}, "cells": {10, 10, 3}} {
		t.Run(name, func(t *testing.T) {
			known, unknown := uint64(0), uint64(0)
			for _, g := range groupsCounted(t, Options{By: ByTID, groups: &sizes}, fmt.Sprintf("getppid %d %d", threads, calls), 3) {
				if g.Unknown {
					unknown += getppids(&g)
				} else {
					known += getppids(&g)
				}
			}
			if known+unknown != threads*calls || unknown == 0 {
				t.Errorf("of %d calls it is known whose they are, of %d it is not; they are %d", known, unknown, threads*calls)
			}
		})
	}
}

// TestGroupsThatCollide in full tables are told apart, by processes and by what calls fail with.
func TestGroupsThatCollide(t *testing.T) {
	const calls = 100
	t.Run("processes", func(t *testing.T) {
		c := load(t, Options{By: ByPID, groups: &groupSizes{0, 10, 12}})
		var all []*program
		for range 3 {
			p := startTarget(t, fmt.Sprint("getppid 1 ", calls))
			check(t, c.Add(p.cmd.Process.Pid))
			all = append(all, p)
		}
		check(t, c.Begin())
		for _, p := range all {
			p.makesCalls(t)
		}
		check(t, c.End())
		groups, err := c.TakeGroups(true)
		check(t, err)
		known, unknown := uint64(0), uint64(0)
		for i := range groups {
			if g := &groups[i]; g.Unknown {
				unknown += getppids(g)
			} else {
				known += getppids(g)
			}
		}
		if known != calls || unknown != 2*calls {
			t.Errorf("the one that has room has %d calls, the others %d", known, unknown)
		}
	})
	t.Run("errors", func(t *testing.T) {
		openat, err := syscalltab.ParseSet("openat", syscalltab.Native()...)
		check(t, err)
		failed := make(map[int32]uint64)
		for _, g := range groupsCounted(t, Options{By: ByPID, Calls: openat, groups: &groupSizes{2, 0, 12}}, fmt.Sprint("errors ", calls), 0) {
			for i := range g.Rows {
				if r := &g.Rows[i]; r.Nr == unix.SYS_OPENAT {
					failed[r.Errno] += r.Calls
				}
			}
		}
		if bad, no := failed[int32(unix.EBADF)], failed[int32(unix.ENOENT)]; bad != calls || no != calls {
			t.Errorf("%d calls failed with EBADF, and %d with ENOENT", bad, no)
		}
	})
}

// TestGroupsWithFewCallsAreTimed: where one of so many calls is timed, one of each group is, however few it makes.
func TestGroupsWithFewCallsAreTimed(t *testing.T) {
	const threads, calls = 50, 4
	p := startTarget(t, fmt.Sprintf("getppid %d %d", threads, calls))
	c := load(t, Options{By: ByTID, Timed: 64})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	index, _ := indexOf(0, unix.SYS_GETPPID)
	c.pace.set(totals{index: {calls: 1e6}}, time.Second, 64)
	p.makesCalls(t)
	check(t, c.End())
	groups, err := c.groups.take()
	check(t, err)
	timed := 0
	for i := range groups {
		for key, r := range groups[i].rows {
			if key.Nr != unix.SYS_GETPPID {
				continue
			}
			if r.weight() > 0 {
				timed++
			}
			if r.calls != calls {
				t.Errorf("thread %d has %d calls, want %d", groups[i].Who.TID, r.calls, calls)
			}
		}
	}
	if timed != threads {
		t.Errorf("%d of %d threads have a call that was timed", timed, threads)
	}
}

// TestFlightsWithoutRoom: how many calls are in flight is known where it is not whose they are.
func TestFlightsWithoutRoom(t *testing.T) {
	const threads = 40 // of which one may be the program's first, and stay
	p := startTarget(t, fmt.Sprint("getppid ", threads, " 1"))
	exit, err := syscalltab.ParseSet("exit", syscalltab.Native()...)
	check(t, err)
	c := load(t, Options{By: ByTID, ByExits: true, Calls: exit, flights: 32})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	p.makesCalls(t)
	exited(t, c, threads-1)
	check(t, c.End())
	groups, err := c.GroupsInFlight()
	check(t, err)
	known, unknown := uint64(0), uint64(0)
	for _, g := range groups {
		for _, f := range g.InFlight {
			if g.Unknown {
				unknown += f.Count
			} else {
				known += f.Count
			}
		}
	}
	if lost := c.Losses().NoFlight; known == 0 || unknown == 0 || known+unknown < threads-1 || known+unknown > threads || lost != 0 {
		t.Errorf("of %d exits it is known whose they are, of %d it is not, %d are lost; they are %d", known, unknown, lost, threads)
	}
}

// exited waits until so many threads of the target have ended.
func exited(t *testing.T, c *Counter, n int) {
	t.Helper()
	for end := time.Now().Add(needs.Patience()); ; {
		threads, _, seen := c.Members()
		if seen-threads >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d threads have ended", seen-threads, n)
		}
	}
}

// TestGroupTablesFit where there are many CPUs.
func TestGroupTablesFit(t *testing.T) {
	for _, cpus := range []int{1, 2, 64, 1024} {
		s := groupSizesFor(cpus)
		if bytes := 2 * cpus * (64<<s.shares + 8<<s.cells); bytes > 64<<20 || s.shares+bucketBits > 31 {
			t.Errorf("%d CPUs: %d bytes, %+v", cpus, bytes, s)
		}
	}
}

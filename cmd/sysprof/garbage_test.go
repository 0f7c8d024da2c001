package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// TestGarbageIsCollectedLater, and as much as was said meanwhile; with the limit of memory that there was.
func TestGarbageIsCollectedLater(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(1<<40)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	is := func(when string, wantPercent int, wantLimit int64) {
		t.Helper()
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		if limit := debug.SetMemoryLimit(-1); now != wantPercent || limit != wantLimit {
			t.Errorf("%s: %d %% and %d bytes, want %d and %d", when, now, limit, wantPercent, wantLimit)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var g garbage
		g.collectLater()
		time.Sleep(2 * collectAfter)
		is("while nothing is said", -1, untilThen)
		g.collectSoon()
		is("at first", -1, untilThen)
		g.leave(groupsGarbage)
		is("with groups", -1, untilThen)
		time.Sleep(collectAfter + time.Millisecond)
		synctest.Wait()
		is("then", groupsGarbage, 1<<40)
		g.leave(usualGarbage)
		is("later", usualGarbage, 1<<40)
	})
	debug.SetGCPercent(100)
	synctest.Test(t, func(t *testing.T) {
		var g garbage
		g.collectLater()
		g.collectSoon()
		much := make([]byte, untilThen*3/4)
		time.Sleep(lookEvery + time.Millisecond)
		synctest.Wait()
		is("with much in use", usualGarbage, 1<<40)
		runtime.KeepAlive(much)
	})
	var g garbage
	g.collectSoon()
	g.collect()
	g.leave(usualGarbage) // of a process that has not said that it is to be later
	is("at once", usualGarbage, 1<<40)
}

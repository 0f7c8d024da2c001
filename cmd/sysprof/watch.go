package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof/internal/find"
	"sysprof/cmd/sysprof/internal/session"
)

// watcher attaches to processes that come during the run and are meant, too.
//
// It asks again and again who is there. The kernel would tell of every process that is made (its proc connector), but only
// root, outside of containers, and of all of the machine's; and what a process does before it is attached to is lost either
// way. As long as no process or thread has been made anywhere, asking is reading one line (see find.looks).
type watcher struct {
	finder *find.Finder
	engine session.Engine
	grower session.Grower
	lasts  bool          // there may be new ones; otherwise only some that the first look has missed
	waits  bool          // when nothing is traced any more, for others to come
	begun  func(pid int) // before it is attached to: it may end while it is
	told   func(threads, pid int)
	noted  func(pid int)
	failed func(error)
}

const (
	watchEvery = 200 * time.Millisecond
	// watchShare bounds what watching takes, of a CPU this part of the time; but it happens every watchAtLeast, also on a
	// machine that is so busy that it takes long.
	watchShare   = 0.02
	watchAtLeast = time.Second
)

// newWatcher makes one for a run that has started.
func (p *process) newWatcher(opt *options, finder *find.Finder, s *session.Session, engine session.Engine, announcer *announcer) *watcher {
	return &watcher{
		finder: finder, engine: engine, grower: engine.(session.Grower),
		lasts: finder.Lasts(), waits: opt.duration > 0,
		begun:  announcer.attaching,
		told:   announcer.attachedLater,
		noted:  s.Attached,
		failed: announcer.failed(p.messages.say),
	}
}

// watch watches until the counting is over, or nothing can come any more.
func (w *watcher) watch() {
	defer w.grower.NoMore()
	for quiet := 0; ; {
		begun := time.Now()
		found, err := w.finder.Find()
		took := time.Since(begun)
		if err != nil {
			w.failed(fmt.Errorf("new processes are not attached to: %w", err))
			return
		}
		threads := w.attach(found)
		switch {
		case threads > 0:
			quiet = 0
		case !w.lasts && quiet > 0:
			return
		case w.lasts && !w.waits && w.engine.Progress().Threads == 0 && quiet > 0:
			return
		default:
			quiet++
		}
		pause := min(max(watchEvery, time.Duration(float64(took)/watchShare)), watchAtLeast)
		if !w.lasts {
			pause = 0 // what it looks for is there already
		}
		select {
		case <-w.engine.Counted():
			return
		case <-time.After(pause):
		}
	}
}

// attach attaches to processes, and returns to how many threads.
func (w *watcher) attach(found []int) (sum int) {
	for _, pid := range found {
		w.begun(pid)
		threads, err := w.grower.Attach(pid)
		switch {
		case threads > 0:
			sum += threads
			w.noted(pid)
			w.told(threads, pid)
		case err != nil && !errors.Is(err, unix.ESRCH):
			w.failed(err)
		}
	}
	return sum
}

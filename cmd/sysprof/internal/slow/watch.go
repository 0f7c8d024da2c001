package slow

import (
	"time"

	"sysprof/profile"
)

// A call that hangs is said no later than a quarter of the time after which it does, but for these bounds: looking takes some
// ten nanoseconds a thread.
const (
	leastPeriod = 20 * time.Millisecond
	mostPeriod  = 500 * time.Millisecond
)

// watch looks for calls that hang.
func (l *Log) watch() {
	defer close(l.watched)
	tick := time.NewTicker(min(max(l.options.AtLeast/4, leastPeriod), mostPeriod))
	defer tick.Stop()
	begun, asked := time.Now(), l.options.Asleep == nil
	for {
		select {
		case <-l.closing:
			return
		case <-tick.C:
		}
		if !asked && time.Since(begun) >= l.options.AtLeast {
			asked = true
			l.options.Asleep(l.foundAsleep)
		}
		l.sayAsleep()
		l.sayOverdue()
		l.sayLate()
		l.sayLeftOut(false)
	}
}

// sayOverdue says which calls hang, as far as there is room for that. The others are said later, should they still hang.
func (l *Log) sayOverdue() {
	nowNs := l.options.Now()
	for _, h := range l.threads.overdue(nowNs, l.options.AtLeast, linesASecond) {
		at := time.Now()
		if !l.limit.mayTake(at) {
			return
		}
		if keeps := l.options.Keeps; keeps != nil && !keeps(&profile.InFlight{PID: h.PID, TID: h.TID, ABI: h.ABI, Nr: h.Nr, Args: h.Args}) {
			l.threads.forget(&h)
			continue
		}
		if !h.about.known {
			l.ask(&h.Call, &h.about) // its thread does not stand still, but is in the call
		}
		line := l.line(&h.Call, &h.about)
		line.At, line.Under = at, true
		line.Ns = nowNs - h.EntrySeenNs
		l.threads.say(&h, func() bool { return l.limit.take(at) && l.enqueue(item{call: line, stack: h.Stack}) })
	}
}

// foundAsleep is told of a call that a thread was found in. It is called on a tracer thread.
func (l *Log) foundAsleep(f *profile.InFlight) {
	if l.wants(f.ABI, f.Nr) && f.SoFarNs >= int64(l.options.AtLeast)/2 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asleep = append(l.asleep, *f)
	}
}

// sayAsleep says which calls threads were found in.
func (l *Log) sayAsleep() {
	l.mu.Lock()
	all := l.asleep
	l.asleep = nil
	l.mu.Unlock()
	for i := range all {
		f := &all[i]
		if keeps := l.options.Keeps; keeps != nil && !keeps(f) {
			continue
		}
		if !l.limit.mayTake(time.Now()) {
			l.limit.leaveOut(time.Now(), 1)
			continue
		}
		c := profile.Call{PID: f.PID, TID: f.TID, ABI: f.ABI, Nr: f.Nr, Args: f.Args}
		var about about
		l.ask(&c, &about)
		line := l.line(&c, &about)
		line.Under, line.AtLeast, line.Ns = true, true, f.SoFarNs
		l.put(line, 0)
	}
}

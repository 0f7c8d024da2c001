package profile

// Sink takes what an engine sees. All that it is given is valid only during the call, and it has to return
// soon: the engine does nothing else meanwhile.
type Sink interface {
	// Feed returns what one thread of an engine tells of each finished call. It is called once for each such thread.
	// The calls of one traced thread always go to the same Feeder, in their order.
	Feed() Feeder

	// Counted takes calls that the engine has added up itself, whole rows of histograms, of which no Feeder
	// has not been given a single one. Each call is in one Raw only: an engine whose counters go on hands over
	// what has come in since the last time (see Raw.Subtract). It may be called by several threads at once.
	Counted(*Raw)

	// InFlight takes a call that had not returned when its thread ended, or when tracing ended. It is never
	// called by two threads at once.
	InFlight(*InFlight)

	// Ended is told of a traced thread that is traced no more, whatever ended it: exit, a signal, another
	// thread's execve, a tracer of its own. A process has ended when its first thread has, whose tid is its
	// pid: the kernel reports that one last. It may be called by several threads at once.
	Ended(pid, tid int32)
}

// GroupSink is a Sink that takes calls of an engine that adds them up by whose they are, too.
type GroupSink interface {
	Sink
	// CountedGroups is Counted, and InFlight, for these.
	CountedGroups([]CountedGroup)
}

package profile

// Control is a stop that an engine brought about between two calls of a thread, to see what a stop costs there and
// then: it resumed the thread at the exit-stop of a call, and the thread stopped again before it came back to its
// program. All of that is transit. The program knows nothing of it, and it is no call.
type Control struct {
	PID, TID int32
	AtNs     int64 // when the thread was resumed, by the clock of every Call
	RawNs    int64 // from then until its stop was seen
	HoldNs   int64 // how long it stood at that stop
	CrossCPU bool  // see Call
	Queued   bool  // its stop stood in line, so that it shows nothing
	Waits    Waits // until its stop
}

// Waits is how long a traced thread and its tracer thread waited for a CPU.
type Waits struct {
	TracerNs    int64 // the tracer, since it resumed the thread, or some of its stops before
	TracerStops int32 // how many stops it may have seen meanwhile
	Overtaken   bool  // in between, other threads had the CPU that the thread shares with the tracer, and the tracer for them

	Known    bool  // the rest is
	Stops    int32 // of the thread, since it was looked at last
	SinceNs  int64 // how long ago that was
	RanNs    int64 // of that it ran for so long
	WaitedNs int64 // and could have run, but had no CPU, for so long
}

// Condition is the one that c was made in.
func (c *Control) Condition() Condition {
	if c.CrossCPU {
		return CrossCPU
	}
	return SameCPU
}

// Feeder takes what one thread of an engine sees, in its order. What it is given is valid only during the call.
type Feeder interface {
	Call(*Call)       // a finished call
	Control(*Control) // a control that was made since the thread's last call
}

// ControlSum adds up what controls showed. Each stands for the calls that were made since the one before it, so that
// sums weigh controls as calls weigh: where stops take long there are few calls, and many controls.
//
// Sums are of floating point, which is exact enough for means. Subtracting leaves what was added in between.
type ControlSum struct {
	Made     uint64
	LostNs   int64   // what they cost the program themselves
	Weight   float64 // calls that they stand for
	Weights2 float64 // the sum of the squares of the weights
	RawNs    float64 // weighted, as all that follows
	Raw2     float64 // squares
	Quiet    float64 // the weight of those that were not disturbed, which is all that follows is about
	ExcessNs float64 // by how much they took longer than the transit that was taken off the calls around
}

func (s *ControlSum) add(t *ControlSum) {
	s.Made = addSaturating(s.Made, t.Made)
	s.LostNs = addClamped(s.LostNs, t.LostNs)
	s.Weight += t.Weight
	s.Weights2 += t.Weights2
	s.RawNs += t.RawNs
	s.Raw2 += t.Raw2
	s.Quiet += t.Quiet
	s.ExcessNs += t.ExcessNs
}

func (s *ControlSum) subtract(t *ControlSum) {
	s.Made = subtractSaturating(s.Made, t.Made)
	s.LostNs = max(s.LostNs-t.LostNs, 0)
	s.Weight -= t.Weight
	s.Weights2 -= t.Weights2
	s.RawNs -= t.RawNs
	s.Raw2 -= t.Raw2
	s.Quiet -= t.Quiet
	s.ExcessNs -= t.ExcessNs
}

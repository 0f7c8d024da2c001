package profile

// Condition is where tracer and tracee ran while a call was traced. Tracing adds another time to a call in each:
// a stop on the tracer's own CPU is a context switch, and a stop on another CPU has to wake the tracer's.
type Condition int

const (
	SameCPU  Condition = iota // they were pinned to one CPU
	CrossCPU                  // they were not: the scheduler put them where it liked

	Conditions // how many there are
)

// Condition is the one that c was made in.
func (c *Call) Condition() Condition {
	if c.CrossCPU {
		return CrossCPU
	}
	return SameCPU
}

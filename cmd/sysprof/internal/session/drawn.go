package session

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"sysprof/profile"
	"sysprof/profile/inkernel"
	"sysprof/profile/stack/capture"
)

// drawnSamples is what a profile is made from of which only some calls are seen, drawn at random.
type drawnSamples struct {
	all *profile.DrawnSamples

	// What was copied before it is known how its calls end, by thread. Only who is told of drawn calls uses it.
	copied map[uint64]copied

	hidden atomic.Bool // processes cannot be looked at
}

// copied is a stack, and what process and thread were called: an execve is the old one's.
type copied struct {
	stack           uint32
	process, thread string
}

// maxCopied bounds copied: a thread whose end is lost leaves its stack there.
const maxCopied = 1 << 16

func newDrawnSamples(config *Config) *drawnSamples {
	return &drawnSamples{copied: make(map[uint64]copied),
		all: profile.NewDrawnSamples(cmp.Or(config.MaxSamples, profile.DefaultSamples), config.Labels.Rest)}
}

// draw takes a call that was drawn. It reports whether its stack was longer than what was copied.
func (s *samples) draw(d *inkernel.Drawn) (short bool) {
	number := uint32(0)
	if d.Hidden {
		s.drawn.hidden.Store(true)
	}
	switch d.Kind {
	case inkernel.Returned, inkernel.Copied:
		number, short = s.unwindCopy(d)
		delete(s.drawn.copied, d.Thread) // the end of that call was lost
	default:
		if before, ok := s.drawn.copied[d.Thread]; ok {
			number, d.Process, d.Name = before.stack, before.process, before.thread
			delete(s.drawn.copied, d.Thread)
		}
	}
	switch d.Kind {
	case inkernel.Copied:
		if len(s.drawn.copied) >= maxCopied {
			clear(s.drawn.copied)
		}
		s.drawn.copied[d.Thread] = copied{number, d.Process, d.Name}
	case inkernel.InFlight:
		if number == 0 && d.Why == profile.Detached {
			number = s.standing(d)
		}
		s.drawn.inFlight(s.config, d, number)
	default:
		c := callOf(d)
		c.Stack = number
		values := s.config.Labels.Named(&c, d.Process, d.Name)
		if !s.config.Only.Keeps(&values) {
			break
		}
		s.drawn.all.Add(&c, profile.SampleKey{Values: s.config.Labels.Chosen(values)}, d.Weight)
	}
	return short
}

// inFlight takes a call that has not returned.
func (s *drawnSamples) inFlight(config *Config, d *inkernel.Drawn, number uint32) {
	c := callOf(d)
	values := config.Labels.NamedUnfinished(&c, d.Process, d.Name)
	if !config.Only.Keeps(&values) {
		return
	}
	s.all.AddInFlight(&profile.InFlight{PID: d.PID, TID: d.TID, ABI: d.ABI, Nr: d.Nr, SoFarNs: d.Ns, Why: d.Why, Resumed: d.Unseen, Stack: number},
		profile.SampleKey{Values: config.Labels.Chosen(values)})
}

// callOf is the call as one that was seen by its entry and its end.
func callOf(d *inkernel.Drawn) profile.Call {
	return profile.Call{PID: d.PID, TID: d.TID, ABI: d.ABI, Nr: d.Nr, Args: d.Args(), Errno: d.Errno,
		ExitSeenNs: d.Ns, ExitResumedNs: d.Ns, AsleepNs: d.AsleepNs, CPUNs: -1, GapNs: -1}
}

// unwindCopy finds the stack in what was copied.
func (s *samples) unwindCopy(d *inkernel.Drawn) (number uint32, short bool) {
	if s.capturer == nil || !hasStacks(d.ABI) || d.Hidden {
		return 0, false
	}
	c := capture.Copy{PID: d.PID, Parent: d.Parent, Program: capture.Program{Started: d.Started, Number: d.Program},
		Maps: d.Maps, IP: d.IP, Registers: d.Registers, Stack: d.Stack, StackAt: d.StackPointer(), Beyond: d.Beyond, BeyondAt: d.BeyondAt}
	if c.Narrow = d.IsNarrow(); c.Narrow {
		c.Registers = d.NarrowRegisters()
	}
	return s.capturer.Copied(&c)
}

// standing takes the stack of a thread that was in a call when the counting ended, if it still is.
func (s *samples) standing(d *inkernel.Drawn) uint32 {
	if s.capturer == nil || !hasStacks(d.ABI) || d.Hidden || !isStanding(d) {
		return 0
	}
	c := callOf(d)
	number := s.capturer.Stack(&c, d.IP, d.StackPointer(), stands{d})
	if !isStanding(d) {
		return 0
	}
	return number
}

// isStanding reports whether a thread is in a call, at the same place as it was.
func isStanding(d *inkernel.Drawn) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", d.PID, d.TID))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return false
	}
	sp, err1 := strconv.ParseUint(fields[len(fields)-2], 0, 64)
	ip, err2 := strconv.ParseUint(fields[len(fields)-1], 0, 64)
	return err1 == nil && err2 == nil && sp == d.StackPointer() && ip == d.IP
}

// stands is a thread that stands in a call.
type stands struct{ d *inkernel.Drawn }

// ReadMemory reads nothing: the memory of the process is read by /proc.
func (stands) ReadMemory([]byte, uint64) int { return 0 }

func (s stands) Registers(into *[33]uint64) bool {
	*into = s.d.Registers
	if s.d.IsNarrow() {
		*into = s.d.NarrowRegisters()
		into[32] = 1
	}
	return true
}

// warnings says what the profile is.
func (s *drawnSamples) warnings(all []profile.Sample, capturer *capture.Capturer) (warnings []profile.Warning) {
	w := profile.Warning{Kind: profile.CallsDrawn, Count: s.all.Drawn()}
	if w.Count == 0 {
		return nil
	}
	if capturer == nil || s.hidden.Load() {
		return []profile.Warning{w}
	}
	var calls, whole float64
	for i := range all {
		n := float64(all[i].Calls + all[i].Unfinished)
		calls += n
		if capturer.Whole(all[i].Stack) {
			whole += n
		}
	}
	w.Kind, w.Share = profile.StacksDrawn, whole/max(calls, 1)
	warnings = append(warnings, w)
	if gone := capturer.Gone(); gone > 0 {
		warnings = append(warnings, profile.Warning{Kind: profile.StacksGone, Count: gone})
	}
	return warnings
}

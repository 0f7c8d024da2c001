package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// SlowCall is one call that took long, or that has not returned.
type SlowCall struct {
	At time.Time // of the line

	profile.Key
	PID, TID        int32
	Process, Thread string // their names; "": not known
	Args            [syscalltab.MaxArguments]uint64
	Paths           [syscalltab.MaxArguments]string // of arguments that are paths …
	PathsKnown      uint8                           // … as far as they are known: bit i is for argument i
	Descriptor      string                          // what the first argument is, if that is a descriptor; "": not known

	Resumes string // the call that a restart_syscall goes on with; "": not known, or it is none

	Ns      int64
	RawNs   int64          // what it took with all that is not its own, where that may be what made it slow; else 0
	AtLeast bool           // it began before it was traced
	Ret     int64          // what it returned
	Errno   int32          // or how it failed
	Under   bool           // it has not returned
	Why     profile.Ending // it never will; "": it has, or may

	Stack []string // innermost first
}

// Line is the call in a line, and its stack in a line each.
func (c *SlowCall) Line() string {
	var out strings.Builder
	out.WriteString(c.At.Format("15:04:05.000000") + " " + who(c) + ": " + callName(c.Key) + "(")
	if c.Resumes != "" {
		out.WriteString("<resuming " + c.Resumes + ">")
	}
	for i := range c.ABI.Arguments(c.Nr) {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(c.argument(i))
	}
	out.WriteString(")" + c.ended() + "\n")
	for _, frame := range c.Stack {
		out.WriteString("    " + Printable(frame) + "\n")
	}
	return out.String()
}

// who names the thread, and its process.
func who(c *SlowCall) string {
	name := fmt.Sprintf("%s (%d)", named(c.Process), c.PID)
	if c.TID != c.PID {
		name += fmt.Sprintf(" thread %d", c.TID)
		if c.Thread != "" && c.Thread != c.Process {
			name += " " + Printable(c.Thread)
		}
	}
	return name
}

func named(name string) string {
	if name == "" {
		return "process"
	}
	return Printable(name)
}

// ended says what came of the call.
func (c *SlowCall) ended() string {
	took := humanTime(c.Ns)
	if c.RawNs > 0 {
		took += " (" + humanTime(c.RawNs) + " with tracing, and waiting for a CPU)"
	}
	if c.AtLeast {
		took = "at least " + took
	}
	switch {
	case c.Why != "":
		return fmt.Sprintf(" was %s after %s", Printable(ending(c.Why)), took)
	case c.Under:
		return " has not returned after " + took
	case c.Errno != 0:
		return fmt.Sprintf(" = -1 %s, %s", syscalltab.Errno(int(c.Errno)), took)
	}
	return fmt.Sprintf(" = %s, %s", argument(uint64(c.Ret)), took)
}

// argument is an argument as a number, or as the path or the file that it stands for.
func (c *SlowCall) argument(i int) string {
	const fromHere = -100 // AT_FDCWD
	paths := c.ABI.PathArguments(c.Nr)
	switch {
	case c.PathsKnown>>i&1 != 0:
		return `"` + short(c.Paths[i]) + `"`
	case paths>>i&1 == 0 && paths>>(i+1)&1 != 0 && int32(c.Args[i]) == fromHere:
		return "AT_FDCWD"
	case i == 0 && c.Descriptor != "":
		return argument(c.Args[0]&0xffffffff) + " <" + short(c.Descriptor) + ">"
	}
	return argument(c.Args[i])
}

// argument is a number as it is read most easily: small ones, and errnos and AT_FDCWD, in tens.
func argument(v uint64) string {
	const small = 1_000_000
	switch {
	case v < small:
		return strconv.FormatUint(v, 10)
	case int64(v) < 0 && int64(v) > -small:
		return strconv.FormatInt(int64(v), 10)
	case v>>32 == 0 && int32(v) < 0 && int32(v) > -small: // an int, of which the upper half does not count
		return strconv.FormatInt(int64(int32(v)), 10)
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// short is a name, made printable, of which the end is most telling.
func short(name string) string {
	const enough = 200
	r := []rune(Printable(strings.ToValidUTF8(name, "\ufffd")))
	if len(r) > enough {
		return "…" + string(r[len(r)-enough:])
	}
	return string(r)
}

// MoreSlowCalls is the line for calls that were left out in so long a time.
func MoreSlowCalls(at time.Time, n uint64, of time.Duration) string {
	noun, last := "calls", "second"
	if n == 1 {
		noun = "call"
	}
	if of >= 2*time.Second {
		last = humanTime(int64(of))
	}
	return fmt.Sprintf("%s … %s more slower %s in the last %s\n", at.Format("15:04:05.000000"), humanCount(n), noun, last)
}

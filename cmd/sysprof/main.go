// Command sysprof profiles the system calls of running programs: it counts them, times them, and
// says what that cost. See README.md, sysprof.1 and sysprof --help.
package main

import (
	"os"
	"runtime/debug"

	"sysprof/cmd/sysprof/internal/origin"
	"sysprof/ptrace"
)

func main() {
	was := origin.Of()
	p := &process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, origin: was, own: true, signals: catchBlocked(was)}
	p.start = ptrace.Hurry() // early: until then this waits as all do
	// Half the usual room for garbage: next to nothing is allocated while tracing, so collecting it costs
	// nothing either, and what is written at the end would otherwise take twice its size.
	debug.SetGCPercent(50)
	p.run(os.Args).leave()
}

// Command sysprof profiles the system calls of running programs: it counts them, times them, and
// says what that cost. See README.md, sysprof.1 and sysprof --help.
package main

import (
	"os"

	"sysprof/cmd/sysprof/internal/origin"
	"sysprof/ptrace"
)

func main() {
	was := origin.Of()
	p := &process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, origin: was, own: true, signals: catchBlocked(was)}
	p.start = ptrace.Hurry() // early: until then this waits as all do
	p.garbage.collectLater()
	p.run(os.Args).leave()
}

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// ownTerminal reports whether stderr is a terminal that nobody else writes to: there is no command, or
// its output goes elsewhere.
//
// Precondition: stdout is still what the command's is.
func (p *process) ownTerminal(opt *options) bool {
	return !opt.outputs.Quiet && isTerminal(p.stderr) && (len(opt.command) == 0 || !isTerminal(p.stdout))
}

package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// echoesKeys reports whether a file is a terminal that shows keys that send signals, as ^C (termios(3), ECHOCTL): the cursor
// stands behind that then.
func echoesKeys(file *os.File) bool {
	termios, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil && termios.Lflag&unix.ECHO != 0 && termios.Lflag&unix.ECHOCTL != 0
}

// ownTerminal reports whether stderr is a terminal that nobody else writes to: there is no command, or
// its output goes elsewhere.
//
// Precondition: stdout is still what the command's is.
func (p *process) ownTerminal(opt *options) bool {
	return !opt.outputs.Quiet && isTerminal(p.stderr) && (len(opt.command) == 0 || !isTerminal(p.stdout))
}

// utf8Locale reports whether the locale's characters are UTF-8, by the variables of the environment that setlocale(3) reads,
// in its order. Whether the locale is installed, which setlocale looks at, too, a program without the C library cannot know.
// Without any of them the locale is C, which has ASCII. Tables in files obey it as those on terminals do: a file is read
// where it was written, or by what expects the locale's characters, such as sort(1) and grep(1).
func utf8Locale(getenv func(string) string) bool {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale = getenv(name); locale != "" { // an empty one is as good as none (locale(7))
			break
		}
	}
	_, charset, _ := strings.Cut(locale, ".") // language_TERRITORY.charset@modifier
	charset, _, _ = strings.Cut(charset, "@")
	return strings.EqualFold(strings.ReplaceAll(charset, "-", ""), "utf8")
}

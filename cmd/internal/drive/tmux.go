package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysprof/syscalltab/needs"
)

// Tmux is a terminal with a shell in it, of which a test sees what somebody would.
type Tmux struct {
	T       *testing.T
	program string
	socket  string
}

// StartTmux starts a terminal of that size. Its shell finds sysprof, and the test binary is $SELF there.
func StartTmux(t *testing.T, width, height int, env ...string) *Tmux {
	t.Helper()
	m := &Tmux{t, needs.Program(t, "tmux", "tmux"), filepath.Join(t.TempDir(), "s")}
	bash := needs.Program(t, "bash", "bash")
	cmd := m.command("new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), bash, "--norc", "--noprofile")
	path := filepath.Dir(ProgramWith(t, "sysprof-live")) + ":" + os.Getenv("PATH")
	cmd.Env = append(append(os.Environ(), "PATH="+path, "PS1=$ ", "SELF="+Self(), "PROMPT_COMMAND="), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() { m.command("kill-server").Run() })
	m.Shows("$")
	return m
}

func (m *Tmux) command(args ...string) *exec.Cmd {
	return exec.Command(m.program, append([]string{"-S", m.socket, "-f", "/dev/null"}, args...)...)
}

// Do has tmux do something, and returns what it says.
func (m *Tmux) Do(args ...string) string {
	m.T.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		m.T.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Keys presses keys, by tmux's names, and text types some.
func (m *Tmux) Keys(names ...string) { m.T.Helper(); m.Do(append([]string{"send-keys"}, names...)...) }
func (m *Tmux) Text(text string)     { m.T.Helper(); m.Do("send-keys", "-l", text) }

// Types types a line for the shell.
func (m *Tmux) Types(line string) {
	m.T.Helper()
	m.Text(line)
	m.Keys("Enter")
}

// Screen is what can be seen, and history what could be before, too.
func (m *Tmux) Screen() string  { m.T.Helper(); return m.Do("capture-pane", "-p") }
func (m *Tmux) history() string { m.T.Helper(); return m.Do("capture-pane", "-p", "-S", "-") }

// LineOfCursor is the line that the cursor stands in.
func (m *Tmux) LineOfCursor() string {
	m.T.Helper()
	y := strings.TrimSpace(m.Do("display-message", "-p", "#{cursor_y}"))
	return m.Do("capture-pane", "-p", "-S", y, "-E", y)
}

// Shows waits until all of these can be seen.
func (m *Tmux) Shows(texts ...string) (screen string) {
	m.T.Helper()
	return m.comes(m.Screen, texts)
}

// HasShown waits until all of these could be seen.
func (m *Tmux) HasShown(texts ...string) (history string) {
	m.T.Helper()
	return m.comes(m.history, texts)
}

func (m *Tmux) comes(what func() string, texts []string) (seen string) {
	m.T.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		seen = what()
		missing := ""
		for _, text := range texts {
			if !strings.Contains(seen, text) {
				missing = text
			}
		}
		if missing == "" {
			return seen
		}
		if time.Now().After(deadline) {
			m.T.Fatalf("%q is not to be seen but\n%s", missing, seen)
		}
	}
}

// NoteModes has a shell note the terminal's modes.
const NoteModes = "stty -a >$PWD/modes"

// IsAsBefore demands that the terminal's modes are those that NoteModes has noted, and that its screen is the usual one.
func (m *Tmux) IsAsBefore() {
	m.T.Helper()
	if on := m.Do("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}"); on != "0 1 0 0\n" {
		m.T.Errorf("the terminal has another screen, or no cursor: %q", on)
	}
	m.Types("stty -a | diff - $PWD/modes && echo as it was; echo that was it")
	if screen := m.Shows("\nthat was it"); !strings.Contains(screen, "\nas it was\n") {
		m.T.Errorf("the terminal's modes are not as they were:\n%s", screen)
	}
}

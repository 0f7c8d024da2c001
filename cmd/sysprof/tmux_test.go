package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sysprof/syscalltab/needs"
)

// tmux is a terminal with a shell in it, of which a test sees what somebody would.
type tmux struct {
	t       *testing.T
	program string
	socket  string
}

// startTmux starts a terminal of that size. Its shell finds sysprof, and the test binary is $SELF there, as target "calls" if it
// is told so.
func startTmux(t *testing.T, width, height int, env ...string) *tmux {
	t.Helper()
	m := &tmux{t, needs.Program(t, "tmux", "tmux"), filepath.Join(t.TempDir(), "s")}
	bash := needs.Program(t, "bash", "bash")
	cmd := m.command("new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), bash, "--norc", "--noprofile")
	path := filepath.Dir(liveProgram(t)) + ":" + os.Getenv("PATH")
	cmd.Env = append(append(os.Environ(), "PATH="+path, "PS1=$ ", "SELF="+self(), "PROMPT_COMMAND="), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() { m.command("kill-server").Run() })
	m.shows("$")
	return m
}

func (m *tmux) command(args ...string) *exec.Cmd {
	return exec.Command(m.program, append([]string{"-S", m.socket, "-f", "/dev/null"}, args...)...)
}

// do has tmux do something, and returns what it says.
func (m *tmux) do(args ...string) string {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// keys presses keys, by tmux's names, and text types some.
func (m *tmux) keys(names ...string) { m.t.Helper(); m.do(append([]string{"send-keys"}, names...)...) }
func (m *tmux) text(text string)     { m.t.Helper(); m.do("send-keys", "-l", text) }

// types types a line for the shell.
func (m *tmux) types(line string) {
	m.t.Helper()
	m.text(line)
	m.keys("Enter")
}

// screen is what can be seen, and history what could be before, too.
func (m *tmux) screen() string  { m.t.Helper(); return m.do("capture-pane", "-p") }
func (m *tmux) history() string { m.t.Helper(); return m.do("capture-pane", "-p", "-S", "-") }

// lineOfCursor is the line that the cursor stands in.
func (m *tmux) lineOfCursor() string {
	m.t.Helper()
	y := strings.TrimSpace(m.do("display-message", "-p", "#{cursor_y}"))
	return m.do("capture-pane", "-p", "-S", y, "-E", y)
}

// shows waits until all of these can be seen.
func (m *tmux) shows(texts ...string) (screen string) {
	m.t.Helper()
	return m.comes(m.screen, texts)
}

// hasShown waits until all of these could be seen.
func (m *tmux) hasShown(texts ...string) (history string) {
	m.t.Helper()
	return m.comes(m.history, texts)
}

func (m *tmux) comes(what func() string, texts []string) (seen string) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
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
			m.t.Fatalf("%q is not to be seen but\n%s", missing, seen)
		}
	}
}

// isAs demands that the terminal's modes are those that before has noted.
const noteModes = "stty -a >$PWD/modes"

func (m *tmux) isAsBefore() {
	m.t.Helper()
	if on := m.do("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}"); on != "0 1 0 0\n" {
		m.t.Errorf("the terminal has another screen, or no cursor: %q", on)
	}
	m.types("stty -a | diff - $PWD/modes && echo as it was; echo that was it")
	if screen := m.shows("\nthat was it"); !strings.Contains(screen, "\nas it was\n") {
		m.t.Errorf("the terminal's modes are not as they were:\n%s", screen)
	}
}

var liveBinary struct {
	once sync.Once
	err  error
}

// liveProgram builds sysprof-live beside sysprof, and returns the path of that.
func liveProgram(t *testing.T) string {
	t.Helper()
	path := program(t)
	liveBinary.once.Do(func() {
		if out, err := exec.Command("go", "build", "-o", filepath.Dir(path), "../sysprof-live").CombinedOutput(); err != nil {
			liveBinary.err = fmt.Errorf("build sysprof-live: %w\n%s", err, out)
		}
	})
	if liveBinary.err != nil {
		t.Fatal(liveBinary.err)
	}
	return path
}

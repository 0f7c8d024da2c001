package ptrace_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peer is a target that was started untraced, and that the test talks with, a line at a time.
type peer struct {
	t   *testing.T
	pid int
	in  *os.File
	out *bufio.Reader
	raw *os.File
}

// start starts a target untraced. Nobody waits for it before the end of the test: a wait in this
// process would take the stops away from a tracer in this process.
func start(t *testing.T, name string, args ...string) *peer {
	t.Helper()
	return startWith(t, nil, name, args...)
}

// startWith is start with more in the environment.
func startWith(t *testing.T, env []string, name string, args ...string) *peer {
	t.Helper()
	cmd := exec.Command(self(), args...)
	cmd.Env = append(append(environ(), targetEnv+"="+name), env...)
	return startCommand(t, cmd)
}

func startCommand(t *testing.T, cmd *exec.Cmd) *peer {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	p := &peer{t: t, pid: cmd.Process.Pid, in: inW, out: bufio.NewReader(outR), raw: outR}
	t.Cleanup(func() {
		// If a tracer has already seen it end, its number may be another one's by now, which tests beside this one have started.
		if parent := status(p.pid, "PPid"); parent == "" || parent == strconv.Itoa(os.Getpid()) {
			unix.Kill(-p.pid, unix.SIGKILL)
		}
		cmd.Wait()
		inW.Close()
		outR.Close()
	})
	return p
}

// line reads what the target says next.
func (p *peer) line() string {
	p.t.Helper()
	p.raw.SetReadDeadline(time.Now().Add(patience))
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("the target does not answer: %v\n%s", err, processes(p.pid))
	}
	return strings.TrimSuffix(line, "\n")
}

func (p *peer) say(line string) {
	p.t.Helper()
	if _, err := p.in.WriteString(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) ask(line string) string {
	p.t.Helper()
	p.say(line)
	return p.line()
}

// answer asks for a JSON value.
func (p *peer) answer(question string, v any) {
	p.t.Helper()
	p.say(question)
	p.answerLine(v)
}

// answerLine reads a JSON value that the target says by itself.
func (p *peer) answerLine(v any) {
	p.t.Helper()
	if line := p.line(); json.Unmarshal([]byte(line), v) != nil {
		p.t.Fatalf("no JSON: %q", line)
	}
}

// alive demands that the target still works.
func (p *peer) alive() {
	p.t.Helper()
	if got := p.ask("echo"); got != "echo" {
		p.t.Fatalf("the target answers %q", got)
	}
}

// serve is the other side of a peer: it answers each line that comes in, and "echo" by itself.
func serve(answer func(line string) any) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if line := lines.Text(); line == "echo" {
			fmt.Println(line)
		} else {
			reply(answer(line))
		}
	}
}

func reply(v any) {
	data, err := json.Marshal(v)
	must(err)
	fmt.Println(string(data))
}

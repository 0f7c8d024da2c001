package drive

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Talk is a running command that the test talks with, through its stdin and stdout.
type Talk struct {
	T      *testing.T
	Cmd    *exec.Cmd
	In     *os.File
	out    *os.File
	lines  *bufio.Reader
	stderr string // a file
	Ended  bool
}

// Start starts a command. Its stderr goes to a file, so that it can be read while it is written.
func Start(t *testing.T, cmd *exec.Cmd) *Talk {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	stderr.Close()
	k := &Talk{T: t, Cmd: cmd, In: inW, out: outR, lines: bufio.NewReader(outR), stderr: stderr.Name()}
	t.Cleanup(func() {
		Kill(cmd.Process.Pid)
		if !k.Ended {
			cmd.Wait()
		}
		inW.Close()
		outR.Close()
	})
	return k
}

// Pid is the process id of the command.
func (k *Talk) Pid() int { return k.Cmd.Process.Pid }

// Line waits for the next line that the command writes to stdout.
func (k *Talk) Line() string {
	k.T.Helper()
	k.out.SetReadDeadline(time.Now().Add(Patience))
	line, err := k.lines.ReadString('\n')
	if err != nil {
		k.T.Fatalf("no answer: %v\n%s", err, k.Written())
	}
	return strings.TrimSuffix(line, "\n")
}

// Expect demands that it is a certain line.
func (k *Talk) Expect(want string) {
	k.T.Helper()
	if got := k.Line(); got != want {
		k.T.Fatalf("the command says %q, want %q", got, want)
	}
}

// Say writes a line to the command's stdin.
func (k *Talk) Say(line string) {
	k.T.Helper()
	if _, err := k.In.WriteString(line + "\n"); err != nil {
		k.T.Fatal(err)
	}
}

// Alive demands that the target answers.
func (k *Talk) Alive() {
	k.T.Helper()
	k.Say("echo")
	k.Expect("echo")
}

// End waits for the end of the command.
func (k *Talk) End() syscall.WaitStatus {
	k.T.Helper()
	k.Ended = true
	return WaitFor(k.T, k.Cmd)
}

// Written is what has been written to stderr so far.
func (k *Talk) Written() string { return Read(k.stderr) }

// Signal sends a signal to the command.
func (k *Talk) Signal(sig syscall.Signal) {
	k.T.Helper()
	if err := unix.Kill(k.Pid(), sig); err != nil {
		k.T.Fatal(err)
	}
}

// Rest is what the command writes until its end.
func (k *Talk) Rest() string {
	k.T.Helper()
	var text strings.Builder
	k.out.SetReadDeadline(time.Now().Add(Patience))
	if _, err := k.lines.WriteTo(&text); err != nil {
		k.T.Fatal(err)
	}
	return text.String()
}

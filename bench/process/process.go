// Package process starts programs, waits for them, and ends them, each within a bound. A bench that runs
// for twenty minutes must not hang because a tracer does, and must leave no process behind. The package
// does not know what the programs are for.
//
// Every program gets a process group of its own, and Kill ends that group. The kernel kills a program
// when the thread that started it ends (PR_SET_PDEATHSIG). A caller must therefore start programs from a
// goroutine that is locked to a thread which lasts, such as the main thread.
package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Words      []string
	Dir        string              // empty: the one of this process
	Env        []string            // added to the environment of this process
	Credential *syscall.Credential // nil: the one of this process
	Stdin      io.Reader           // nil: empty
	Discard    bool                // throw the standard output away
	Stdout     io.WriteCloser      // gets the standard output, and is closed at its end; nil: Output has it
}

// Process is a program that has been started. Its methods are for one goroutine.
type Process struct {
	Pid    int
	words  string
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{}
	err    error // what exec.Cmd.Wait returned; valid once done is closed
}

// outputDelay is how long to wait for output after a program's end, if a child of it keeps the output open.
const outputDelay = 2 * time.Second

// Start starts a program. It sets LC_ALL to C, since what the program prints may be parsed.
func Start(spec Spec) (*Process, error) {
	p := &Process{words: strings.Join(spec.Words, " "), done: make(chan struct{})}
	p.cmd = exec.Command(spec.Words[0], spec.Words[1:]...)
	p.cmd.Dir, p.cmd.Stdin = spec.Dir, spec.Stdin
	p.cmd.Env = append(append(os.Environ(), "LC_ALL=C"), spec.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: spec.Credential}
	p.cmd.WaitDelay = outputDelay
	p.cmd.Stderr = &p.stderr
	switch {
	case spec.Stdout != nil:
		p.cmd.Stdout = spec.Stdout
	case !spec.Discard:
		p.cmd.Stdout = &p.stdout
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Words[0], err)
	}
	p.Pid = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		if spec.Stdout != nil {
			spec.Stdout.Close()
		}
		close(p.done)
	}()
	return p, nil
}

// Run runs a program to its end. It fails if the program does, or takes longer than bound.
func Run(ctx context.Context, spec Spec, bound time.Duration) (*Process, error) {
	p, err := Start(spec)
	if err != nil {
		return nil, err
	}
	return p, p.Wait(ctx, bound)
}

// Wait waits for the program's end, and kills it after bound or when ctx is done. An exit status other
// than 0 is an error that quotes the program's standard error.
func (p *Process) Wait(ctx context.Context, bound time.Duration) error {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s: not finished after %v", p.words, bound)
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
	if p.err != nil {
		p.Kill() // its children may still run
		return fmt.Errorf("%s: %w\n%s", p.words, p.err, tail(p.stderr.Bytes()))
	}
	return nil
}

// Stop sends a signal to the program and waits for its end. It is no error if the program dies of that
// signal. If the program has not ended within bound, Stop kills it and returns an error.
func (p *Process) Stop(sig syscall.Signal, bound time.Duration) error {
	defer p.Kill()
	if p.Ended() {
		return fmt.Errorf("%s: ended too early: %v\n%s", p.words, p.cmd.ProcessState, tail(p.stderr.Bytes()))
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(bound):
		return fmt.Errorf("%s: did not end within %v of signal %d", p.words, bound, sig)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && (status.Signaled() && status.Signal() == sig || status.ExitStatus() == 0 || status.ExitStatus() == 128+int(sig)) {
		return nil
	}
	return fmt.Errorf("%s: %v\n%s", p.words, p.cmd.ProcessState, tail(p.stderr.Bytes()))
}

// Kill kills the program's process group, and waits for the program. It may be called at any time.
func (p *Process) Kill() {
	syscall.Kill(-p.Pid, syscall.SIGKILL)
	select {
	case <-p.done:
	case <-time.After(2 * outputDelay): // it is blocked in the kernel, and cannot be killed
	}
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output returns what the program wrote. Precondition: it has ended.
func (p *Process) Output() (stdout, stderr string) { return p.stdout.String(), p.stderr.String() }

// Until waits until a condition is true. The name of the condition is for the error if that takes longer
// than bound.
func Until(ctx context.Context, name string, bound time.Duration, condition func() bool) error {
	deadline := time.Now().Add(bound)
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain: %s", bound, name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// tail returns the end of an error output, where the reason is.
func tail(text []byte) []byte {
	const most = 600
	text = bytes.TrimSpace(text)
	return text[max(0, len(text)-most):]
}

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// growHelper is the program of the memory workload. It makes many calls, has many processes, has many
// threads, and does all of that again. After each phase of the first time, and at the end, it writes a
// line and waits until it reads one.
func growHelper(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var sizes [3]int
	if len(args) != len(sizes) {
		fmt.Fprintln(stderr, "bench: grow: want numbers of calls, processes and threads")
		return statusUsage
	}
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil {
			fmt.Fprintf(stderr, "bench: grow: %v\n", err)
			return statusUsage
		}
		sizes[i] = n
	}
	acknowledgements := bufio.NewReader(stdin)
	report := func(phase string) error {
		fmt.Fprintln(stdout, phase)
		_, err := acknowledgements.ReadString('\n')
		return err
	}
	if err := grow(growSizes{sizes[0], sizes[1], sizes[2]}, report); err != nil {
		fmt.Fprintf(stderr, "bench: grow: %v\n", err)
		return statusFailure
	}
	return statusOK
}

// grow calls report at the end of every phase, while the processes or threads of the phase are alive.
func grow(sizes growSizes, report func(phase string) error) error {
	if err := report("start"); err != nil {
		return err
	}
	doNotReport := func(string) error { return nil }
	for _, reportPhase := range []func(string) error{report, doNotReport} {
		callGetppid(sizes.calls)
		if err := reportPhase("calls"); err != nil {
			return err
		}
		if err := withProcesses(sizes.processes, func() error { return reportPhase("processes") }); err != nil {
			return err
		}
		if err := withThreads(sizes.threads, func() error { return reportPhase("threads") }); err != nil {
			return err
		}
	}
	return report("again")
}

// withProcesses calls f while n more processes are alive.
func withProcesses(n int, f func() error) error {
	end, begin, err := os.Pipe()
	if err != nil {
		return err
	}
	cats := make([]*exec.Cmd, 0, n)
	for range n {
		cat := exec.Command("cat")
		cat.Stdin = end // cat ends when the other end is closed
		if err = cat.Start(); err != nil {
			break
		}
		cats = append(cats, cat)
	}
	end.Close()
	if err == nil {
		err = f()
	}
	begin.Close()
	for _, cat := range cats {
		if e := cat.Wait(); err == nil {
			err = e
		}
	}
	return err
}

// withThreads calls f while n more threads are alive.
func withThreads(n int, f func() error) error {
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(gate[0])
	var alive, ended sync.WaitGroup
	alive.Add(n)
	for range n {
		ended.Go(func() {
			runtime.LockOSThread() // without an unlock, the thread ends with the goroutine
			alive.Done()
			var b [1]byte
			for {
				if _, err := unix.Read(gate[0], b[:]); err != unix.EINTR {
					return
				}
			}
		})
	}
	alive.Wait()
	err := f()
	unix.Close(gate[1])
	ended.Wait()
	return err
}

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

// growHelper is a program that makes many calls, then has many processes, then many threads, then
// all of it again. It writes a line after each and goes on when it has read one.
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
	answers := bufio.NewReader(stdin)
	ready := func(phase string) error {
		fmt.Fprintln(stdout, phase)
		_, err := answers.ReadString('\n')
		return err
	}
	if err := grow(growSizes{sizes[0], sizes[1], sizes[2]}, ready); err != nil {
		fmt.Fprintf(stderr, "bench: grow: %v\n", err)
		return statusFailure
	}
	return statusOK
}

// grow calls ready at the end of every phase, with the processes or threads of it still alive.
func grow(sizes growSizes, ready func(phase string) error) error {
	if err := ready("start"); err != nil {
		return err
	}
	silent := func(string) error { return nil }
	for _, report := range []func(string) error{ready, silent} {
		callGetppid(sizes.calls)
		if err := report("calls"); err != nil {
			return err
		}
		if err := withProcesses(sizes.processes, func() error { return report("processes") }); err != nil {
			return err
		}
		if err := withThreads(sizes.threads, func() error { return report("threads") }); err != nil {
			return err
		}
	}
	return ready("again")
}

// withProcesses calls f while that many more processes are alive.
func withProcesses(n int, f func() error) error {
	end, begin, err := os.Pipe()
	if err != nil {
		return err
	}
	cats := make([]*exec.Cmd, 0, n)
	for range n {
		cat := exec.Command("cat")
		cat.Stdin = end // ends when nobody can write any more
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

// withThreads calls f while that many more threads are alive.
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
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
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

package main

import (
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timedWorkload is a workload on one CPU: a command that makes a known number of system calls and says how
// long they took.
type timedWorkload struct {
	name string
	what string // for -list
	// command returns the command that makes a number of calls.
	command func(k *toolkit, calls int) []string
	// elapsed parses how long the calls took from what the command wrote.
	elapsed func(stdout, stderr string) (time.Duration, error)
	stacks  bool                    // it is about the capture of stacks
	missing func(k *toolkit) string // why it cannot run, empty if it can; nil: it always can
}

func allWorkloads() []timedWorkload {
	return []timedWorkload{
		{
			name: "getppid", what: "getppid, the cheapest call, in a loop",
			command: func(k *toolkit, calls int) []string {
				return append(append([]string{}, k.getppid...), strconv.Itoa(calls))
			},
			elapsed: printedNanoseconds,
		},
		{
			name: "dd-bs1", what: "dd bs=1 from /dev/zero to /dev/null: read and write in turn",
			command: func(_ *toolkit, calls int) []string {
				return []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=" + strconv.Itoa(calls/2)}
			},
			elapsed: func(_, stderr string) (time.Duration, error) { return ddElapsed(stderr) },
		},
		{
			name: deepSame, what: "getppid, 24 frames deep without frame pointers, always the same stack",
			command: func(k *toolkit, calls int) []string { return []string{k.deep, strconv.Itoa(calls)} },
			elapsed: printedNanoseconds, stacks: true, missing: needsC,
		},
		{
			name: deepOther, what: "the same, but every call from another place on the stack",
			command: func(k *toolkit, calls int) []string { return []string{k.deep, strconv.Itoa(calls), "vary"} },
			elapsed: printedNanoseconds, stacks: true, missing: needsC,
		},
	}
}

// The names of the workloads about stacks.
const (
	deepSame  = "stacks-same"
	deepOther = "stacks-other"
)

func needsC(k *toolkit) string { return k.whyNoC }

func printedNanoseconds(stdout, _ string) (time.Duration, error) {
	ns, err := strconv.ParseInt(strings.TrimSpace(stdout), 10, 64)
	return time.Duration(ns), err
}

var ddTime = regexp.MustCompile(`copied, ([0-9.e+-]+) s,`)

// ddElapsed parses the summary of GNU dd, which ends in "copied, 1.50217 s, 66.6 kB/s".
func ddElapsed(stderr string) (time.Duration, error) {
	found := ddTime.FindStringSubmatch(stderr)
	if found == nil {
		return 0, fmt.Errorf("dd did not say how long it took: %q", stderr)
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	return time.Duration(seconds * 1e9), err
}

// getppidHelper does what c/getppid.c does, for machines without a C compiler. It times the calls itself,
// by the vDSO clock.
func getppidHelper(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "bench: getppid: want a number of calls")
		return statusUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Fprintf(stderr, "bench: getppid: %v\n", err)
		return statusUsage
	}
	runtime.LockOSThread()
	start := time.Now()
	callGetppid(n)
	fmt.Fprintln(stdout, time.Since(start).Nanoseconds())
	return statusOK
}

func callGetppid(n int) {
	for range n {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
}

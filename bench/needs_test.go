package main

import (
	"bytes"
	"os"
	"testing"

	"sysprof/bench/workload"
)

// skip skips a test that cannot run on this machine. Where SYSPROF_NO_SKIPS is set, the test fails
// instead.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("SYSPROF_NO_SKIPS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// needPrograms skips a test where a program is missing.
func needPrograms(t testing.TB, needs ...workload.Need) {
	t.Helper()
	for _, n := range needs {
		if _, err := workload.Find(n.Program); err != nil {
			skip(t, "needs "+n.Program+": apt-get install "+n.Package)
		}
	}
}

// needPtrace skips a test where nothing may be traced, as in some containers.
func needPtrace(t testing.TB) {
	t.Helper()
	var out bytes.Buffer
	if status, err := traceFloor([]string{"true"}, nil, &out, &out); err != nil || status != 0 {
		t.Logf("status %d, %v %s", status, err, out.String())
		skip(t, "needs ptrace: give a container the capability SYS_PTRACE")
	}
}

// needTwoCPUs skips a test where all must be on one CPU.
func needTwoCPUs(t testing.TB) {
	t.Helper()
	if len(allowedCPUs()) < 2 {
		skip(t, "needs two CPUs")
	}
}

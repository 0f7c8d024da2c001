package main

import (
	"bytes"
	"testing"

	"sysprof/bench/workload"
	"sysprof/syscalltab/needs"
)

// needPrograms demands the programs of workloads.
func needPrograms(t testing.TB, programs ...workload.Need) {
	t.Helper()
	for _, n := range programs {
		_, err := workload.Find(n.Program)
		needs.That(t, err == nil, n.Program, "apt-get install "+n.Package)
	}
}

// needPtrace demands that something may be traced, as it may not in some containers.
func needPtrace(t testing.TB) {
	t.Helper()
	var out bytes.Buffer
	status, err := traceFloor([]string{"true"}, nil, &out, &out)
	if err != nil || status != 0 {
		t.Logf("status %d, %v %s", status, err, out.String())
	}
	needs.That(t, err == nil && status == 0, "ptrace", "give a container the capability SYS_PTRACE")
}

// needTwoCPUs demands that not all is on one CPU.
func needTwoCPUs(t testing.TB) {
	t.Helper()
	needs.That(t, len(allowedCPUs()) >= 2, "two CPUs", "allow them (taskset)")
}

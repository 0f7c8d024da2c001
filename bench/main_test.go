package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sysprof/bench/workload"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain makes the test binary able to run as the helpers, as the bench binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && helpers()[os.Args[1]] != nil {
		os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestRunRefuses(t *testing.T) {
	for _, args := range []string{"-n 0", "-scale 0", "-scale NaN", "-calls 1", "-memory-threads 0", "-only (", "-nosuch", "getppid"} {
		var stdout, stderr bytes.Buffer
		if status := run(append([]string{"bench"}, strings.Fields(args)...), nil, &stdout, &stderr); status != statusUsage {
			t.Errorf("%s: status %d, want %d", args, status, statusUsage)
		}
		if stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%s: stdout %q, stderr %q; want a message on stderr alone", args, stdout.String(), stderr.String())
		}
	}
}

func TestList(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run([]string{"bench", "-list"}, nil, &stdout, &stderr); status != statusOK {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	for _, name := range []string{"getppid", "dd-bs1", "memory", "pauses/20x50", "accuracy", "untraced", "floor", "floor-c", "sysprof", "strace",
		"batch/find", "attached/redis", "filter/nothing", "crowd/busy", "floor-c pinned", "strace --seccomp-bpf", "perf trace -s", "bpftrace"} {
		if !strings.Contains(stdout.String(), "\n  "+name+" ") {
			t.Errorf("%s is not listed:\n%s", name, stdout.String())
		}
	}
}

// Each workload on one CPU is measured once, at the smallest size, by the command line.
func TestPinnedOnce(t *testing.T) {
	needPtrace(t)
	t.Run("Go alone", func(t *testing.T) {
		pinnedOnce(t, "^(getppid|dd-bs1|memory)$", []string{"getppid", "dd-bs1", "÷ floor", "again"})
	})
	t.Run("everything", func(t *testing.T) {
		needPrograms(t, workload.Need{Program: "cc", Package: "gcc"}, strace)
		needTwoCPUs(t)
		pinnedOnce(t, "^[^/]*$|^pauses/", []string{"getppid", "dd-bs1", "stacks-other", "÷ strace", "again", "20x50", "stands still", "pinned/other/blocks/1", "warning: need >= 6 samples"})
	})
}

// pinnedOnce measures the workloads that match only, and wants these texts in the tables.
func pinnedOnce(t *testing.T, only string, texts []string) {
	t.Helper()
	var before, after unix.CPUSet
	unix.SchedGetaffinity(0, &before)
	dir := t.TempDir()
	goFormat, json := filepath.Join(dir, "go"), filepath.Join(dir, "json")
	var stdout, stderr bytes.Buffer
	status := run([]string{"bench", "-n", "1", "-only", only, "-calls", "200", "-memory-calls", "1000",
		"-scale", "0.02", "-memory-processes", "3", "-memory-threads", "3", "-accuracy-calls", "50", "-accuracy-conditions", "^pinned/other/(blocks/1|apart|programs)$", "-accuracy-raw", filepath.Join(dir, "raw"), "-o", goFormat, "-json", json}, nil, &stdout, &stderr)
	if status != statusOK {
		t.Fatalf("status %d\n%s%s", status, stdout.String(), stderr.String())
	}
	for _, want := range texts {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, stdout.String())
		}
	}
	for file, want := range map[string]string{goFormat: "BenchmarkAdded/dd-bs1/sysprof 1 ", json: `"format": 1`} {
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: lacks %q, %v:\n%s", file, want, err, data)
		}
	}
	unix.SchedGetaffinity(0, &after)
	if before != after {
		t.Errorf("bench stays pinned: CPUs %v before, %v after", before, after)
	}
}

// The floor reads nothing of its tracees, and lets them do all that they do.
func TestFloorEndsAsItsCommand(t *testing.T) {
	needPtrace(t)
	for _, test := range []struct {
		name, script string
		status       int
		output       string
	}{
		{"exit", "exit 3", 3, ""},
		{"signal", "kill -TERM $$", 128 + 15, ""},
		{"handled signal", "trap 'echo caught' USR1; kill -USR1 $$; exit 0", 0, "caught\n"},
		{"children", "(exit 7); echo $?; sh -c 'echo child' | cat", 0, "7\nchild\n"},
		{"not found", "exec /nonexistent 2>/dev/null", 127, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout bytes.Buffer
			floor := exec.Command(os.Args[0], "helper-floor", "/bin/sh", "-c", test.script)
			floor.Stdout, floor.Stderr = &stdout, os.Stderr
			floor.Run()
			if got := floor.ProcessState.ExitCode(); got != test.status {
				t.Errorf("status %d, want %d", got, test.status)
			}
			if stdout.String() != test.output {
				t.Errorf("output %q, want %q", stdout.String(), test.output)
			}
		})
	}
}

func TestGrowReportsItsPhases(t *testing.T) {
	var phases []string
	err := grow(growSizes{calls: 10, processes: 2, threads: 2}, func(phase string) error {
		phases = append(phases, phase)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"start", "calls", "processes", "threads", "again"}
	if diff := cmp.Diff(want, phases); diff != "" {
		t.Error(diff)
	}
}

func TestChosenTracers(t *testing.T) {
	all := []tracer{{name: untraced}, {name: floorGo}, {name: straceC, missing: "not installed"}}
	names := func(list []tracer) (names []string) {
		for _, t := range list {
			names = append(names, t.name)
		}
		return names
	}
	for _, test := range []struct {
		name                    string
		want                    []string
		found, missing, unknown []string
	}{
		{"all", nil, []string{untraced, floorGo}, []string{straceC}, nil},
		{"untraced is always there", []string{floorGo}, []string{untraced, floorGo}, nil, nil},
		{"missing", []string{straceC}, []string{untraced}, []string{straceC}, nil},
		{"unknown", []string{floorGo, "truss"}, []string{untraced, floorGo}, nil, []string{"truss"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, missing, unknown := chosenTracers(all, test.want)
			if diff := cmp.Diff([][]string{test.found, test.missing, test.unknown},
				[][]string{names(found), names(missing), unknown}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

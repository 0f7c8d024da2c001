package engines_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"

	"github.com/google/go-cmp/cmp"
)

// TestEnginesAgreeOnGroups: both engines tell the same groups apart, by the same names, with the same calls.
func TestEnginesAgreeOnGroups(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	shell := []string{"sh", "-c", "ls -l / >/dev/null; (cat /etc/passwd; cat /nonexistent 2>/dev/null) | sort >/dev/null; wc -l </etc/group >/dev/null"}
	for _, tt := range []struct {
		name    string
		command []string
		without string
	}{
		{"shell", shell, "brk wait4 rt_sigreturn vfork clone "},
		{"exec from a thread", []string{wide, "exec"}, "futex "},
		{"threads", []string{wide, "threads", "20", "100"}, "futex mprotect mmap munmap madvise "},
		{"vforks", []string{wide, "vforks", "20"}, ""},
		{"killed", []string{wide, "killed", "5"}, ""},
		{"names", []string{wide, "names", "5"}, "futex mmap munmap mprotect madvise "},
	} {
		flags := [][]string{{"--by=comm"}, {"--by=tid"}, {"--by=thread_name,errno"}}
		if tt.name == "shell" || tt.name == "vforks" {
			flags = append(flags, []string{"--by=pid"}, []string{"--by=cgroup"}, []string{"--by=comm", "--only=comm=*s*", "-e", "trace=!brk"}, []string{"--by=comm", "-Z"})
		}
		for _, flags := range flags {
			t.Run(tt.name+" "+strings.Join(flags, " "), func(t *testing.T) {
				of := func(engine string) map[string]string {
					file := filepath.Join(t.TempDir(), "groups.json")
					args := []string{"--engine=" + engine, "-q", "--json", file, "-o", "/dev/null"}
					runInTime(t, slices.Concat(args, flags, tt.command)...).Exited(t, 0)
					return drive.ReadGroups(t, file).GroupCalls(tt.without)
				}
				if d := cmp.Diff(of("ptrace"), of("kernel")); d != "" {
					t.Errorf("(-ptrace +kernel):\n%s", d)
				}
			})
		}
	}
}

// TestKernelGroupsOfManyThreads: however many there are, none of their calls is lost, and those that are told apart are right.
func TestKernelGroupsOfManyThreads(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	s, _ := drive.GroupsOf(t, drive.Plain(t, "--engine=kernel", "--by=tid", "-e", "trace=getppid", wide, "threads", "300", "100"))
	each := make(map[string]int)
	for who, n := range s.Counts("getppid", "tid") {
		if n == 50 {
			each["whole"]++
		} else {
			each[who] = n
		}
	}
	if d := cmp.Diff(map[string]int{"whole": 300}, each); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestKernelGroupsOfAll: on the whole machine a group has the calls that its programs say they made, and only one of these.
func TestKernelGroupsOfAll(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	file := filepath.Join(t.TempDir(), "all.json")
	drive.Succeed(t, exec.Command("cp", wide, filepath.Join(filepath.Dir(file), "groupsofall")))
	s, _ := drive.GroupsOf(t, drive.Plain(t, "-a", "--by=comm", filepath.Join(filepath.Dir(file), "groupsofall"), "calls", "5000"))
	ptrace, _ := drive.GroupsOf(t, drive.Plain(t, "--by=comm", filepath.Join(filepath.Dir(file), "groupsofall"), "calls", "5000"))
	if d := cmp.Diff(ptrace.GroupCalls("")["groupsofall"], s.GroupCalls("")["groupsofall"]); d != "" {
		t.Errorf("(-ptrace +all):\n%s", d)
	}
}

// TestKernelGroupsByInterval: intervals and their groups add up to the run.
func TestKernelGroupsByInterval(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	file := filepath.Join(t.TempDir(), "intervals.json")
	o := drive.Run(t, drive.Plain(t, "--engine=kernel", "--by=comm", "-q", "-i", "50ms", "--json", file, "-o", "/dev/null", wide, "forks", "300"))
	o.Exited(t, 0)
	lines := bufio.NewScanner(strings.NewReader(drive.Read(file)))
	lines.Buffer(nil, 1<<26)
	intervals := 0
	sum, whole := make(map[string]int), make(map[string]int)
	for lines.Scan() {
		var s drive.SavedGroups
		drive.Check(t, json.Unmarshal(lines.Bytes(), &s))
		total, rows := 0, 0
		for _, g := range s.Groups {
			total += g.Calls
		}
		for _, r := range s.Rows {
			rows += r.Calls
		}
		if total != rows {
			t.Errorf("groups have %d calls, the rows %d", total, rows)
		}
		whole = s.Counts("", "")
		for name, n := range whole {
			sum[name] += n
		}
		intervals++
	}
	for name := range sum { // the last line is the run
		sum[name] -= whole[name]
	}
	if d := cmp.Diff(whole, sum); d != "" || intervals < 2 {
		t.Errorf("%d intervals (-whole +sum):\n%s", intervals, d)
	}
}

package engines_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

// TestKernelGroupsTimedNowAndThen: of calls that are frequent and short only some are timed, and each thread has all of its calls.
func TestKernelGroupsTimedNowAndThen(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	s, o := drive.GroupsOf(t, drive.Plain(t, "--engine=kernel", "--timed=1/16", "--by=tid", "-e", "trace=getppid", wide, "threads", "20", "40000"))
	whole := 0
	for _, n := range s.Counts("getppid", "tid") {
		if n == 20_000 {
			whole++
		}
	}
	if whole != 20 {
		t.Errorf("%d threads have all of their calls, want 20: %v\n%s", whole, s.Counts("getppid", "tid"), o.Stderr)
	}
}

// TestKernelGroupsInProfile: a profile has the calls that --only keeps, with the names that groups have.
func TestKernelGroupsInProfile(t *testing.T) {
	drive.CountsInKernel(t)
	shell := []string{"/bin/sh", "-c", "for i in 1 2 3 4 5; do /bin/cat /etc/passwd >/dev/null; done; exec /bin/ls / >/dev/null"}
	for name, flags := range map[string][]string{"all": nil, "only sh": {"--only=comm=sh"}, "only cat": {"--only=comm=cat"}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "groups.json")
			_, p, _ := drive.Profiled(t, slices.Concat([]string{"--engine=kernel", "--by=comm", "--labels=comm", "--json", file, "-o", "/dev/null"}, flags), shell...)
			addsUp(t, p, file)
			of := make(map[string]int64)
			calls := drive.ValueOf(t, p, "calls")
			for _, s := range p.Sample {
				if comm := s.Label["comm"]; len(comm) == 1 && !slices.Contains(s.Label["state"], "unfinished") {
					of[comm[0]+" "+drive.Frames(s)[0]] += s.Value[calls]
				}
			}
			// The calls of a row are divided among all that have made such, so that only what one of them makes is known exactly.
			saved := drive.ReadGroups(t, file)
			for call, comm := range map[string]string{"execve": "sh", "wait4": "sh"} {
				want := int64(saved.Counts(call, "")[comm])
				if got := of[comm+" sys_"+call]; got != want || want == 0 && name != "only cat" {
					t.Errorf("%s: the profile has %d %s, its group %d: %v", comm, got, call, want, of)
				}
			}
			for key := range of {
				if only, chosen := strings.CutPrefix(name, "only "); chosen && !strings.HasPrefix(key, only+" ") {
					t.Errorf("%s is in the profile", key)
				}
			}
		})
	}
}

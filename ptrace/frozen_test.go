package ptrace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysprof/ptrace"
	"sysprof/syscalltab/needs"
)

// freezer is a cgroup whose processes can be frozen, of either version of cgroups.
type freezer struct{ folder, file, freeze, thaw, frozen string }

// freezers makes one of each version that there is here.
func freezers(t *testing.T) (all map[string]freezer) {
	t.Helper()
	needs.That(t, os.Geteuid() == 0, "root", "run the tests as root: they make cgroups")
	all = map[string]freezer{}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		m := regexp.MustCompile(`^\S+ \S+ \S+ / (\S+) .* - (cgroup2?) \S+ (\S+)`).FindStringSubmatch(line)
		if m == nil || m[2] == "cgroup" && !slices.Contains(strings.Split(m[3], ","), "freezer") {
			continue
		}
		folder := filepath.Join(m[1], fmt.Sprintf("sysproftest-%d", os.Getpid()))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Logf("no cgroup can be made here: %v", err)
			continue
		}
		t.Cleanup(func() {
			for deadline := time.Now().Add(patience); os.Remove(folder) != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			}
		})
		if m[2] == "cgroup" {
			all[m[2]] = freezer{folder, "freezer.state", "FROZEN", "THAWED", "FROZEN"}
		} else {
			all[m[2]] = freezer{folder, "cgroup.freeze", "1", "0", "frozen 1"}
		}
	}
	return all
}

func (f freezer) write(t *testing.T, file, what string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.folder, file), []byte(what), 0); err != nil {
		t.Fatal(err)
	}
}

func (f freezer) isFrozen() bool {
	file := f.file
	if file == "cgroup.freeze" {
		file = "cgroup.events"
	}
	data, _ := os.ReadFile(filepath.Join(f.folder, file))
	return strings.Contains(string(data), f.frozen)
}

// TestStopWhileFrozen: what is frozen is attached to and left again. It cannot answer an interrupt, or answers
// and goes on being frozen; the end does not wait for it; and when it thaws none of its calls has returned that would not
// have without that.
func TestStopWhileFrozen(t *testing.T) {
	all := freezers(t)
	if len(all) == 0 {
		t.Skip("no hierarchy of cgroups that can be frozen is mounted here")
	}
	for version, f := range all {
		t.Run(version, func(t *testing.T) {
			p, sleepers := startSleepers(t)
			asleep(t, sleepers, 0)
			f.write(t, "cgroup.procs", strconv.Itoa(p.pid))
			t.Cleanup(func() { f.write(t, f.file, f.thaw) }) // or it could not be killed
			freeze := func() {
				f.write(t, f.file, f.freeze)
				eventually(t, "it is frozen", f.isFrozen)
			}
			var before, after []string
			// thaw tells which calls have returned since the start: some do not stand a freeze.
			thaw := func(returned *[]string) {
				slept := map[int]string{}
				for _, s := range sleepers {
					eventually(t, s.Name+" is frozen", func() bool { return strings.Contains("SD", state(s.TID)) })
					slept[s.TID] = switches(s.TID)
				}
				f.write(t, f.file, f.thaw)
				for _, s := range sleepers {
					eventually(t, s.Name+" sleeps, in its call or after it", func() bool {
						// What version 2 has frozen sleeps in its call, and does until it is scheduled again.
						return sleepsIn(s.TID) >= 0 && (version == "cgroup" || switches(s.TID) != slept[s.TID])
					})
				}
				p.answer("returned", returned)
				slices.Sort(*returned)
			}
			freeze()
			thaw(&before)
			for range 3 {
				freeze()
				if version == "cgroup" && ptrace.IsAwaited(p.pid) {
					t.Error("the end would wait for what is frozen")
				}
				tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
				if !isTraced(p.pid) {
					t.Error("it is not traced")
				}
				stop(t, tracer)
				if thaw(&after); !slices.Equal(before, after) {
					t.Fatalf("calls have returned: %q, without sysprof %q", after, before)
				}
			}
		})
	}
}

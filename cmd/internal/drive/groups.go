package drive

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// GroupCalls are the calls of each group, by its name and without numbers that each run has others of.
func (s *SavedGroups) GroupCalls(without string) map[string]string {
	all := make(map[string][]string)
	for _, g := range s.Groups {
		for _, r := range g.Rows {
			if !strings.Contains(without, r.Name+" ") {
				all[g.Name] = append(all[g.Name], fmt.Sprintf("%s %d %d", r.Name, r.Calls, r.Errors))
			}
		}
		for _, f := range g.InFlight {
			all[g.Name] = append(all[g.Name], "in flight: "+f.Name)
		}
	}
	text := make(map[string]string)
	for name, lines := range all {
		slices.Sort(lines)
		text[name] = strings.Join(lines, "\n")
	}
	return text
}

// SavedGroups is what of a JSON file is about groups.
type SavedGroups struct {
	Total struct{ Calls, Errors int }
	Rows  []struct {
		Name          string
		Calls, Errors int
	}
	By     []string `json:"groups_by"`
	Groups []savedGroup
}

type savedGroup struct {
	Who, Name     string
	Values        map[string]any
	Others        int
	Calls, Errors int
	Rows          []struct {
		Name          string
		Calls, Errors int
	}
	InFlight []struct{ Name, Thread string } `json:"in_flight"`
}

// GroupsOf runs sysprof with flags on a command and returns its groups, which have to add up to the whole.
func GroupsOf(t *testing.T, cmd *exec.Cmd) (*SavedGroups, Outcome) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "groups.json")
	cmd.Args = slices.Insert(cmd.Args, 1, "-q", "--json", file, "-o", filepath.Join(filepath.Dir(file), "table"))
	o := Run(t, cmd)
	o.Exited(t, 0)
	return ReadGroups(t, file), o
}

// ReadGroups reads the groups of a JSON file, which have to add up to the whole.
func ReadGroups(t *testing.T, file string) *SavedGroups {
	t.Helper()
	var s SavedGroups
	Check(t, json.Unmarshal([]byte(Read(file)), &s))
	whole, sum := make(map[string][2]int), make(map[string][2]int)
	for _, r := range s.Rows {
		c := whole[r.Name]
		whole[r.Name] = [2]int{c[0] + r.Calls, c[1] + r.Errors}
	}
	for _, g := range s.Groups {
		calls := 0
		for _, r := range g.Rows {
			c := sum[r.Name]
			sum[r.Name] = [2]int{c[0] + r.Calls, c[1] + r.Errors}
			calls += r.Calls
		}
		if calls != g.Calls {
			t.Errorf("%s: %d calls, its rows have %d", g.Who, g.Calls, calls)
		}
	}
	if d := cmp.Diff(whole, sum); d != "" {
		t.Errorf("groups do not add up (-whole +groups):\n%s", d)
	}
	return &s
}

// Counts are the calls of each group, by a field or by who it is.
func (s *SavedGroups) Counts(call, field string) map[string]int {
	counts := make(map[string]int)
	for _, g := range s.Groups {
		key := g.Name
		if field != "" {
			key = fmt.Sprint(g.Values[field])
			if n, ok := g.Values[field].(float64); ok {
				key = strconv.Itoa(int(n))
			}
		}
		for _, r := range g.Rows {
			if call == "" || r.Name == call {
				counts[key] += r.Calls
			}
		}
	}
	return counts
}

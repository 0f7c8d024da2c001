package label

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// controlGroups knows which control group processes are in, which is that of their container if they are in one. It is asked for at
// the first call that a process makes, and when it has become another program: who starts a container moves it before that. Who is
// moved at any other time is shown where it was.
type controlGroups struct {
	names *names

	mu    sync.Mutex // guards what follows
	known map[int32]uint32
}

var becomesAnother = syscalltab.NewPerCall(map[string]bool{"execve": true, "execveat": true})

func newControlGroups(n *names) tracker {
	return &controlGroups{names: n, known: make(map[int32]uint32)}
}

func (g *controlGroups) watched() []string { return becomesAnother.Names() }

func (g *controlGroups) value(c *profile.Call) uint32 {
	g.mu.Lock()
	number, ok := g.known[c.PID]
	g.mu.Unlock()
	if ok {
		return number
	}
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil {
		g.names.changed() // it is to be asked for again
		return 0
	}
	number = g.names.number(controlGroup(string(list)))
	g.mu.Lock()
	g.known[c.PID] = number
	g.mu.Unlock()
	return number
}

func (g *controlGroups) returned(c *profile.Call) {
	if !becomesAnother.Of(c.ABI, c.Nr) {
		return
	}
	g.forget(c.PID)
}

func (g *controlGroups) ended(pid, tid int32) {
	if pid != tid {
		return
	}
	g.forget(pid)
}

func (g *controlGroups) forget(pid int32) {
	g.mu.Lock()
	delete(g.known, pid)
	g.mu.Unlock()
	g.names.changed()
}

// controlGroup is the path of a control group in a list of cgroups(7), of the unified hierarchy, or if there is none, or the process
// is at its root, as on a hybrid system, the longest of the others.
func controlGroup(list string) (path string) {
	for line := range strings.Lines(list) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, its, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case controllers == "" && its != "/":
			return shortIDs(its)
		case len(its) > len(path):
			path = its
		}
	}
	return shortIDs(path)
}

// longID is the number of a container, of which people know the beginning.
var longID = regexp.MustCompile(`[0-9a-f]{32,}`)

func shortIDs(path string) string {
	const shown = 12 // as docker and podman do
	return longID.ReplaceAllStringFunc(path, func(id string) string { return id[:shown] })
}

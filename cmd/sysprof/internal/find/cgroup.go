package find

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// groups are cgroups, by their folders in the file systems of cgroups (cgroups(7)): that of version 2, and those of
// version 1, one for each controller or several.
//
// A cgroup is named by its folder, by its path in a hierarchy as /proc/PID/cgroup has it, which is looked for in all of
// them, or by the id of a container: 12 or more of its first hexadecimal digits, which are part of the name of the
// container's cgroup with every engine (docker-ID.scope, cri-containerd-ID.scope, /docker/ID).
type groups struct{ folders []string }

// openGroups finds the folders of cgroups. It returns an error if one has none.
func openGroups(p proc, names []string) (*groups, error) {
	data, err := os.ReadFile(filepath.Join(p.root, "self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("look for cgroups: %w", err)
	}
	mounts := parseMounts(data)
	if len(mounts) == 0 {
		return nil, errors.New("look for cgroups: their file system is not mounted here (/sys/fs/cgroup)")
	}
	g := &groups{}
	for _, name := range names {
		folders, err := foldersOf(name, mounts)
		if err != nil {
			return nil, err
		}
		g.folders = append(g.folders, folders...)
	}
	return g, nil
}

// mount is where the hierarchy of some cgroups is to be found.
type mount struct {
	root string // the cgroup that the folder shows; "/" but in containers
	at   string
}

// parseMounts finds the file systems of cgroups in /proc/PID/mountinfo (proc(5)).
func parseMounts(mountinfo []byte) (mounts []mount) {
	for line := range bytes.Lines(mountinfo) {
		before, after, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(before)
		kind, _, _ := strings.Cut(after, " ")
		if ok && len(fields) > 4 && (kind == "cgroup" || kind == "cgroup2") {
			mounts = append(mounts, mount{root: unescape(fields[3]), at: unescape(fields[4])})
		}
	}
	return mounts
}

// unescape takes \040 for a blank, and so on.
func unescape(s string) string {
	octal := regexp.MustCompile(`\\[0-7]{3}`)
	return octal.ReplaceAllStringFunc(s, func(code string) string {
		n, _ := strconv.ParseUint(code[1:], 8, 16)
		return string([]byte{byte(n)})
	})
}

// foldersOf finds the folders of a cgroup.
func foldersOf(name string, mounts []mount) (folders []string, err error) {
	add := func(folder string) {
		if folder, err := filepath.EvalSymlinks(folder); err == nil && isGroup(folder) && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	path := filepath.Clean("/" + name)
	for _, m := range mounts {
		if inside, ok := below(path, m.at); ok {
			add(m.at + inside)
			continue
		}
		add(filepath.Join(m.at, path))
		if inside, ok := below(path, m.root); ok {
			add(m.at + inside)
		}
	}
	if len(folders) > 0 {
		return folders, nil
	}
	if id := strings.ToLower(name); isContainerID(id) {
		return containersOf(id, mounts)
	}
	return nil, fmt.Errorf("no cgroup %q: want its path as in /proc/PID/cgroup, its folder below %s, or 12 or more digits of a container's id", name, mounts[0].at)
}

// below cuts a folder off a path that it or something below it has.
func below(path, folder string) (rest string, ok bool) {
	if folder == "/" {
		return path, true
	}
	rest, ok = strings.CutPrefix(path, folder)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// isGroup reports whether a folder is a cgroup's.
func isGroup(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "cgroup.procs"))
	return err == nil
}

// isContainerID reports whether a name is the beginning of an id: 12 to 64 digits.
func isContainerID(name string) bool {
	return len(name) >= 12 && len(name) <= 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// containersOf finds the folders of a container, which all have its id in their names.
func containersOf(id string, mounts []mount) (folders []string, err error) {
	named := regexp.MustCompile(`(?:^|[^0-9a-f])(` + id + `[0-9a-f]*)(?:[^0-9a-f]|$)`)
	var ids []string
	for _, m := range mounts {
		walk(m.at, func(folder string) (enter bool) {
			found := named.FindStringSubmatch(filepath.Base(folder))
			if found == nil {
				return true
			}
			if !slices.Contains(folders, folder) {
				folders = append(folders, folder)
			}
			if !slices.Contains(ids, found[1]) {
				ids = append(ids, found[1])
			}
			return false
		})
	}
	switch {
	case len(ids) == 0:
		return nil, fmt.Errorf("no cgroup of a container whose id begins with %s", id)
	case len(ids) > 1:
		slices.Sort(ids)
		return nil, fmt.Errorf("several containers have ids that begin with %s: %s", id, strings.Join(ids, ", "))
	}
	return folders, nil
}

// walk calls f with a folder and those below it that f wants to enter. Those that go meanwhile are left out.
func walk(top string, f func(folder string) (enter bool)) {
	filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && entry != nil && entry.IsDir():
			return fs.SkipDir
		case err != nil || !entry.IsDir():
			return nil
		case !f(path):
			return fs.SkipDir
		}
		return nil
	})
}

// members lists the processes of the cgroups, and of those below them. Those that are not of this PID namespace have no
// number in it.
func (g *groups) members(p proc) (pids []int) {
	if g == nil {
		return nil
	}
	for _, top := range g.folders {
		walk(top, func(folder string) bool {
			pids = append(pids, membersOf(p, folder)...)
			return true
		})
	}
	return pids
}

// membersOf lists the processes of one cgroup. One that has threads of processes whose others are elsewhere has no list of
// processes ("threaded" cgroups of version 2: EOPNOTSUPP).
func membersOf(p proc, folder string) []int {
	data, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if err == nil {
		return numbers(data)
	}
	data, _ = os.ReadFile(filepath.Join(folder, "cgroup.threads"))
	var pids []int
	for _, tid := range numbers(data) {
		if pid := p.groupOf(tid); pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// numbers reads a list of processes, a line each.
func numbers(data []byte) (list []int) {
	for _, field := range bytes.Fields(data) {
		if n, err := strconv.Atoi(string(field)); err == nil && n > 0 {
			list = append(list, n)
		}
	}
	return list
}

// groupOf is the process of a thread, 0 if it is gone.
func (p proc) groupOf(tid int) int {
	data, _ := os.ReadFile(p.file(tid, "status"))
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			pid, _ := strconv.Atoi(string(bytes.TrimSpace(value)))
			return pid
		}
	}
	return 0
}

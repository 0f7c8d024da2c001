package place

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever kills a cgroup as a whole (cgroup.kill, systemctl kill, a container's end, memory.oom.group) kills this
// process together with the guard, and then nobody would restore affinities. So the guard moves to the root cgroup of
// the hierarchies by which that is done: of cgroup v2, and of systemd's own where that is v1. Only root may do that,
// and where a container does not see the root, or mounts it read-only, nothing changes.
//
// It leaves the account of a service for that, but by little: one process that sleeps, whose memory stays charged to
// where it was. It ends with this process, or soon after it.

// staysFor is how long the guard stays in its cgroups. To leave one takes the kernel until all CPUs have taken note
// (kernel/cgroup/cgroup.c, cgroup_procs_write_start: 31 ms in a virtual machine with 2 CPUs), and neither who writes nor who
// is to leave heeds a signal meanwhile: short runs would have to wait for it at their end. So it is this process that
// writes, and the guard is never kept from what it is for.
const staysFor = 100 * time.Millisecond

// leaveGroups has a process, the guard, leave this process's cgroups, as far as this may.
func leaveGroups(pid int) {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, dir := range groupsToLeave(string(groups), string(mounts)) {
		// Who may write is decided at the opening (kernel/cgroup/cgroup.c, __cgroup_procs_write).
		if fd, err := unix.Open(filepath.Join(dir, "cgroup.procs"), unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			unix.Write(fd, strconv.AppendInt(nil, int64(pid), 10))
			unix.Close(fd)
		}
	}
}

// groupsToLeave returns where the roots are mounted of the hierarchies that a process is to leave, if it is not there
// already, from its /proc/PID/cgroup and mountinfo (cgroups(7), proc(5)).
func groupsToLeave(groups, mounts string) (roots []string) {
	for line := range strings.Lines(groups) {
		field := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy, controllers, path
		if len(field) < 3 || field[2] == "/" {
			continue
		}
		var root string
		switch {
		case field[0] == "0":
			root = rootMount(mounts, "cgroup2", "")
		case field[1] == "name=systemd":
			root = rootMount(mounts, "cgroup", field[1])
		}
		if root != "" {
			roots = append(roots, root)
		}
	}
	return roots
}

// rootMount returns where the root of a file system of a type is mounted that has an option, "" if it is not.
func rootMount(mounts, fsType, option string) string {
	const root, point = 3, 4
	for line := range strings.Lines(mounts) {
		of, by, _ := strings.Cut(line, " - ")
		mount, fs := strings.Fields(of), strings.Fields(by) // by: type, source, options of the file system
		if len(mount) <= point || len(fs) < 3 || fs[0] != fsType || mount[root] != "/" {
			continue
		}
		if option == "" || slices.Contains(strings.Split(fs[2], ","), option) {
			return mount[point]
		}
	}
	return ""
}

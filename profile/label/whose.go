package label

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// Fields that an engine can add calls up by which sees no single ones.
func addable() []string {
	return []string{fieldPID, fieldTID, fieldComm, fieldThread, fieldErrno, fieldCgroup}
}

// Unaddable names the first field that calls are told apart or chosen by and only single ones have; "": there is none.
func (p *Projection) Unaddable() string {
	if p == nil {
		return ""
	}
	can := strings.Join(addable(), ",") + ","
	for _, f := range p.told {
		if !strings.Contains(can, f.Name+",") {
			return f.Name
		}
	}
	return ""
}

// Asks reports whether calls are told apart or chosen by a field, or that is needed to say whose they are.
func (p *Projection) Asks(field string) bool {
	return p != nil && slices.ContainsFunc(p.told, func(f *Field) bool { return f.Name == field })
}

// Of are the values of calls that have been added up, all of which ended with errno.
func (p *Projection) Of(w *profile.Whose, errno int32) (v profile.Values) {
	if p == nil {
		return v
	}
	for i, f := range p.fields {
		switch f.Name {
		case fieldComm:
			v[i] = p.names.number(w.Comm)
		case fieldThread:
			v[i] = p.names.number(w.Thread)
		case fieldCgroup:
			v[i] = p.names.number(p.cgroups.text(w))
		case fieldPID:
			v[i] = uint32(w.PID)
		case fieldTID:
			v[i] = uint32(w.TID)
		case fieldErrno:
			v[i] = uint32(errno)
		}
	}
	return v
}

// cgroupTexts knows control groups by the kernel's numbers of them.
type cgroupTexts struct {
	mu    sync.Mutex // guards what follows
	known map[uint64]string
	mount string // where those of version 2 are; "": not known yet
}

// byAddress marks a number that is of all the cgroups of a process together, none of which has one of its own.
const byAddress = 1 << 63

// text is the path of a control group, as Field cgroup has it.
func (c *cgroupTexts) text(w *profile.Whose) string {
	const most = 10_000
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[w.CgroupID]
	if ok && w.CgroupID&byAddress == 0 {
		return known
	}
	// The address may be another's by now. Whoever is in it says what it is, and if it is nobody, it is what it was.
	its, found := c.of(w)
	if !found {
		return known
	}
	if c.known == nil || len(c.known) >= most {
		c.known = make(map[uint64]string)
	}
	c.known[w.CgroupID] = its
	return its
}

// of asks the kernel.
func (c *cgroupTexts) of(w *profile.Whose) (text string, found bool) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", w.Of))
	if w.CgroupID&byAddress != 0 {
		// Who exits is shown in the roots of version 1, wherever it was (kernel/cgroup/cgroup.c, proc_cgroup_show).
		return controlGroup(string(list)), err == nil && !exits(w.Of)
	}
	mount := c.mountPoint()
	if err == nil {
		its := unified(string(list))
		var s unix.Stat_t
		if mount == "" || unix.Stat(filepath.Join(mount, its), &s) == nil && s.Ino == w.CgroupID {
			return controlGroup(string(list)), true
		}
	}
	// The process has gone, there or altogether.
	path, err := byHandle(mount, w.CgroupID)
	return shortIDs(path), err == nil
}

// exits reports whether a process is about to exit, has exited, or is not there.
func exits(pid int32) bool {
	const exiting, flags = 0x4, 6 // include/linux/sched.h, PF_EXITING; proc(5), the ninth of /proc/PID/stat, of which comm is the second
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= flags {
		return true
	}
	bits, err := strconv.ParseUint(string(fields[flags]), 10, 64)
	return err != nil || bits&exiting != 0
}

// unified is the path of version 2 in a list of cgroups(7).
func unified(list string) string {
	for line := range strings.Lines(list) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return path
		}
	}
	return ""
}

func (c *cgroupTexts) mountPoint() string {
	if c.mount == "" {
		for _, path := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			var s unix.Statfs_t
			if unix.Statfs(path, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC {
				c.mount = path
			}
		}
	}
	return c.mount
}

// byHandle is the path of a control group, of which the kernel's number is its file handle.
func byHandle(mount string, id uint64) (string, error) {
	const fileIDKernfs = 0xfe
	dir, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	var number bytes.Buffer
	for i := range 8 {
		number.WriteByte(byte(id >> (8 * i))) // all architectures that there are programs for are of little endian
	}
	fd, err := unix.OpenByHandleAt(dir, unix.NewFileHandle(fileIDKernfs, number.Bytes()), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return "/" + strings.TrimPrefix(strings.TrimPrefix(path, mount), "/"), err
}

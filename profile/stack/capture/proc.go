package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// errOtherProc: every number in such a /proc is that of another process.
var errOtherProc = errors.New("/proc shows the processes of another PID namespace")

// usableProc returns why /proc does not show the processes that sysprof sees, nil if it does.
func usableProc() error {
	ids, err := namespacePIDs("self")
	switch {
	case err != nil:
		return err
	case len(ids) != 1 || ids[0] != os.Getpid():
		return errOtherProc
	}
	return nil
}

// maxRoots bounds the roots that are held. Each takes two descriptors.
const maxRoots = 128

// root is the root directory of processes that do not have ours, and the mount namespace that it belongs to. Both are
// held: a namespace whose last process has ended loses what is mounted in it, and with it debug files and perf maps.
type root struct {
	dir, namespace int
}

// rootKey tells roots apart.
type rootKey struct {
	namespace string // as its link says it
	dev, ino  uint64
}

// path is a name of the root directory that stays valid.
func (r *root) path() string { return "/proc/self/fd/" + strconv.Itoa(r.dir) }

func (r *root) close() {
	unix.Close(r.dir)
	unix.Close(r.namespace)
}

// rootOf returns a process's root, nil if it cannot be held. None of this asks the file system that it is on.
func (f *files) rootOf(pid int32) *root {
	r, key, err := openRoot(pid)
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.roots[key]
	if known != nil || len(f.roots) >= maxRoots {
		r.close()
		return known
	}
	f.roots[key] = r
	return r
}

func openRoot(pid int32) (r *root, key rootKey, err error) {
	link := fmt.Sprintf("/proc/%d/ns/mnt", pid)
	if key.namespace, err = os.Readlink(link); err != nil {
		return nil, key, err
	}
	r = new(root)
	if r.namespace, err = unix.Open(link, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, key, err
	}
	if r.dir, err = unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		unix.Close(r.namespace)
		return nil, key, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(r.dir, &st); err != nil {
		r.close()
		return nil, key, err
	}
	key.dev, key.ino = st.Dev, st.Ino
	return r, key, nil
}

// namespacePIDs returns what a process is called in the PID namespace that /proc is of, and in those inside of it down
// to its own. The process is a number or "self".
func namespacePIDs(process string) ([]int, error) {
	text, err := readFile("/proc/"+process+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("read /proc/%s/status: %w", process, err)
	}
	for line := range bytes.Lines(text) {
		list, ok := bytes.CutPrefix(line, []byte("NSpid:"))
		if !ok {
			continue
		}
		var ids []int
		for _, f := range bytes.Fields(list) {
			id, err := strconv.Atoi(string(f))
			if err != nil {
				return nil, fmt.Errorf("/proc/%s/status: %q", process, line)
			}
			ids = append(ids, id)
		}
		return ids, nil
	}
	return nil, fmt.Errorf("/proc/%s/status: no NSpid", process)
}

// ownPID is what a process is called in its own PID namespace.
func ownPID(pid int32) int {
	ids, err := namespacePIDs(strconv.Itoa(int(pid)))
	if err != nil || len(ids) == 0 {
		return int(pid)
	}
	return ids[len(ids)-1]
}

// ownerOf is the user that a process belongs to; sysprof's own if it has ended.
func ownerOf(pid int32) uint32 {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) != nil {
		return uint32(os.Getuid())
	}
	return st.Uid
}

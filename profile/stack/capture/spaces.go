package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/stack"
	"sysprof/syscalltab"
)

// space is an address space that stacks were taken in.
type space struct {
	*stack.Space
	*owner
}

// owner is what remains of a space: it is small, and a program that makes code at run time has had many.
type owner struct {
	id   uint64
	pid  int32  // a process that had it …
	vdso []byte // the kernel's page in it, shared by all that have the same

	// Where it has code made at run time:
	own  int    // what the process is called in its own PID namespace, …
	uid  uint32 // … whose it is, …
	ours bool   // … whether its names are this machine's, …
	root *root  // … and its root if they are not; nil: it could not be held
}

// maxSkip is how many stacks that lead to unmapped code are taken for what they are, at most, before the
// mappings are read again because of one: reading them takes ten times as long as all the rest, and
// a program without frame pointers in code made at run time has such stacks only.
const maxSkip = 1 << 10

// lookAgain reads the mappings of a process of whose code some is in none of those that are known: something
// was mapped in a way that we have not seen. It reports whether there are others now.
func (c *Capturer) lookAgain(p *process, before *space, look func() bool) bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	if !look() {
		return false
	}
	if p.space == before {
		p.skip = min(1<<p.fruitless, uint(maxSkip))
		p.fruitless = min(p.fruitless+1, 32)
		return false
	}
	p.fruitless = 0
	return true
}

// maxMapsBytes bounds the spaces that are kept because another process may have the same one, by the text
// that they are found by: a process has some kilobytes, one that makes code at run time up to megabytes. When
// it is reached they start anew; each process has its own.
const maxMapsBytes = 4 << 20

// readMaps brings p's mappings up to date.
func (c *Capturer) readMaps(p *process, pid int32, at *scratch, thread Thread) bool {
	changes := p.changes
	c.mu.Unlock()
	text, err := readFile(fmt.Sprintf("/proc/%d/maps", pid), at.maps[:0])
	c.mu.Lock()
	at.maps = text
	if err != nil {
		if errors.Is(err, os.ErrPermission) { // otherwise it has ended
			c.blind = fmt.Errorf("read /proc/%d/maps: %w", pid, err)
		}
		return false
	}
	return c.useMaps(p, pid, changes, executable(text), thread)
}

// useMaps brings p's mappings up to date with the text of executable ones, as of that many changes.
func (c *Capturer) useMaps(p *process, pid int32, changes uint32, text []byte, thread Thread) bool {
	s := c.byMaps[string(text)] // as after a fork
	if s == nil {
		vdso := c.vdso
		c.mu.Unlock()
		s = c.newSpace(pid, text, thread, vdso)
		c.mu.Lock()
		if s == nil {
			return false
		}
		if other := c.byMaps[string(text)]; other != nil {
			s = other
		} else {
			if bytes.Equal(c.vdso, s.vdso) {
				s.vdso = c.vdso
			} else {
				c.vdso = s.vdso
			}
			if c.mapsBytes += len(text); c.mapsBytes > maxMapsBytes {
				clear(c.byMaps)
				c.mapsBytes = len(text)
			}
			c.byMaps[string(text)] = s
		}
	}
	if p.space == nil || int32(changes-p.read) >= 0 { // nobody was faster
		p.space, p.read = s, changes
	}
	return true
}

// newSpace makes a space of the text of a process's executable mappings, nil if there are none. vdso is what a process that has
// ended had mapped of the kernel, in all likelihood.
//
// Precondition: c.mu is not held.
func (c *Capturer) newSpace(pid int32, text []byte, thread Thread, vdso []byte) *space {
	mappings, err := stack.AppendMaps(nil, text)
	if err != nil || len(mappings) == 0 {
		return nil
	}
	s := &space{stack.NewSpace(c.objects, mappings), &owner{pid: pid}}
	s.id = s.ID()
	for i := range mappings {
		switch m := &mappings[i]; {
		case m.IsVDSO():
			s.vdso = make([]byte, min(m.End-m.Start, 64<<10))
			if thread.ReadMemory(s.vdso, m.Start) == 0 && len(vdso) == len(s.vdso) {
				s.vdso = vdso
			}
		case !m.IsFile() && s.own == 0:
			s.own, s.uid, s.ours = ownPID(pid), ownerOf(pid), sharesNames(pid)
			if !s.ours {
				s.root = c.files.rootOf(pid)
			}
		}
	}
	c.files.see(pid, mappings)
	return s
}

// executable keeps the lines of executable mappings.
func executable(maps []byte) []byte {
	kept := maps[:0]
	for line := range bytes.Lines(maps) {
		if _, rest, ok := bytes.Cut(line, []byte(" ")); ok && len(rest) > 2 && rest[2] == 'x' {
			kept = append(kept, line...)
		}
	}
	return kept
}

// readFile reads a file of /proc into buf, which grows as needed.
func readFile(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return buf, err
	}
	defer unix.Close(fd)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(cap(buf), 32<<10))...)[:len(buf)]
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		if n <= 0 || err != nil {
			return buf, err
		}
		buf = buf[:len(buf)+n]
	}
}

// remapping is how a call may change what is executable.
type remapping uint8

const (
	remapsNothing  remapping = iota
	mapsExecutable           // if its third argument, the protection, says so
	unmaps                   // what is at its first argument
	replacesAll
)

var remappings = syscalltab.NewPerCall(map[string]remapping{
	"mmap": mapsExecutable, "mmap2": mapsExecutable, "mprotect": mapsExecutable, "pkey_mprotect": mapsExecutable,
	"munmap": unmaps, "mremap": unmaps,
	"execve": replacesAll, "execveat": replacesAll,
})

// Watched names the calls that Finished has to be told of, asked for or not. They must not be changed.
func Watched() []string { return remappings.Names() }

// Finished takes note of a call that may have changed its process's mappings.
func (c *Capturer) Finished(call *profile.Call) {
	how := remappings.Of(call.ABI, call.Nr)
	if how == remapsNothing || call.Errno != 0 || how == mapsExecutable && call.Args[2]&unix.PROT_EXEC == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.processes[call.PID]
	if p == nil || p.space == nil {
		return
	}
	if how == unmaps {
		if _, ok := p.space.Mapping(call.Args[0]); !ok {
			return
		}
	}
	p.changes++
}

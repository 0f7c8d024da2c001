package capture

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"sysprof/profile/stack"
	"sysprof/profile/stack/foreign"
	"sysprof/profile/stack/symbol"
)

// files finds the files that traced processes have mapped. It remembers which process has shown each of
// them, and holds the first ones: at the end of a run the process may be gone, and the file
// deleted, replaced, or in a container's file system.
type files struct {
	mu    sync.Mutex // is not held while a file is opened
	known map[fileID]*file
	held  int
	roots map[rootKey]*root
}

type fileID struct {
	major, minor uint32
	inode        uint64
}

type file struct {
	path    string
	pid     int32 // who has mapped it
	ours    bool  // its names are those of this machine, also when it has ended; …
	held    *root // … otherwise where they are; nil: below /proc/PID
	mapping stack.Mapping

	mu   sync.Mutex    // guards what follows, and is held while the file is looked for
	name *foreign.Name // nil: not looked for yet, or there are too many

	object *symbol.Object // guarded by files.mu
}

// maxHeld is how many files are held. A large program has some hundred.
const maxHeld = 512

func newFiles() *files { return &files{known: make(map[fileID]*file), roots: make(map[rootKey]*root)} }

func idOf(m *stack.Mapping) fileID { return fileID{m.DevMajor, m.DevMinor, m.Inode} }

// see takes note of the files of a process's mappings.
func (f *files) see(pid int32, mappings []stack.Mapping) {
	f.mu.Lock()
	isNew := func(m *stack.Mapping) bool { return m.IsFile() && f.known[idOf(m)] == nil }
	any := slices.ContainsFunc(mappings, func(m stack.Mapping) bool { return isNew(&m) })
	f.mu.Unlock()
	if !any {
		return
	}
	ours := sharesNames(pid) || hasEnded(pid) // what is found by that name has to be the same file
	var held *root
	if !ours {
		held = f.rootOf(pid)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range mappings {
		if m := &mappings[i]; isNew(m) {
			f.known[idOf(m)] = &file{path: m.Path, pid: pid, ours: ours, held: held, mapping: *m}
		}
	}
}

// sharesNames reports whether a process has this one's mount namespace and root.
func sharesNames(pid int32) bool {
	for _, link := range []string{"ns/mnt", "root"} {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link))
		own, err2 := os.Readlink("/proc/self/" + link)
		if err != nil || err2 != nil || theirs != own {
			return false
		}
	}
	return true
}

// hasEnded reports whether a process has ended. Until its parent has taken note of that, its directory in /proc is there, but no
// link in it leads anywhere.
func hasEnded(pid int32) bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid))
	return errors.Is(err, os.ErrNotExist)
}

// open opens the file of a mapping, for the unwinder.
func (f *files) open(m *stack.Mapping) (stack.File, error) {
	f.mu.Lock()
	known := f.known[idOf(m)]
	f.mu.Unlock()
	if known == nil {
		return nil, fmt.Errorf("%s: no process has it mapped", m.Path)
	}
	opened, err := known.open(f)
	if err != nil {
		return nil, err
	}
	if opened.ServedByProgram() {
		opened.Close()
		return &passing{f, known, opened.Size()}, nil
	}
	return opened, nil
}

// passing is a file that is opened for each read. Others may wait for the end of its file system: a FUSE server that
// was told to unmount it ends when the last file is closed.
type passing struct {
	files *files
	known *file
	size  int64
}

func (p *passing) ReadAt(b []byte, off int64) (int, error) {
	opened, err := p.known.open(p.files)
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	return opened.ReadAt(b, off)
}

func (p *passing) Size() int64  { return p.size }
func (p *passing) Close() error { return nil }

// open opens the file as the process sees it. The caller closes it.
func (known *file) open(f *files) (*foreign.File, error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.name != nil {
		return known.name.Open()
	}
	var first error
	for _, find := range []func() (*foreign.Name, error){known.mapped, known.below, known.here} {
		name, err := find()
		if err == nil && name.Inode() != known.mapping.Inode {
			// Overlay file systems show another device in maps than stat(2) does, so that only the inode says it.
			name.Close()
			err = os.ErrNotExist
		}
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		opened, err := name.Open()
		if err == nil && !opened.ServedByProgram() && f.hold() {
			known.name = name
		} else {
			name.Close()
		}
		return opened, err
	}
	return nil, fmt.Errorf("open %s: %w", known.path, first)
}

// mapped finds what is mapped, whatever its name shows by now. That takes a privilege.
func (known *file) mapped() (*foreign.Name, error) {
	return foreign.Here(fmt.Sprintf("/proc/%d/map_files/%x-%x", known.pid, known.mapping.Start, known.mapping.End))
}

// below finds what its name shows in the process.
func (known *file) below() (*foreign.Name, error) { return foreign.In(known.root(), known.path) }

// here finds what its name shows on this machine, if that is the same.
func (known *file) here() (*foreign.Name, error) {
	if !known.ours {
		return nil, os.ErrNotExist
	}
	return foreign.Here(known.path)
}

func (known *file) root() string {
	if known.held != nil {
		return known.held.path()
	}
	return fmt.Sprintf("/proc/%d/root", known.pid)
}

// openPath opens another file by its name in the process, or, where that is the same, on this machine: the process
// may be gone.
func (known *file) openPath(path string) (symbol.File, error) {
	name, err := foreign.In(known.root(), path)
	if err != nil && known.ours {
		name, err = foreign.Here(path)
	}
	if err != nil {
		return nil, err
	}
	return name.OpenAndClose()
}

// openDebug opens a debug file of a mapping's file, for the unwinder: by its name in the process or, if here, on this machine.
func (f *files) openDebug(m *stack.Mapping, name string, here bool) (stack.File, error) {
	if here {
		return symbol.OpenFile(name)
	}
	f.mu.Lock()
	known := f.known[idOf(m)]
	f.mu.Unlock()
	if known == nil {
		return nil, fmt.Errorf("%s: no process has %s mapped", name, m.Path)
	}
	return known.openPath(name)
}

// hold reports whether one more file may be held.
func (f *files) hold() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held >= maxHeld {
		return false
	}
	f.held++
	return true
}

// close lets go of the files. One that is just being looked for is left to the end of the process.
func (f *files) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.known {
		if known.mu.TryLock() {
			if known.name != nil {
				known.name.Close()
				known.name = nil
			}
			known.mu.Unlock()
		}
	}
	for key, r := range f.roots {
		r.close()
		delete(f.roots, key)
	}
}

// objectOf returns the symbols of a mapping's file.
func (f *files) objectOf(m *stack.Mapping) *symbol.Object {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.known[idOf(m)]
	if known == nil {
		return nil
	}
	if known.object == nil {
		known.object = symbol.NewObject(symbol.Source{
			Path: known.path,
			Open: func() (symbol.File, error) {
				opened, err := known.open(f)
				if err != nil {
					return nil, err
				}
				return opened, nil
			},
			OpenPath: known.openPath,
		})
	}
	return known.object
}

package capture

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"syscall"

	"sysprof/profile/stack"
	"sysprof/profile/stack/symbol"
)

// files opens the files that traced processes have mapped. It remembers which process has shown each of
// them, and keeps the first ones open: at the end of a run the process may be gone, and the file
// deleted, replaced, or in a container's file system.
type files struct {
	mu    sync.Mutex
	known map[fileID]*file
	kept  int
}

type fileID struct {
	major, minor uint32
	inode        uint64
}

type file struct {
	path    string
	pid     int32 // who has mapped it
	mapping stack.Mapping
	handle  *os.File // kept open; nil: there are too many
	object  *symbol.Object
}

// keepOpen is how many files are kept open. A large program has some hundred.
const keepOpen = 512

func newFiles() *files { return &files{known: make(map[fileID]*file)} }

func idOf(m *stack.Mapping) fileID { return fileID{m.DevMajor, m.DevMinor, m.Inode} }

// see takes note of the files of a process's mappings.
func (f *files) see(pid int32, mappings []stack.Mapping) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range mappings {
		m := &mappings[i]
		if !m.IsFile() || f.known[idOf(m)] != nil {
			continue
		}
		f.known[idOf(m)] = &file{path: m.Path, pid: pid, mapping: *m}
	}
}

// open opens the file of a mapping, for the unwinder.
func (f *files) open(m *stack.Mapping) (stack.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.known[idOf(m)]
	if known == nil {
		return nil, fmt.Errorf("%s: no process has it mapped", m.Path)
	}
	return known.open(f)
}

// open opens the file as the process sees it. The caller closes it.
//
// Precondition: f.mu is held.
func (known *file) open(f *files) (*os.File, error) {
	if known.handle != nil {
		// Another description of the same file, with a life of its own.
		return openRegular(fmt.Sprintf("/proc/self/fd/%d", known.handle.Fd()))
	}
	var first error
	for _, path := range []string{
		// What is mapped, whatever its name shows by now …
		fmt.Sprintf("/proc/%d/map_files/%x-%x", known.pid, known.mapping.Start, known.mapping.End),
		// … or, without the privilege for that, what its name shows there.
		fmt.Sprintf("/proc/%d/root%s", known.pid, known.path),
		known.path,
	} {
		opened, err := openRegular(path)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		if !known.is(opened) {
			opened.Close()
			continue
		}
		if f.kept < keepOpen {
			if handle, err := openRegular(path); err == nil {
				known.handle = handle
				f.kept++
			}
		}
		return opened, nil
	}
	return nil, fmt.Errorf("open %s: %w", known.path, cmp.Or(first, os.ErrNotExist))
}

// is reports whether an open file is the one that is mapped. Overlay file systems show another device in
// maps than stat(2) does, so that only the inode says it.
func (known *file) is(opened *os.File) bool {
	info, err := opened.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Ino == known.mapping.Inode
}

// openRegular opens a regular file, and waits for nothing.
func openRegular(path string) (*os.File, error) {
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() {
		opened.Close()
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return opened, nil
}

func (f *files) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.known {
		if known.handle != nil {
			known.handle.Close()
		}
	}
}

// forSymbols is a file as package symbol wants it.
func forSymbols(opened *os.File, err error) (symbol.File, error) {
	if err != nil {
		return nil, err
	}
	return symbol.NewFile(opened)
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
		root := fmt.Sprintf("/proc/%d/root", known.pid)
		known.object = symbol.NewObject(symbol.Source{
			Path: known.path,
			Open: func() (symbol.File, error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				return forSymbols(known.open(f))
			},
			OpenPath: func(path string) (symbol.File, error) { return symbol.OpenFile(root + path) },
		})
	}
	return known.object
}

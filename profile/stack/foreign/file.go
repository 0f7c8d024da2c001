// Package foreign opens files that a traced program has chosen: what it has mapped, and what these files name in
// their turn. The program may be hostile, in a container, or stand still because it is traced.
//
//   - No name leads out of the program's own root, whatever links it has put there (openat2(2),
//     RESOLVE_IN_ROOT).
//   - What is no regular file is not opened: opening a FIFO wakes its writer, and a device may do anything.
//     So a name is opened by O_PATH first, looked at, and opened for reading by that descriptor.
//   - A file on FUSE may be served by a program that is traced itself, and that waits for the tracer. Opening,
//     reading and closing such a file may take for ever. ReadNowAt never does; everything else is for goroutines
//     that nobody has to wait for.
//
// It is not for files of /proc, nor for what sysprof writes.
package foreign

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// A File is a regular file that is open for reading. It is safe for concurrent use. It is no os.File because that
// adds the descriptor to an epoll set, for which the kernel asks a FUSE server, and waits in Close for reads.
type File struct {
	name string
	stat unix.Stat_t

	mu     sync.Mutex // guards what follows
	fd     int
	users  int // reads in progress
	closed bool
}

// A Name is a regular file that was found, and is not open for reading. It costs a descriptor, and keeps the file
// from being lost when it is removed. No file system is asked when it is closed.
type Name struct {
	name string
	fd   int
	stat unix.Stat_t
}

// In finds a regular file below a root, such as /proc/PID/root. Links are followed as the program would, so that they
// lead nowhere else.
func In(root, name string) (*Name, error) { return in(root, name, 0) }

// InUnlinked is In, and refuses a name that is a link.
func InUnlinked(root, name string) (*Name, error) { return in(root, name, unix.O_NOFOLLOW) }

func in(root, name string, flags uint64) (*Name, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	fd, err := openBelow(dir, name, flags)
	return found(root+name, fd, err)
}

// openBelow opens a name whose root is dir. A kernel without openat2(2), or a filter that refuses it, leaves only a
// walk that follows no link.
func openBelow(dir int, name string, flags uint64) (fd int, err error) {
	for range 8 { // EAGAIN: something was renamed meanwhile (openat2(2))
		fd, err = unix.Openat2(dir, name, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != unix.EAGAIN {
			break
		}
	}
	if err == unix.ENOSYS || err == unix.EPERM {
		return walk(dir, name)
	}
	return fd, err
}

// Here finds a regular file by its name on this machine. The name must not come from a program.
func Here(name string) (*Name, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	return found(name, fd, err)
}

func found(name string, fd int, err error) (*Name, error) {
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	n := &Name{name: name, fd: fd}
	if err := unix.Fstat(fd, &n.stat); err != nil {
		n.Close()
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if n.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		n.Close()
		return nil, fmt.Errorf("%s: %w", name, errNotRegular)
	}
	return n, nil
}

var errNotRegular = errors.New("not a regular file")

// Inode is the file's number in its file system, Owner the user that it belongs to.
func (n *Name) Inode() uint64 { return n.stat.Ino }
func (n *Name) Owner() uint32 { return n.stat.Uid }

// Open opens the file for reading.
func (n *Name) Open() (*File, error) {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(n.fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: n.name, Err: err}
	}
	return &File{name: n.name, stat: n.stat, fd: fd}, nil
}

// OpenAndClose opens the file for reading, and closes the name.
func (n *Name) OpenAndClose() (*File, error) {
	defer n.Close()
	return n.Open()
}

func (n *Name) Close() { unix.Close(n.fd) }

// Size is the length that the file had when it was found.
func (f *File) Size() int64 { return f.stat.Size }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	fd, ok := f.use()
	if !ok {
		return 0, os.ErrClosed
	}
	defer f.done()
	for n < len(p) {
		got, err := unix.Pread(fd, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case got == 0:
			return n, io.EOF
		}
		n += max(got, 0)
	}
	return n, nil
}

// ReadNowAt reads what is in memory already, and waits neither for a disk nor for a server. It reports false if that
// is not all, or if the file system cannot tell.
func (f *File) ReadNowAt(p []byte, off int64) bool {
	fd, ok := f.use()
	if !ok {
		return false
	}
	defer f.done()
	n, err := unix.Preadv2(fd, [][]byte{p}, off, unix.RWF_NOWAIT)
	return err == nil && n == len(p)
}

func (f *File) use() (fd int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return -1, false
	}
	f.users++
	return f.fd, true
}

func (f *File) done() {
	f.mu.Lock()
	f.users--
	last := f.closed && f.users == 0
	f.mu.Unlock()
	if last {
		f.release()
	}
}

// Close closes the file when the last read of it has ended. It waits for nothing.
func (f *File) Close() error {
	f.mu.Lock()
	first := !f.closed
	last := first && f.users == 0
	f.closed = true
	f.mu.Unlock()
	if last {
		f.release()
	}
	return nil
}

// ServedByProgram reports whether the file is on FUSE. It may ask the server.
func (f *File) ServedByProgram() bool {
	fd, ok := f.use()
	if !ok {
		return false
	}
	defer f.done()
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) != nil || st.Type == unix.FUSE_SUPER_MAGIC
}

// cannotTell reports whether the file system cannot tell what it can read without waiting: FUSE, and some that the
// kernel serves.
func cannotTell(fd int) bool {
	var at [1]byte
	_, err := unix.Preadv2(fd, [][]byte{at[:]}, 0, unix.RWF_NOWAIT)
	return err != nil && err != unix.EAGAIN
}

// release closes the descriptor. FUSE tells the server of it and waits for the answer (fs/fuse/file.c, fuse_flush).
func (f *File) release() {
	if cannotTell(f.fd) {
		go unix.Close(f.fd)
		return
	}
	unix.Close(f.fd)
}

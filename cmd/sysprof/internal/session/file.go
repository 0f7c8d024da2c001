package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// file is an output that is a file. It is opened, or its folder is tried, before the run; nothing that is there
// changes before there is something to write.
//
// Whom a path may lead to is the kernel's decision, at that moment: links, FIFOs and files that others have put into
// a folder where everybody may write are refused as open(2) refuses them (proc_sys_fs(5), protected_symlinks,
// protected_fifos, protected_regular). The rule for links is kept even where it is turned off, since a link that is followed
// has what it leads to replaced. From then on the folder is known by a descriptor, and no link is followed.
type file struct {
	path string // as the user has it
	show string // how messages name it

	open   *os.File    // what is there; nil: nothing, or a FIFO that nobody reads yet
	stat   unix.Stat_t // of that
	stream bool        // it is no regular file, or a descriptor: it is written to as it is

	dir  int    // a descriptor of the folder; -1: what is open stays in its place
	base string // its name there

	begun     bool         // it has something that is to be kept, see put
	temporary atomic.Value // the name of a file beside it that is not to remain, or ""
}

const openForWriting = unix.O_WRONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

// openFile opens what is at a path, if anything is. "-" is stdout.
func openFile(path string, stdout *os.File) (*file, error) {
	f := &file{path: path, show: path, dir: -1}
	f.temporary.Store("")
	if number, ok := descriptor(path, stdout); ok {
		if path == "-" {
			f.show = "standard output"
		}
		return f, f.duplicate(number)
	}
	if isPlanted(path) {
		return nil, fmt.Errorf("%s: a link that somebody else has put into a folder for everybody: %w", path, unix.EACCES)
	}
	fd, err := unix.Open(path, openForWriting, 0)
	if err == nil || err == unix.ENXIO {
		if err == nil {
			defer unix.Close(fd) // later: a FIFO's reader that it has let in would come to the end
		}
		// Some of the kernel's rules are for those who would create the file.
		fd, err = unix.Open(path, openForWriting|unix.O_CREAT, 0o666)
	}
	switch {
	case err == unix.ENXIO && unix.Stat(path, &f.stat) == nil && f.stat.Mode&unix.S_IFMT == unix.S_IFIFO:
		f.stream = true
		return f, nil
	case err == unix.ENOENT:
		err = f.openFolder()
	case err == nil:
		f.open = os.NewFile(uintptr(fd), path)
		if err = unix.Fstat(fd, &f.stat); err != nil {
			break
		}
		if f.stat.Mode&unix.S_IFMT != unix.S_IFREG {
			f.stream = true
		} else if isDevice(path) {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
			f.stream = true
		} else {
			f.findFolder()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// isPlanted reports whether a path is a link that protected_symlinks does not have followed: in a folder where everybody may
// write, but not remove what is others', and neither ours nor of whom the folder is.
func isPlanted(path string) bool {
	var link, folder unix.Stat_t
	if unix.Lstat(path, &link) != nil || link.Mode&unix.S_IFMT != unix.S_IFLNK || unix.Stat(filepath.Dir(path), &folder) != nil {
		return false
	}
	const forEverybody = unix.S_ISVTX | unix.S_IWOTH
	return folder.Mode&forEverybody == forEverybody && link.Uid != folder.Uid && link.Uid != uint32(os.Geteuid())
}

// descriptor returns the number of the descriptor that a path stands for.
func descriptor(path string, stdout *os.File) (int, bool) {
	switch path {
	case "-":
		return int(stdout.Fd()), true
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, folder := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if name, ok := strings.CutPrefix(path, folder); ok {
			number, err := strconv.ParseUint(name, 10, 16)
			return int(number), err == nil
		}
	}
	return 0, false
}

// duplicate makes the file one for a descriptor that was inherited.
func (f *file) duplicate(number int) error {
	flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		err = unix.EBADF
	}
	var fd int
	if err == nil {
		fd, err = unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.show, err)
	}
	f.open, f.stream = os.NewFile(uintptr(fd), f.show), true
	return nil
}

// openFolder opens the folder that a new file is to be in, and tries whether there can be one.
func (f *file) openFolder() error {
	if strings.HasSuffix(f.path, "/") {
		return unix.EISDIR
	}
	var err error
	if f.dir, err = unix.Open(filepath.Dir(f.path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	f.base = filepath.Base(f.path)
	fd, err := unix.Openat(f.dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd)
	}
	if !noTemporaries(err) {
		return err
	}
	return unix.Faccessat(f.dir, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// noTemporaries reports whether an error of O_TMPFILE says that the file system, or the kernel, does not have it.
func noTemporaries(err error) bool {
	return err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.EINVAL || err == unix.ENOENT
}

// findFolder finds where what is open stands, all links resolved. Where that is not to be found, it stays in its place.
func (f *file) findFolder() {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.open.Fd()))
	if err != nil {
		return
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	var there unix.Stat_t
	base := filepath.Base(path)
	if unix.Fstatat(dir, base, &there, unix.AT_SYMLINK_NOFOLLOW) != nil || there.Dev != f.stat.Dev || there.Ino != f.stat.Ino {
		unix.Close(dir)
		return
	}
	f.dir, f.base = dir, base
}

// replace makes what is written all that the file holds. A reader never sees half of it, and a failure leaves what was there.
func (f *file) replace(ctx context.Context, write content) error {
	return f.within(ctx, func() error {
		switch {
		case f.stream:
			return f.writeStream(ctx, write)
		case f.open == nil && f.isLink():
			if err := f.createThere(); err != nil {
				return err
			}
			return overwrite(f.open, write)
		case f.dir < 0:
			return overwrite(f.open, write)
		}
		err := f.exchange(write, false)
		if errors.Is(err, errNoLink) {
			err = f.exchange(write, true)
		}
		if f.open != nil && staysInPlace(err) {
			return overwrite(f.open, write)
		}
		return err
	})
}

// put writes to the same file again and again. What was there is gone with the first, unless it is to be appended to.
func (f *file) put(ctx context.Context, write content, appending bool) error {
	return f.within(ctx, func() error {
		if f.stream {
			return f.writeStream(ctx, write)
		}
		if f.open == nil {
			if err := f.createThere(); err != nil {
				return err
			}
		}
		var err error
		if !f.begun && !appending {
			err = overwrite(f.open, write)
		} else {
			err = appendTo(f.open, write)
		}
		f.begun = f.begun || err == nil
		return err
	})
}

// isLink reports whether there is a link, to a file that was not there when it was looked for.
func (f *file) isLink() bool {
	var stat unix.Stat_t
	return unix.Fstatat(f.dir, f.base, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK
}

// createThere makes the file where it is to be, empty.
func (f *file) createThere() error {
	fd, err := unix.Openat(f.dir, f.base, openForWriting|unix.O_CREAT, 0o666)
	if err != nil {
		return err
	}
	f.open = os.NewFile(uintptr(fd), f.path)
	if f.dir >= 0 {
		unix.Close(f.dir)
		f.dir = -1
	}
	return unix.Fstat(fd, &f.stat)
}

// staysInPlace reports whether an error of exchange says that a file, which can be written to, cannot be exchanged
// for another one: it is somebody else's, it is in a folder that is, or something is mounted on it.
func staysInPlace(err error) bool {
	for _, one := range []error{errNotOurs, unix.EACCES, unix.EPERM, unix.EROFS, unix.EBUSY, unix.EXDEV} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// within runs what may block, and gives it up when ctx ends.
func (f *file) within(ctx context.Context, write func() error) error {
	err := within(ctx, write)
	if err == errInterrupted {
		if name := f.temporary.Load().(string); name != "" {
			unix.Unlinkat(f.dir, name, 0)
		}
	}
	if err != nil {
		if path := (*os.PathError)(nil); errors.As(err, &path) {
			err = path.Err // it has the name of the file that it was to become
		}
		return fmt.Errorf("%s was not written: %w", f.show, err)
	}
	return nil
}

var errInterrupted = errors.New("a signal came first")

// within runs f, which may block, and does not wait for it any longer when ctx has ended.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	default:
		return errInterrupted
	}
}

// writeStream writes to what is no regular file. A FIFO that nobody reads is waited for.
func (f *file) writeStream(ctx context.Context, write content) error {
	for f.open == nil {
		if ctx.Err() != nil {
			return errInterrupted // who has given it up does not close what is opened now
		}
		fd, err := unix.Open(f.path, openForWriting, 0)
		if err == nil {
			f.open = os.NewFile(uintptr(fd), f.path)
			break
		}
		if err != unix.ENXIO {
			return err
		}
		const often = 10 * time.Millisecond
		select {
		case <-time.After(often):
		case <-ctx.Done():
			return errInterrupted
		}
	}
	return write.to(f.open)
}

// overwrite makes what is written all that a file holds. What cannot be done leaves it as it was, as far as the file system
// tells before.
func overwrite(file *os.File, write content) error {
	size, err := write.size()
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil && limit.Cur < uint64(size) {
		return unix.EFBIG
	}
	switch err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, max(size, 1)); err {
	case unix.ENOSPC, unix.EDQUOT, unix.EFBIG:
		return err
	}
	from := io.NewOffsetWriter(file, 0)
	if err := write.to(from); err != nil {
		return err
	}
	end, err := from.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return file.Truncate(end)
}

// appendTo writes to the end of a file, all of it or nothing.
func appendTo(file *os.File, write content) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err = write.to(file); err != nil {
		file.Truncate(end)
	}
	return err
}

// What keeps exchange from putting a file in the place of another one.
var (
	errNoLink  = errors.New("a file without a name cannot be given one")
	errNotOurs = errors.New("it belongs to somebody else")
)

// exchange writes a file beside the one that is there, and renames it. It has no name until it is whole, so that
// nothing remains when this process is killed; but named, where the file system has no such files.
func (f *file) exchange(write content, named bool) error {
	made, name, err := f.create(named)
	if err != nil {
		return err
	}
	defer made.Close()
	if f.open != nil {
		err = f.likeBefore(int(made.Fd()))
	}
	if err == nil {
		err = write.to(made)
	}
	if err == nil && name == "" {
		name = temporaryName()
		f.temporary.Store(name)
		source := fmt.Sprintf("/proc/self/fd/%d", made.Fd())
		if unix.Linkat(unix.AT_FDCWD, source, f.dir, name, unix.AT_SYMLINK_FOLLOW) != nil {
			return errNoLink
		}
	}
	if err == nil {
		err = unix.Renameat(f.dir, name, f.dir, f.base)
	}
	if err != nil && name != "" {
		unix.Unlinkat(f.dir, name, 0)
	}
	f.temporary.Store("")
	return err
}

// create makes the file that is to take the place of the one that is there.
func (f *file) create(named bool) (made *os.File, name string, err error) {
	mode := uint32(0o666)
	if f.open != nil {
		mode = 0o600 // see likeBefore
	}
	if !named {
		fd, err := unix.Openat(f.dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, mode)
		if err == nil {
			return os.NewFile(uintptr(fd), f.path), "", nil
		}
		if !noTemporaries(err) {
			return nil, "", err
		}
	}
	name = temporaryName()
	f.temporary.Store(name)
	fd, err := unix.Openat(f.dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), f.path), name, nil
}

// temporaryName is short, whatever the name of the file is that it stands in for.
func temporaryName() string { return fmt.Sprintf(".sysprof-%016x", rand.Uint64()) }

// likeBefore gives a new file the owner and the mode of the one that is there.
func (f *file) likeBefore(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if (stat.Uid != f.stat.Uid || stat.Gid != f.stat.Gid) && unix.Fchown(fd, int(f.stat.Uid), int(f.stat.Gid)) != nil {
		return errNotOurs
	}
	return unix.Fchmod(fd, f.stat.Mode&0o777)
}

// close lets go of it.
func (f *file) close() {
	if f.open != nil {
		f.open.Close()
	}
	if f.dir >= 0 {
		unix.Close(f.dir)
	}
}

// isDevice reports whether a path is to a place of the kernel's, as /dev/tty is, whatever file that shows:
// nothing is to be renamed there.
func isDevice(path string) bool {
	path, err := filepath.Abs(path)
	return err == nil && (strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/proc/"))
}

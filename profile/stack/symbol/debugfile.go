package symbol

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sysprof/profile/stack/debugfile"
	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/foreign"
)

// OpenFile opens a regular file of this machine. Anything else is refused. No program may have chosen the name.
func OpenFile(name string) (File, error) {
	found, err := foreign.Here(name)
	if err != nil {
		return nil, err
	}
	return found.OpenAndClose()
}

// debugFile returns the separate debug file, or nil: by build-id, by the link in the file, or from a debuginfod
// server if the caller wants that.
func (r *reader) debugFile(ctx context.Context) *elfFile {
	if r.tried {
		return r.debug
	}
	r.tried = true
	id := r.e.buildID
	stripped := debugfile.Stripped{Path: r.o.src.Path, BuildID: id,
		Link: r.e.raw(r.e.section(".gnu_debuglink")).at(0, debugfile.MaxLink)}
	for _, c := range stripped.Candidates(r.s.opt.DebugDirs) {
		fits := func(e *elfFile) bool {
			return c.Fits(e.buildID, func() (uint32, bool) { return r.checksum(e.File) })
		}
		if e := r.openDebug(c.Name, c.ByID || r.o.src.OpenPath == nil, fits); e != nil {
			return r.adopt(e)
		}
	}
	if id != "" && r.s.opt.Debuginfod != nil && !r.s.noMore {
		p, err := r.s.opt.Debuginfod(ctx, id)
		if errors.Is(err, context.DeadlineExceeded) {
			r.s.noMore = true
		}
		if err == nil {
			if f, err := OpenFile(p); err == nil {
				return r.adopt(r.accept(f, r.sameBuild, true))
			}
		}
	}
	return nil
}

// adopt makes e the debug file. What is code is what the main file says: a debug file has no code, and its segments
// may say anything.
func (r *reader) adopt(e *elfFile) *elfFile {
	if e != nil {
		e.code = r.e.File
		r.debug = e
	}
	return e
}

func (r *reader) sameBuild(e *elfFile) bool { return e.buildID == r.e.buildID }

// openDebug opens a debug file in the traced process's file system, or, where allowed, in this machine's: where a
// build-id names it, which is the same everywhere, and no file of the program does.
func (r *reader) openDebug(name string, here bool, fits func(*elfFile) bool) *elfFile {
	if name == "" {
		return nil
	}
	if open := r.o.src.OpenPath; open != nil {
		if f, err := open(name); err == nil {
			if e := r.accept(f, fits, false); e != nil {
				e.path = name
				return e
			}
		}
	}
	if here {
		if f, err := OpenFile(name); err == nil {
			if e := r.accept(f, fits, true); e != nil {
				e.path = name
				return e
			}
		}
	}
	return nil
}

// accept parses a file and keeps it open if it fits. ours says that it is one of this machine, found without the
// program's help.
func (r *reader) accept(f File, fits func(*elfFile) bool, ours bool) *elfFile {
	f = stoppable{f, r.ctx}
	e, err := openELF(f, r.b)
	if err != nil || !fits(e) {
		f.Close()
		return nil
	}
	r.extra = append(r.extra, f)
	e.ours = ours
	return e
}

// maxChecksum bounds the files that are read only to be compared.
const maxChecksum = 2 << 30

// checksum is that of a file, unless it is too large to be looked through.
func (r *reader) checksum(f *elf.File) (crc uint32, ok bool) {
	if f.Size() > maxChecksum || !r.b.spend(int(f.Size()/8)) {
		return 0, false
	}
	return debugfile.Checksum(f)
}

// altFile opens the file of entries shared between debug files, which dwz makes, or returns nil.
func (r *reader) altFile(e *elfFile) *elfFile {
	b := append([]byte(nil), e.raw(e.section(".gnu_debugaltlink")).at(0, 4096)...)
	i := bytes.IndexByte(b, 0)
	if i <= 0 || len(b)-i-1 < 2 || len(b)-i-1 > 64 {
		return nil
	}
	name, id := string(b[:i]), hex.EncodeToString(b[i+1:])
	fits := func(e *elfFile) bool { return e.buildID == id }
	for _, dir := range r.s.opt.DebugDirs {
		if alt := r.openDebug(debugfile.ByID(dir, id), true, fits); alt != nil {
			return alt
		}
	}
	var places []string
	for _, dir := range r.s.opt.DebugDirs {
		if !path.IsAbs(name) {
			// Relative to the debug file's own place, which is one of these.
			places = append(places, path.Join(dir, ".build-id", "xx", name),
				path.Join(dir, path.Dir(r.o.src.Path), name))
		}
	}
	if path.IsAbs(name) {
		places = append(places, name)
	} else {
		places = append(places, path.Join(path.Dir(r.o.src.Path), name))
	}
	for _, p := range places {
		if alt := r.openDebug(p, e.ours || r.o.src.OpenPath == nil, fits); alt != nil {
			return alt
		}
	}
	return nil
}

// DebuginfodFind returns a function for Options.Debuginfod that runs debuginfod-find, which asks the servers
// of $DEBUGINFOD_URLS and keeps what it fetched in its cache. Each run gets at most the timeout.
func DebuginfodFind(timeout time.Duration) func(ctx context.Context, buildID string) (string, error) {
	return func(ctx context.Context, buildID string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "debuginfod-find", "debuginfo", buildID)
		cmd.WaitDelay = 100 * time.Millisecond
		// It may be a script that has started others. It is killed with this process: when the thread ends that has started it
		// (prctl(2), PR_SET_PDEATHSIG), which so has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		out, err := cmd.Output()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return "", fmt.Errorf("debuginfod-find debuginfo %s: %w", buildID, err)
		}
		p := strings.TrimSpace(string(out))
		if !path.IsAbs(p) {
			return "", fmt.Errorf("debuginfod-find debuginfo %s: no path in %q", buildID, p)
		}
		return p, nil
	}
}

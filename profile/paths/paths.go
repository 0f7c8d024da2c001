// Package paths tells which calls are about chosen files, as strace -P does: calls that are given the path of a chosen file,
// or a descriptor of one. A file is also chosen if it is below a directory that is.
//
// It goes by names: a path that a call is given, made absolute by where the thread is or the directory that the call names,
// and the path that the kernel shows for a descriptor. It asks no file system, which might be served by a program that is
// traced and stands still. So a path that leads to a chosen file through a symbolic link, or by another name of it (a hard
// link, another mount), is not recognized; but what it opens or executes is, since the kernel shows where that has led.
//
// What a descriptor is, is asked for at each call, unlike for labels (package label), which keep it until the program
// changes it: a file may be renamed by anybody, and then is another one. That takes 1 µs, of 5 and more for a traced call.
//
// It is not for saying which file a call is about.
package paths

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Choice is a choice of files. A nil one chooses every call. It is safe for concurrent use.
type Choice struct {
	chosen  [][]byte // absolute and clean
	scratch sync.Pool
	late    *LateReader
	unread  atomic.Uint64
}

// Parse takes paths of files and directories, which need not exist. A relative one is one of this process. If a path leads
// through symbolic links, what it leads to is chosen, too.
func Parse(list []string) (*Choice, error) {
	p := &Choice{late: NewLateReader()}
	p.scratch.New = func() any { return new(scratch) }
	for _, name := range list {
		if name == "" || strings.Contains(name, "\x00") {
			return nil, errors.New("want the path of a file or directory")
		}
		absolute, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		p.add(absolute)
		if real, err := filepath.EvalSymlinks(absolute); err == nil {
			p.add(real)
		}
	}
	return p, nil
}

func (p *Choice) add(path string) {
	if !slices.ContainsFunc(p.chosen, func(known []byte) bool { return string(known) == path }) {
		p.chosen = append(p.chosen, []byte(path))
	}
}

// Thread is a thread that stands at the entry of its call.
type Thread interface {
	// ReadMemory reads into p from addr and returns how many bytes it could read.
	ReadMemory(p []byte, addr uint64) int
}

// Match is what is known of a call when it is entered.
type Match uint8

const (
	No    Match = iota
	Maybe       // it opens or executes a file, and only that will tell which
	Yes
)

// scratch is what looking at one call takes.
type scratch struct {
	link  [64]byte // /proc/TID/fd/N
	entry [8]byte  // of a pagemap
	where [maxPath + 16]byte
	path  [2*maxPath + 16]byte
	words [maxPoll * 8]byte

	present uint64 // a page that is known to be in memory, 0 for none
}

const (
	maxPath = 4096 // PATH_MAX
	maxPoll = 1024 // descriptors of a poll or select that are looked at
)

// Entered tells of a call that is entered.
func (p *Choice) Entered(c *profile.Call, t Thread) Match {
	if p == nil {
		return Yes
	}
	a := argumentsOf(c.ABI, c.Nr)
	if a == nil {
		return No
	}
	s := p.scratch.Get().(*scratch)
	defer p.scratch.Put(s)
	s.present = 0
	switch {
	case p.ofDescriptors(a, c.TID, &c.Args, s),
		p.ofPaths(a, c, t, s),
		a.several == polled && p.ofPoll(c, t, s),
		a.several == selected && p.ofSelect(c, t, s):
		return Yes
	case a.opens, a.executes:
		return Maybe
	}
	return No
}

// Returned reports whether a call that only may have been about a chosen file when it was entered, or was not looked at
// then, has opened or executed one. It is asked before anything else is seen of the thread.
func (p *Choice) Returned(c *profile.Call) bool {
	if p == nil {
		return true
	}
	a := argumentsOf(c.ABI, c.Nr)
	if a == nil || c.Errno != 0 {
		return false
	}
	s := p.scratch.Get().(*scratch)
	defer p.scratch.Put(s)
	if a.executes {
		return p.chooses(readLink(append(appendNumber(append(s.link[:0], "/proc/"...), c.TID), "/exe"...), s))
	}
	return a.opens && p.chooses(descriptor(c.TID, int32(c.Ret), s))
}

// Unfinished reports whether a call that a thread was found in is about a chosen file. Paths are not looked at: the thread
// does not stand still.
func (p *Choice) Unfinished(f *profile.InFlight) bool {
	if p == nil {
		return true
	}
	a := argumentsOf(f.ABI, f.Nr)
	if a == nil {
		return false
	}
	s := p.scratch.Get().(*scratch)
	defer p.scratch.Put(s)
	return p.ofDescriptors(a, f.TID, &f.Args, s)
}

// Unread is how often a path could not be read in time, so that its call was taken for one that is not about a chosen file
// unless it opened one.
func (p *Choice) Unread() uint64 {
	if p == nil {
		return 0
	}
	return p.unread.Load()
}

// chooses reports whether a path is chosen. It has to be absolute and clean.
func (p *Choice) chooses(path []byte) bool {
	for _, chosen := range p.chosen {
		rest, ok := bytes.CutPrefix(path, chosen)
		if ok && (len(rest) == 0 || rest[0] == '/' || len(chosen) == 1) {
			return true
		}
	}
	return false
}

func (p *Choice) ofDescriptors(a *arguments, tid int32, args *[6]uint64, s *scratch) bool {
	for _, i := range a.descriptors {
		if p.isChosen(int32(args[i]), tid, s) {
			return true
		}
	}
	return false
}

func (p *Choice) isChosen(fd, tid int32, s *scratch) bool {
	return fd >= 0 && p.chooses(descriptor(tid, fd, s))
}

func (p *Choice) ofPaths(a *arguments, c *profile.Call, t Thread, s *scratch) bool {
	for _, at := range a.paths {
		if p.ofPath(at, c, t, s) {
			return true
		}
	}
	return false
}

// ofPath looks at one path and the directory that it begins at.
func (p *Choice) ofPath(at syscalltab.PathArgument, c *profile.Call, t Thread, s *scratch) bool {
	const room = maxPath + 16 // for the directory, in front
	n, ok := p.readString(c.PID, c.Args[at.Path], s.path[room:], t, s)
	if !ok {
		return false
	}
	path := s.path[room : room+n]
	if n > 0 && path[0] == '/' {
		return p.chooses(clean(path))
	}
	where := workingDirectory(c.TID, s)
	if fd := int32(c.Args[max(at.Directory, 0)]); at.Directory >= 0 && fd != atFDCWD {
		where = descriptor(c.TID, fd, s)
		if p.chooses(where) { // strace takes that, too
			return true
		}
	}
	if len(where) == 0 || where[0] != '/' || n == 0 {
		return false
	}
	whole := s.path[room-1-len(where) : room+n]
	copy(whole, where)
	whole[len(where)] = '/'
	return p.chooses(clean(whole))
}

// ofPoll looks at a list of struct pollfd.
func (p *Choice) ofPoll(c *profile.Call, t Thread, s *scratch) bool {
	words := s.words[:min(c.Args[1], maxPoll)*8]
	words = words[:p.read(c.PID, c.Args[0], words, t, s)]
	for ; len(words) >= 8; words = words[8:] {
		if p.isChosen(int32(native.Uint32(words)), c.TID, s) {
			return true
		}
	}
	return false
}

// ofSelect looks at three sets of descriptors, which have a bit each.
func (p *Choice) ofSelect(c *profile.Call, t Thread, s *scratch) bool {
	count := min(c.Args[0], maxPoll)
	for set := 1; set <= 3; set++ {
		if c.Args[set] == 0 {
			continue
		}
		bits := s.words[:(count+63)/64*8]
		bits = bits[:p.read(c.PID, c.Args[set], bits, t, s)]
		for fd := range min(int(count), len(bits)*8) {
			if bits[fd/8]>>(fd%8)&1 != 0 && p.isChosen(int32(fd), c.TID, s) {
				return true
			}
		}
	}
	return false
}

// clean has a path without . and .. and doubled slashes, as filepath.Clean, in the same memory.
func clean(path []byte) []byte {
	if !bytes.Contains(path, []byte("./")) && !bytes.Contains(path, []byte("//")) && !bytes.HasSuffix(path, []byte("/")) && !bytes.HasSuffix(path, []byte("/.")) && !bytes.HasSuffix(path, []byte("/..")) {
		return path
	}
	out := path[:0]
	for from := 0; from < len(path); {
		end := bytes.IndexByte(path[from:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += from
		}
		switch part := path[from:end]; string(part) {
		case "", ".":
		case "..":
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
		default:
			out = append(append(out, '/'), part...)
		}
		from = end + 1
	}
	if len(out) == 0 {
		out = append(out, '/')
	}
	return out
}

// Calls names all calls that can be about a chosen file, in every ABI.
func Calls() []string { return callsWithArguments() }

// descriptor is the path that the kernel shows for a descriptor, "" if there is none.
func descriptor(tid, fd int32, s *scratch) []byte {
	return readLink(appendNumber(append(appendNumber(append(s.link[:0], "/proc/"...), tid), "/fd/"...), fd), s)
}

// workingDirectory is that of a thread.
func workingDirectory(tid int32, s *scratch) []byte {
	return readLink(append(appendNumber(append(s.link[:0], "/proc/"...), tid), "/cwd"...), s)
}

// readLink reads a link in /proc; it appends a 0 to its name.
func readLink(link []byte, s *scratch) []byte {
	n := readlinkat(append(link, 0), s.where[:])
	path := s.where[:max(n, 0)]
	return bytes.TrimSuffix(path, []byte(" (deleted)"))
}

package paths

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

const atFDCWD = int32(unix.AT_FDCWD)

func appendNumber(b []byte, n int32) []byte { return strconv.AppendInt(b, int64(n), 10) }

// readString reads a string that ends with a 0, and returns how long it is. It reports false if there is none, or not in
// time.
func (p *Choice) readString(pid int32, addr uint64, into []byte, t Thread, s *scratch) (n int, ok bool) {
	into = into[:maxPath]
	const most = 32 // at a time: most paths are shorter, and 8 bytes take 0.4 µs
	for n < len(into) {
		piece := into[n : n+int(min(uint64(len(into)-n), most-(addr+uint64(n))%most))]
		got := p.read(pid, addr+uint64(n), piece, t, s)
		if end := bytes.IndexByte(piece[:got], 0); end >= 0 {
			return n + end, true
		}
		if n += got; got < len(piece) {
			return 0, false
		}
	}
	return 0, false
}

// read reads memory of a thread that stands still, and returns how many bytes it could read in time.
//
// A page that is in memory is read at once. Any other has to be brought by somebody: by the kernel from a disk, or by a
// program, which may be one that is traced and stands still for it (FUSE). So that is waited for no longer than for the
// files of stacks. (What a handler of userfaultfd(2) has to bring cannot be read at all; see capture.memory.)
func (p *Choice) read(pid int32, addr uint64, into []byte, t Thread, s *scratch) (n int) {
	size := uint64(os.Getpagesize())
	for n < len(into) {
		at := addr + uint64(n)
		piece := into[n : n+int(min(uint64(len(into)-n), size-at%size))]
		got := 0
		if page := at / size; s.present == page || s.isPresent(pid, page) {
			s.present = page
			got = t.ReadMemory(piece, at)
		} else {
			var inTime bool
			if got, inTime = p.late.Read(pid, at, piece); !inTime {
				p.unread.Add(1)
			}
		}
		if n += got; got < len(piece) {
			break
		}
	}
	return n
}

// isPresent reports whether a page is in memory and the process may access it without a fault (proc_pid_pagemap(5)).
func (s *scratch) isPresent(pid int32, page uint64) bool {
	pagemap := open(append(appendNumber(append(s.link[:0], "/proc/"...), pid), "/pagemap\x00"...))
	if pagemap < 0 {
		return false
	}
	defer unix.Close(pagemap)
	n, err := unix.Pread(pagemap, s.entry[:], int64(page*uint64(len(s.entry))))
	const present = 1 << 63
	return err == nil && n == len(s.entry) && native.Uint64(s.entry[:])&present != 0
}

// Package debugfile says where the debug information of a file may be that was taken out of it, and whether what is there
// is that. It is for the unwinder, which wants .debug_frame, and for the symbolizer, which wants names.
//
// It opens nothing: the names are those of the traced process's file system, which the caller knows how to look into.
package debugfile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"sysprof/profile/stack/elf"
)

// Dir is where distributions keep debug files.
const Dir = "/usr/lib/debug"

// MaxLink is how much of .gnu_debuglink is looked at.
const MaxLink = 4096

// A Stripped is a file whose debug information is looked for.
type Stripped struct {
	Path    string // as the traced process sees it
	BuildID string // "": it has none
	Link    []byte // the contents of .gnu_debuglink; nil: it has none
}

// A Candidate is a place where a debug file may be.
type Candidate struct {
	Name string
	ByID bool // by a build-id, which names the same file on every machine

	of  *Stripped
	crc uint32
}

// Candidates returns where the debug file may be, the likeliest place first. dirs are the roots of debug files.
func (s *Stripped) Candidates(dirs []string) (list []Candidate) {
	for _, dir := range dirs {
		if name := ByID(dir, s.BuildID); name != "" {
			list = append(list, Candidate{Name: name, ByID: true, of: s})
		}
	}
	name, crc, ok := link(s.Link)
	if !ok {
		return list
	}
	dir := path.Dir(s.Path)
	places := []string{path.Join(dir, name), path.Join(dir, ".debug", name)}
	for _, d := range dirs {
		places = append(places, path.Join(d, dir, name))
	}
	for _, p := range places {
		if p != s.Path {
			list = append(list, Candidate{Name: p, of: s, crc: crc})
		}
	}
	return list
}

// Fits reports whether the file found there, which has this build-id, is the one. Where there are none, its checksum says it, which is
// only computed then; that is not ok if the file is too large.
func (c *Candidate) Fits(buildID string, checksum func() (crc uint32, ok bool)) bool {
	if c.ByID || c.of.BuildID != "" && buildID != "" {
		return buildID == c.of.BuildID
	}
	crc, ok := checksum()
	return ok && crc == c.crc
}

// ByID is the name of a file with debug information of this build-id below dir; "" if it is none.
func ByID(dir, id string) string {
	if len(id) < 4 {
		return ""
	}
	return path.Join(dir, ".build-id", id[:2], id[2:]+".debug")
}

// link reads the contents of .gnu_debuglink: a file name, zeros up to a multiple of four, a checksum.
func link(b []byte) (name string, crc uint32, ok bool) {
	i := bytes.IndexByte(b, 0)
	at := (i + 4) &^ 3
	if i <= 0 || at+4 > len(b) {
		return "", 0, false
	}
	name = string(b[:i])
	return name, binary.LittleEndian.Uint32(b[at:]), name != ".." && !strings.Contains(name, "/")
}

// Checksum is that of a file's contents, as a link has it.
func Checksum(f *elf.File) (crc uint32, ok bool) {
	h := crc32.NewIEEE()
	_, err := io.CopyBuffer(h, io.NewSectionReader(f, 0, int64(f.Size())), make([]byte, 64<<10))
	return h.Sum32(), err == nil
}

package stack

import (
	"sync/atomic"

	"sysprof/profile/stack/debugfile"
	"sysprof/profile/stack/elf"
)

// A program without .eh_frame may have been stripped of its .debug_frame as well, and that stand in a debug file. Most files have no
// need of it. So it is looked for when there is code of which nothing else in the file tells, and then once.

// separate is the .debug_frame of a file's debug file.
type separate struct {
	possible bool        // otherwise there is none
	wanted   atomic.Bool // Need.Read is to look for it
	sought   atomic.Bool // it has
	frame    atomic.Pointer[ehFrame]
}

// get returns it, nil if there is none. It is not ok if it has to be looked for first, which Need.Read does then.
func (s *separate) get() (e *ehFrame, ok bool) {
	if s.possible && !s.sought.Load() {
		s.wanted.Store(true)
		return nil, false
	}
	return s.frame.Load(), true
}

// maxChecksums bounds the bytes that are read only to see whether a debug file is that of a file without a build-id, in all files.
const maxChecksums = 1 << 30

// seek looks for the debug file of a file that a mapping shows.
func (o *Objects) seek(obj *object, t *tables, m *Mapping) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	if t.separate.sought.Load() {
		return
	}
	t.separate.frame.Store(o.separateFrame(t, m))
	t.separate.sought.Store(true)
}

func (o *Objects) separateFrame(t *tables, m *Mapping) *ehFrame {
	f, err := elf.Open(t.file, t.file.Size(), &o.resident) // t.image may have to be waited for
	if err != nil {
		return nil
	}
	defer f.Close()
	stripped := debugfile.Stripped{Path: m.Path, BuildID: f.BuildID()}
	if s, ok := f.Section(".gnu_debuglink"); ok {
		size := int(min(s.Size, debugfile.MaxLink))
		stripped.Link = f.Bytes(s.Off, size, make([]byte, size))
	}
	for _, c := range stripped.Candidates([]string{debugfile.Dir}) {
		for _, here := range [...]bool{false, true} {
			if here && !c.ByID {
				continue
			}
			if e, ok := o.debugFrameIn(t, m, &c, here); ok {
				return e
			}
		}
	}
	return nil
}

// debugFrameIn returns what a candidate has, nil if it has none. It is not ok if that is not the debug file.
func (o *Objects) debugFrameIn(t *tables, m *Mapping, c *debugfile.Candidate, here bool) (e *ehFrame, ok bool) {
	file, err := o.OpenDebug(m, c.Name, here)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	f, err := elf.Open(file, file.Size(), &o.resident)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	if f.Is64 != t.image.Is64 || f.Machine != t.image.Machine || !c.Fits(f.BuildID(), func() (uint32, bool) { return o.checksum(f) }) {
		return nil, false
	}
	s, ok := debugFrameOf(f)
	if !ok {
		return nil, true
	}
	d := loadDebugFrame(f, &s, &o.unpacked)
	if d == nil {
		return nil, true
	}
	return d.index(t.image), true
}

// checksum is that of a file, unless it is too large to be looked through.
func (o *Objects) checksum(f *elf.File) (crc uint32, ok bool) {
	if f.Size() > maxChecksums || o.checksums.Add(int64(f.Size())) > maxChecksums {
		return 0, false
	}
	return debugfile.Checksum(f)
}

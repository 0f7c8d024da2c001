package capture

import (
	"encoding/binary"

	"sysprof/profile/stack"
)

// store numbers stacks by the places in files that their addresses stand for. Processes that execute the
// same file have it, and the kernel's page, at other addresses each time, so that by address a build's
// three hundred compilers would have as many copies of every stack.
type store struct {
	byPlace  map[placeKey]uint32
	places   []place // by number
	mappings map[mappingKey]*stack.Mapping

	byStack map[string]uint32 // by the numbers of the places, 4 bytes each, and how it ends
	stacks  []string          // the same by number; 0 is none
	bytes   int
	lost    uint64
	scratch []byte
}

// placeKey is where a frame is: in a part of a file, the same for all processes, or in memory that has no
// file, which is a process's own.
type placeKey struct {
	file  fileID
	owner *owner // nil for files
	at    uint64 // offset in the file, or address
	mark  stack.Mark
}

// place is a placeKey with what it takes to name it.
type place struct {
	at      uint64         // offset in the file, or in the vdso; otherwise the address
	mapping *stack.Mapping // nil: there is none
	owner   *owner         // of the space where it was seen first
	mark    stack.Mark
}

// mappingKey is what makes a mapping one of its own: a part of a file, or memory of a process.
type mappingKey struct {
	file   fileID
	offset uint64
	vdso   string
	space  uint64
	start  uint64
}

func keyOf(o *owner, m *stack.Mapping) mappingKey {
	switch {
	case m.IsFile():
		return mappingKey{file: idOf(m), offset: m.Offset}
	case m.IsVDSO():
		return mappingKey{vdso: string(o.vdso)}
	}
	return mappingKey{space: o.id, start: m.Start}
}

// gap is the number of no place: it stands for frames that are left out.
const gap = ^uint32(0)

// The bounds of a store. A stack takes about 100 bytes, so it has room for a hundred thousand of them.
const (
	maxStoreBytes = 16 << 20
	maxPlaces     = 1 << 18
)

func newStore() store {
	return store{byPlace: make(map[placeKey]uint32), mappings: make(map[mappingKey]*stack.Mapping),
		byStack: make(map[string]uint32), stacks: make([]string, 1)}
}

// add returns the number of a stack that was captured in a space, 0 if there is no room for it.
func (st *store) add(s *space, at stack.Stack) uint32 {
	key := st.scratch[:0]
	for i, pc := range at.Frames {
		if pc == stack.Gap {
			key = binary.NativeEndian.AppendUint32(key, gap)
			continue
		}
		// At its entry-stop a thread stands behind the instruction that makes the call, in the frames
		// above behind that which calls.
		before := uint64(1)
		if i == 0 {
			before = callSize
		}
		key = binary.NativeEndian.AppendUint32(key, st.place(s, pc, before))
	}
	if at.End != stack.Bottom {
		key = append(key, byte(ending(at.End)))
	}
	st.scratch = key
	if known, ok := st.byStack[string(key)]; ok {
		return known
	}
	if st.bytes+len(key) > maxStoreBytes || len(st.places) >= maxPlaces {
		st.lost++
		return 0
	}
	text := string(key)
	number := uint32(len(st.stacks))
	st.stacks = append(st.stacks, text)
	st.byStack[text] = number
	st.bytes += len(text)
	return number
}

// ending makes one of all the reasons for which a stack is not whole that a reader need not tell from each other.
func ending(why stack.Reason) stack.Reason {
	switch why {
	case stack.Truncated, stack.Unread:
		return why
	}
	return stack.NoInfo
}

// place returns the number of the place of a frame, whose instruction of this size ends at its address.
func (st *store) place(s *space, frame, size uint64) uint32 {
	pc, mark := stack.Frame(frame)
	at := pc - size
	p := place{at: at, owner: s.owner, mark: mark}
	key := placeKey{at: at}
	m, ok := s.Mapping(pc - 1)
	if ok {
		switch {
		case m.IsFile():
			p.at = at - m.Start + m.Offset
			key.file, key.at = idOf(m), p.at
		case m.IsVDSO():
			p.at = at - m.Start
			key.file, key.at = fileID{inode: uint64(len(s.vdso))}, p.at
		default:
			key.owner = s.owner
		}
	}
	key.mark = mark
	if known, ok := st.byPlace[key]; ok {
		return known
	}
	if ok {
		p.mapping = st.mapping(s.owner, m)
	}
	number := uint32(len(st.places))
	st.places = append(st.places, p)
	st.byPlace[key] = number
	return number
}

// mapping returns a copy of a mapping, the same one for all that are alike: m is part of a space, which is not
// to be kept for it. The copy ends where the longest of them does.
func (st *store) mapping(o *owner, m *stack.Mapping) *stack.Mapping {
	key := keyOf(o, m)
	known := st.mappings[key]
	if known == nil {
		known = new(stack.Mapping)
		*known = *m
		st.mappings[key] = known
	}
	known.End = max(known.End, known.Start+(m.End-m.Start))
	return known
}

// at returns the numbers of the places of a stack, or gap, innermost first, and why it is not whole; 0 if it is.
func (st *store) at(number uint32) (places []uint32, end stack.Reason) {
	if int(number) >= len(st.stacks) {
		return nil, 0
	}
	text := []byte(st.stacks[number])
	for ; len(text) >= 4; text = text[4:] {
		places = append(places, binary.NativeEndian.Uint32(text))
	}
	if len(text) > 0 {
		end = stack.Reason(text[0])
	}
	return places, end
}

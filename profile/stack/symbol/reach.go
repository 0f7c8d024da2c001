package symbol

import (
	"slices"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/flow"
)

// reachWork is what one search through a function's code is charged, and stepWork what each instruction of it is.
const reachWork, stepWork = 4 << 10, 64

// flowArchs are the machines whose code can be followed.
var flowArchs = map[elf.Machine]flow.Arch{elf.EM_X86_64: flow.AMD64, elf.EM_AARCH64: flow.ARM64}

// reaches reports whether the code that begins at first comes to addr, and known whether that can be said: of a label without a
// size, whose name is otherwise taken to go on up to the next one.
func (r *reader) reaches(first, addr uint64) (reaches, known bool) {
	arch, ok := r.follow(reachWork)
	if !ok {
		return false, false
	}
	reaches = r.s.follower.Reaches(r.code, arch, first, addr)
	r.b.spend(stepWork * r.s.follower.Steps())
	return reaches, true
}

// holds reports whether the function that begins at first surely holds addr, if no other one begins before end.
func (r *reader) holds(first, end, addr uint64) bool {
	arch, ok := r.follow(reachWork)
	if !ok {
		return false
	}
	holds := r.s.follower.Holds(r.code, arch, first, end, addr)
	r.b.spend(stepWork * r.s.follower.Steps())
	return holds
}

// follow makes the follower ready for the file's code, if there is one for its machine and work is left.
func (r *reader) follow(work int) (arch flow.Arch, ok bool) {
	arch, ok = flowArchs[r.e.Machine]
	if !ok || !r.b.spend(work) {
		return 0, false
	}
	if r.s.follower == nil {
		r.s.follower = flow.NewFollower()
	}
	if r.code == nil {
		r.s.followed++
		r.code = &fileCode{r: r, number: r.s.followed}
	}
	return arch, true
}

// fileCode is the code in a file, as package flow asks for it.
type fileCode struct {
	r      *reader
	number uint32 // which no other file has
	insn   [flow.MaxInsn]byte
}

func (c *fileCode) At(addr uint64) (b []byte, ok bool) {
	e := c.r.e
	off, left, ok := e.Offset(addr)
	if !ok || !e.text(addr) {
		return nil, true
	}
	return e.Bytes(off, int(min(left, flow.MaxInsn)), c.insn[:]), true
}

func (c *fileCode) Data(into []byte, addr uint64) int {
	off, left, ok := c.r.e.Offset(addr)
	if !ok {
		return 0
	}
	if s := c.r.starts; s != nil && len(into) > 8 { // a table, which is no longer than it is to the next one
		if next, _ := slices.BinarySearch(s.data, addr+1); next < len(s.data) {
			left = min(left, s.data[next]-addr)
		}
	}
	return copy(into, c.r.e.Bytes(off, int(min(left, uint64(len(into)))), into))
}

func (c *fileCode) Place(addr uint64) (file uint32, addrInFile uint64) { return c.number, addr }

func (c *fileCode) Ends(addr uint64) (ends, ok bool) {
	t := c.r.functions()
	if t == nil {
		return false, true
	}
	_, end, known := t.Around(addr - 1)
	return known && end == addr, true
}

package flow

// insnKind is how an instruction goes on.
type insnKind uint8

const (
	unknown insnKind = iota // not decoded, or nothing that a compiled function does
	plain                   // with the next instruction
	ret                     // with the caller
	jump                    // at target
	branch                  // at target or with the next instruction
	jumpFar                 // where a register or a word of memory says
	call                    // at target, and then with the next instruction
	callFar                 // the same, where a register or a word of memory says
	syscall                 // with the next instruction, if the kernel comes back
	stop                    // nowhere
)

// effectKind is what an instruction does to a register or to the stack.
type effectKind uint8

const (
	set     effectKind = iota // dst = src + imm
	konst                     // dst = imm
	here                      // dst = the instruction's address + imm
	page                      // dst = the start of the page of the instruction's address + imm
	lowByte                   // the lowest byte of dst = imm
	load                      // dst = the word at src + imm
	store                     // the word at dst + imm = src; src noReg: size bytes that are not known
	lose                      // dst = something
	align                     // dst is rounded down
	lookUp                    // dst = an element, of the shape size, of the table at src + imm; src noReg: at imm
	sum                       // dst = the register with the number imm + src, shifted and extended as the shape size says
)

type effect struct {
	kind     effectKind
	dst, src uint8
	size     uint8
	imm      int64
}

const maxEffects = 6

// insn is what matters of an instruction.
type insn struct {
	kind   insnKind
	size   uint8
	n      uint8
	reg    uint8 // jumpFar, callFar: the register that says where; noReg: memory does, …
	mem    bool  // … the word at target, …
	table  bool  // … or an element of the table at target, from what is in reg if that is one
	target int64 // from the instruction's address, which makes it the same wherever it is mapped
	does   [maxEffects]effect
}

// add notes an effect. An instruction with more of them than there is room for is not understood.
func (in *insn) add(e effect) {
	if int(in.n) == len(in.does) {
		in.kind = unknown
		return
	}
	in.does[in.n] = e
	in.n++
}

func (in *insn) lose(reg uint8) { in.add(effect{kind: lose, dst: reg}) }

// An insnCache keeps decoded instructions: neighbouring addresses of a function lead through the same ones, and
// what they are is read from a file.
const insnCacheSize = 1 << 11

type insnEntry struct {
	addr uint64 // in its file
	file uint32
	arch Arch
	in   insn
}

type insnCache [insnCacheSize]insnEntry

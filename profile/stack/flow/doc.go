// Package flow finds out where a function's caller is, from nothing but the function's instructions. It is for code
// that comes without unwind information: musl's libc, hand-written assembly, programs built without tables.
//
// A function undoes on its way to its return instruction what it has done to the stack. So Forward goes on
// from an address as the processor would, keeps count of the stack pointer and of which registers are loaded from
// where, and finds at the return instruction where the return address and the caller's registers are. From does the
// same from a function's first instruction to an address in it, for functions that never return. Both give a
// Frame that holds for the address whatever the stack is like, so that it needs to be found only once.
//
// What a path cannot be sure of ends it: an unknown instruction, a jump to where only the registers say, a call of
// something that may never return, behind which the next function may begin. Returns says that of a function,
// by looking for a path to a return instruction in it, and in what it calls. A call that is the last instruction of a
// function, as unwind information has it, does not return. Paths that come to different ends make no Frame.
//
// A jump by a table of addresses, as of a switch, goes to each of them. How many there are is not known, and what
// follows a table may be another function's (table.go). So Forward does not follow it. From does, as a path that strays
// into another function does not come to the address that it looks for; and so does Returns, which believes such a
// path if it has taken down the frame that was there at the jump. Returns also takes a jump to where a register says for
// a call instead of a return, if the frame has been taken down before it.
//
// Main is for a main function that never returns and is called by a register: a program's first code says where it begins.
//
// Pointees is for other functions that never return and are called by a register: what the code in front of the call has taken
// the address of may be one.
//
// It follows compiled code's conventions (System V psABI AMD64, 3.2; AAPCS64, 6.1): a function that
// returns has left the stack pointer and the callee-saved registers as they were. Nothing here believes that an
// address which was found is one: that is for the caller to check.
//
// It is bounded: in instructions, in branches that wait, in memory. Any bytes may be followed.
package flow

// A Verdict says what following code came to.
type Verdict uint8

const (
	// Unsure: nothing is known, or different paths say different things.
	Unsure Verdict = iota
	// Found: there is a Frame; for Returns, a way back.
	Found
	// Never: all paths were followed to where they end, and none returns.
	Never
	// Missed: code has to be read first.
	Missed
)

// An Arch is a set of instructions.
type Arch uint8

const (
	AMD64 Arch = iota
	ARM64
)

// Code is a process's code.
type Code interface {
	// At returns the bytes of code from addr on, MaxInsn if there are as many, and none where there is no code. It reports
	// false if they have to be read first.
	At(addr uint64) (b []byte, ok bool)
	// Data reads data at addr. It returns how many bytes it has read.
	Data(into []byte, addr uint64) int
	// Place returns a name for addr that is the same wherever its file is mapped.
	Place(addr uint64) (file uint32, addrInFile uint64)
	// Ends reports whether unwind information says that a function ends before addr. It reports false if that has to be read
	// first.
	Ends(addr uint64) (ends, ok bool)
}

// MaxInsn is the length of the longest instruction (Intel SDM, 2.3.11).
const MaxInsn = 15

// A Place is an address: a register, or, if Deref, the word that lies Off bytes from where that points to; and Add to
// either.
type Place struct {
	Reg   uint8 // by DWARF number
	Deref bool
	Off   int64
	Add   int64
}

// A Saved says where a register of the caller is.
type Saved struct {
	Reg uint8
	At  Place
}

// maxSaved is the number of registers that functions preserve on either architecture, and the return address.
const maxSaved = 12

// A Frame says where the caller of a function is, in terms of the registers at one address in it. Registers that are
// in neither list have the caller's values.
type Frame struct {
	CFA Place // what the caller's stack pointer will be
	// Link: the return address is in register LinkReg. Otherwise it is stored at RA.
	Link bool
	RA   Place
	// Saved lists what is stored, and Lost the registers that cannot be known, as bits.
	Saved  [maxSaved]Saved
	NSaved int
	Lost   uint64
}

// convention is what an architecture's functions agree on. Registers go by DWARF number.
type convention struct {
	nregs     uint8
	sp, fp    uint8
	link      uint8 // the register with the return address, or noReg
	afterCall int64 // from the stack pointer at a function's first instruction to the CFA
	preserved []uint8
	clobbered []uint8  // by calls
	callNr    uint8    // the number of a system call
	argument  uint8    // the first one
	noReturn  []int64  // numbers of system calls that do not come back
	callSizes []uint64 // of calls that say themselves what they call
	decode    func(b []byte, in *insn)
}

const noReg = 0xff

var conventions = [...]convention{
	AMD64: {
		nregs: 16, sp: 7, fp: 6, link: noReg, afterCall: 8,
		preserved: []uint8{3, 6, 12, 13, 14, 15},
		clobbered: []uint8{0, 1, 2, 4, 5, 8, 9, 10, 11},
		callNr:    0,
		argument:  5,
		noReturn:  []int64{60, 231, 15}, // exit, exit_group, rt_sigreturn
		callSizes: []uint64{5, 6},
		decode:    decodeX86,
	},
	ARM64: {
		nregs: 32, sp: 31, fp: 29, link: 30, afterCall: 0,
		preserved: []uint8{19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29},
		clobbered: []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 30},
		callNr:    8,
		argument:  0,
		noReturn:  []int64{93, 94, 139},
		callSizes: []uint64{4},
		decode:    decodeARM64,
	},
}

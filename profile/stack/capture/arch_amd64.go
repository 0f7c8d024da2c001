package capture

import "sysprof/profile/stack"

const (
	nativeArch = stack.AMD64
	supported  = true

	stackPointer = stack.AMD64Rsp // its number in stack.Regs
)

// callSize is the size of the instruction that makes a call (syscall).
const callSize = 2

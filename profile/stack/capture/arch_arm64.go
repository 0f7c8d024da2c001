package capture

import "sysprof/profile/stack"

const (
	nativeArch = stack.ARM64
	supported  = true

	stackPointer = 31 // its number in stack.Regs
)

// callSize is the size of the instruction that makes a call (svc).
const callSize = 4

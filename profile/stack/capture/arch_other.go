//go:build !amd64 && !arm64

package capture

import "sysprof/profile/stack"

// There is no unwinder for this architecture.
const (
	nativeArch = stack.AMD64
	supported  = false
	callSize   = 4

	stackPointer = 0
)

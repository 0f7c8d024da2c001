//go:build !amd64 && !arm64

package ptrace

import "sysprof/syscalltab"

// breakpointLength is 0: there are no breakpoints. (The kernel has none for riscv64.)
const breakpointLength = 0

// abiOf takes the call that a thread sleeps in for one of a 64-bit program.
func abiOf(int32, *blockedCall) syscalltab.ABI { return syscalltab.Native()[0] }

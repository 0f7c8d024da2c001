//go:build !amd64

package ptrace

import "sysprof/syscalltab"

// breakpointLength is 0: no thread is left asleep. (riscv64 has no breakpoints. arm64 has, of 4 bytes, but under emulation a
// thread that was left asleep did not come to sleep again after a signal that it ignores, and no real machine was tried.)
const breakpointLength = 0

// abiOf takes the call that a thread sleeps in for one of a 64-bit program.
func abiOf(int32, *blockedCall) syscalltab.ABI { return syscalltab.Native()[0] }

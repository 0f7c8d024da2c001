//go:build !arm64 && !riscv64

package ptrace

import "golang.org/x/sys/unix"

// handlers has nothing to be known of handlers.
type handlers struct{}

func (*handlers) note(int32, unix.Signal) {}

// unseenCall is the call, which was not seen, that tid is about to return EINTR from: the registers tell.
func unseenCall(int32, *handlers) asleep { return asleep{} }

//go:build !arm64

package ptrace

import "golang.org/x/sys/unix"

// handlers has nothing to be known of handlers.
type handlers struct{}

func (*handlers) note(int32, unix.Signal) {}

// unseenCall is the call, which was not seen, that tid is about to return EINTR from. On amd64 the registers tell; on
// riscv64 the first argument is not to be had any more.
func unseenCall(int32, *handlers) asleep { return asleep{} }

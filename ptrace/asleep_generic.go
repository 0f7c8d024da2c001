//go:build !amd64

package ptrace

import "sysprof/profile"

// asleep is the call that a thread slept in before it was interrupted: what is needed to make the
// call again where the kernel does not.
type asleep struct {
	inCall bool
	nr     uint64
	args   [6]uint64
	pc     uint64
}

func beforeInterrupt(tid int32) asleep {
	call, ok := sleepingCall(tid)
	return asleep{inCall: ok, nr: call.nr, args: call.args, pc: call.pc}
}

// asleepIn is what has to be known about a call that is at its exit-stop, behind the instruction at ip.
func asleepIn(c *profile.Call, ip uint64) asleep {
	return asleep{inCall: true, nr: c.Nr, args: c.Args, pc: ip}
}

// interruptedCall finds out which call tid's restart_syscall(2) goes on with: nowhere but on amd64.
func interruptedCall(int32) (nr uint64, ok bool) { return 0, false }

package ptrace

// answerCall makes the call that tid stands before return ret, without being made: the kernel makes none with
// number −1, and leaves the return register as it is (kernel/seccomp.c, __seccomp_filter).
func answerCall(tid int32, ret int64) {
	if pokeUser(tid, userOrigRAX, -1) == nil {
		pokeUser(tid, userRAX, ret)
	}
}

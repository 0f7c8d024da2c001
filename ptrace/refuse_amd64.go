package ptrace

// refuseCall makes the call that tid is about to make fail with ENOSYS: the kernel does not make one with
// number −1, and the return register holds −ENOSYS from the entry on (arch/x86/entry/entry_64.S).
func refuseCall(tid int32) { pokeUser(tid, userOrigRAX, -1) }

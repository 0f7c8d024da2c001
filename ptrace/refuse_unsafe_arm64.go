package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuseCall makes the call that tid is about to make fail with ENOSYS: the kernel does not make one with
// number −1, and leaves the return register as it is (arch/arm64/kernel/ptrace.c, syscall_trace_enter).
func refuseCall(tid int32) {
	const ntSystemCall = 0x404 // NT_ARM_SYSTEM_CALL of <linux/elf.h>
	none := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&none))}
	iov.SetLen(int(unsafe.Sizeof(none)))
	if request(unix.PTRACE_SETREGSET, tid, ntSystemCall, uintptr(unsafe.Pointer(&iov))) != nil {
		return
	}
	var regs unix.PtraceRegsArm64
	if regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec)) != nil {
		return
	}
	enosys := -int64(unix.ENOSYS)
	regs.Regs[0] = uint64(enosys)
	regSet(unix.PTRACE_SETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec))
}

package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// answerCall makes the call that tid stands before return ret, without being made: the kernel makes none with
// number −1, and leaves the return register as it is (arch/arm64/kernel/ptrace.c, syscall_trace_enter).
func answerCall(tid int32, ret int64) {
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
	regs.Regs[0] = uint64(ret)
	regSet(unix.PTRACE_SETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec))
}

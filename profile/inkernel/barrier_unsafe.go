package inkernel

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// barrier returns when no program is running any more that was running before: with MEMBARRIER_CMD_GLOBAL it waits until
// each CPU has been somewhere else (membarrier(2)), and these programs are not preempted. Where that is not to be had, it
// visits each CPU.
func barrier() {
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno == 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
			unix.SchedSetaffinity(0, &one)
		}
	}
}

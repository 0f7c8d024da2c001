// Which call it is that a thread makes.
#pragma once
#include "tables.h"

INLINE u32 abi_of(struct task_struct *task, u64 nr)
{
#if defined(__TARGET_ARCH_x86)
	const u32 ts_compat = 2;

	if (task->thread_info.status & ts_compat)
		return COMPAT;
	if ((nr & ~0x3fffffffULL) == 0x40000000)
		return X32;
#elif defined(__TARGET_ARCH_arm64)
	const unsigned long tif_32bit = 1 << 22;

	if (task->thread_info.flags & tif_32bit)
		return COMPAT;
#endif
	return NATIVE;
}

INLINE u64 nr_of(struct task_struct *task)
{
	struct pt_regs *regs = task_regs(task);

#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	return regs->syscallno;
#elif defined(__TARGET_ARCH_riscv)
	return regs->a7;
#endif
}

// index_of finds a call in calls. The calls behind i386's ipc and socketcall get the numbers of syscalltab.
INLINE u32 index_of(struct task_struct *task, u32 abi, u64 *nr)
{
	u64 n = *nr;

#if defined(__TARGET_ARCH_x86)
	const u32 socketcall = 102, ipc = 117;

	if (abi == X32)
		n &= 0x3fffffff;
	if (abi == COMPAT && (n == socketcall || n == ipc)) {
		struct pt_regs *regs = task_regs(task);
		u32 sub = regs->bx;
		u32 first = 512 + 24; // where those of ipc are

		if (n == ipc)
			sub &= 0xffff;
		else if ((u32)regs->cx < 4096)
			sub = 0;
		else
			first = 512;
		if (sub && sub <= (n == ipc ? 24 : 20) && (n == socketcall || sub < 5 || (sub > 10 && sub < 15) || sub > 20)) {
			*nr = 1ULL << 32 | n << 8 | sub;
			return COMPAT * NUMBERS + first + sub;
		}
	}
#endif
	return n < 512 ? abi * NUMBERS + n : NONE;
}

INLINE int ends_thread(u32 abi, u64 nr)
{
	if (abi == NATIVE)
		return nr == nr_exit || nr == nr_exit_group;
	if (abi == COMPAT)
		return nr == nr_exit_compat || nr == nr_exit_group_compat;
	return (nr & 0x3fffffff) == nr_exit || (nr & 0x3fffffff) == nr_exit_group;
}

INLINE int is_restart(u32 abi, u64 nr) { return abi < ABIS && nr == nr_restart[abi]; }

#define RESTART_BLOCK 516 // an errno that the kernel keeps to itself: restart_syscall will go on with the call

// note_restart takes note of such a call. It goes on with that as well when it has been interrupted itself.
INLINE void note_restart(struct slot *slot)
{
	if (!is_restart(slot->abi, slot->nr) && slot->call != NONE && !((u64)slot->nr >> 32))
		slot->resumes = (slot->nr & 0xfff) + 1;
}

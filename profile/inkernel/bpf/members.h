// Which threads are members, and their slots.
#pragma once
#include "tables.h"

INLINE struct slot *slot_at(u64 regs)
{
	u32 i = (u32)regs >> 14 & slot_mask; // a kernel stack has 16 KB at least (THREAD_SIZE)
	return map_lookup(&slots, &i);
}

INLINE struct slot *slot_of(u64 regs)
{
	struct slot *slot = slot_at(regs);

	if (!slot)
		return 0;
	if (slot->regs == regs)
		return slot;
	if (!slot->spilled)
		return 0;
	return map_lookup(&spill, &regs);
}

INLINE u64 regs_of(struct task_struct *task)
{
	u32 zero = 0;
	volatile u64 *number = map_lookup(&scratch, &zero);

	if (!number)
		return 0;
	*number = (u64)task_regs(task);
	return *number;
}

// enroll makes a thread a member, unless it is one.
INLINE void enroll(struct task_struct *task, u32 state)
{
	u64 regs = regs_of(task);
	struct slot *slot = slot_at(regs);

	if (!slot || slot_of(regs))
		return;
	u64 owner = __sync_val_compare_and_swap(&slot->regs, 0, regs);
	if (owner == regs)
		return;
	if (owner) {
		struct slot fresh = {.regs = regs};

		__sync_fetch_and_add(&slot->spilled, 1);
		long err = map_update(&spill, &regs, &fresh, BPF_NOEXIST);
		struct slot *own = map_lookup(&spill, &regs);
		if (err || !own) {
			__sync_fetch_and_add(&slot->spilled, -1);
			if (!own)
				__sync_fetch_and_add(&no_slot, 1);
			return;
		}
		slot = own;
	}
	slot->random = regs;
	slot->told = UNTOLD;
	slot->resumes = slot->owed = 0;
	if (slower_ns)
		slot->entered = ktime_ns();
	slot->state = state;
	__sync_fetch_and_add(&members, 1);
	__sync_fetch_and_add(&seen, 1);
	if (task->pid == task->tgid)
		__sync_fetch_and_add(&processes, 1);
}

INLINE void dismiss(struct task_struct *task, u64 regs, struct slot *slot)
{
	struct slot *first = slot_at(regs);

	slot->state = UNSEEN;
	if (slot == first) {
		slot->regs = 0;
	} else {
		map_delete(&spill, &regs);
		if (first)
			__sync_fetch_and_add(&first->spilled, -1);
	}
	__sync_fetch_and_add(&members, -1);
	if (task->pid == task->tgid)
		__sync_fetch_and_add(&processes, -1);
}

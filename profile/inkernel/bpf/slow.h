// Single calls that take long, for those who ask for them. Nothing of this is in programs that are loaded with slower_ns at 0.
//
// A call that has taken that long is told of by a ring when it ends, and by an iterator, which user space runs now and then, while it
// hangs. So many a second are told of, and how many were not is counted: counts and times do not come from here.
#pragma once
#include "members.h"
#include "calls.h"
#include "stacks.h"

struct pt_regs___args {
#if defined(__TARGET_ARCH_x86)
	unsigned long di, si, dx, r10, r8, r9, bx, cx, bp;
#elif defined(__TARGET_ARCH_arm64)
	u64 regs[31], orig_x0;
#elif defined(__TARGET_ARCH_riscv)
	unsigned long orig_a0, a1, a2, a3, a4, a5;
#endif
} OF_KERNEL;

// --- What user space sets before these programs are loaded ---

enum outcomes { OF_SUCCESSES = 1, OF_FAILURES = 2, OF_DEATHS = 4 };

volatile const u32 slow_outcomes = OF_SUCCESSES | OF_FAILURES | OF_DEATHS;
volatile const u64 slow_calls[(CALLS + 63) / 64] = {}; // of these, by their index,
volatile const u32 slow_unknown = 0;                   // and of those that are in no table

// --- Maps ---

enum slow_kind { SLOW_RETURNED, SLOW_HANGS, SLOW_BROKEN_OFF };

struct slow {
	u64 ns;
	u64 since; // when it was entered, or if it was before the counting, when that began
	s64 nr, result;
	u64 args[6];
	u32 abi, kind, why, unseen;
	u32 resumes; // the call that a restart_syscall goes on with, and 1; 0: not known, or it is none
	u32 pid, tid, pad;
	char process[16], name[16];
};

struct {
	UINT(type, BPF_MAP_TYPE_RINGBUF);
	UINT(max_entries, 1 << 17);
} slow_ring SEC(".maps");

// Of which call of a thread it has been said that it hangs: since when that is.
struct {
	UINT(type, BPF_MAP_TYPE_TASK_STORAGE);
	UINT(map_flags, BPF_F_NO_PREALLOC);
	TYPE(key, int);
	TYPE(value, u64);
} said SEC(".maps");

// --- What user space reads while these programs run ---

u64 slow_second = 0, slow_told = 0; // when the present second began, and how many have been told of in it
u64 slow_lost = 0;                  // calls of which nothing was told when they ended

// --- Telling ---

// may_tell takes the place of one call in the present second. As many as user space writes are enough.
INLINE int may_tell(u64 now)
{
	const u64 second = 1000000000, most = 100;

	if (now - slow_second >= second) {
		slow_second = now;
		slow_told = 0;
	}
	return slow_told < most && __sync_fetch_and_add(&slow_told, 1) < most;
}

INLINE int is_wanted(u32 i)
{
	return i < CALLS ? slow_calls[i / 64] >> (i % 64) & 1 : slow_unknown;
}

INLINE void read_arguments(struct slow *s, struct task_struct *task)
{
	struct pt_regs___args *regs = (void *)task_regs(task);
	u64 *a = s->args;

#if defined(__TARGET_ARCH_x86)
	if (s->abi == COMPAT) {
		a[0] = regs->bx; a[1] = regs->cx; a[2] = regs->dx; a[3] = regs->si; a[4] = regs->di; a[5] = regs->bp;
	} else {
		a[0] = regs->di; a[1] = regs->si; a[2] = regs->dx; a[3] = regs->r10; a[4] = regs->r8; a[5] = regs->r9;
	}
#elif defined(__TARGET_ARCH_arm64)
	a[0] = regs->orig_x0; a[1] = regs->regs[1]; a[2] = regs->regs[2];
	a[3] = regs->regs[3]; a[4] = regs->regs[4]; a[5] = regs->regs[5];
#elif defined(__TARGET_ARCH_riscv)
	a[0] = regs->orig_a0; a[1] = regs->a1; a[2] = regs->a2; a[3] = regs->a3; a[4] = regs->a4; a[5] = regs->a5;
#endif
}

// describe_call fills in who makes a call, and with what.
INLINE void describe_call(struct slow *s, struct task_struct *task, struct slot *slot)
{
	struct task_struct *leader = task->group_leader;

	read_arguments(s, task);
	s->resumes = is_restart(s->abi, s->nr) ? slot->resumes : 0;
	s->pid = task->tgid;
	s->tid = task->pid;
	if (leader) {
		*(u64 *)&s->process[0] = *(u64 *)&leader->comm[0];
		*(u64 *)&s->process[8] = *(u64 *)&leader->comm[8];
	}
	*(u64 *)&s->name[0] = *(u64 *)&task->comm[0];
	*(u64 *)&s->name[8] = *(u64 *)&task->comm[8];
}

INLINE void tell_ended(struct slow *s, struct task_struct *task, struct slot *slot)
{
	if (may_tell(s->since + s->ns)) {
		describe_call(s, task, slot);
		if (ring_output(&slow_ring, s, sizeof(*s), 0) == 0)
			return;
	}
	__sync_fetch_and_add(&slow_lost, 1);
}

// tell_slow tells of a call that has returned, and taken long. It is not static for the reason of count_for.
__attribute__((noinline)) int tell_slow(struct slot *slot, s64 result, u64 ns, u32 unseen)
{
	if (!slower_ns || !slot || !is_wanted(slot->call) || !began)
		return 0;
	if (slot->abi == COMPAT)
		result = (s32)result;
	if (!(slow_outcomes & (result < 0 && result >= -4095 ? OF_FAILURES : OF_SUCCESSES)))
		return 0;
	struct slow s = {.nr = slot->nr, .abi = slot->abi, .kind = SLOW_RETURNED, .result = result, .ns = ns, .since = slot->entered, .unseen = unseen};
	tell_ended(&s, current_task(), slot);
	return 0;
}

// tell_broken_off tells of a call that will never return.
INLINE void tell_broken_off(struct task_struct *task, struct slot *slot, struct flight_key *key, u64 since, u64 ns)
{
	if (!slower_ns || ns < slower_ns || !(slow_outcomes & OF_DEATHS) || (key->why != KILLED && key->why != REPLACED))
		return;
	u64 nr = key->nr;
	if (!is_wanted(slot->state == COUNTED ? slot->call : index_of(task, key->abi, &nr)))
		return;
	struct slow s = {.nr = key->nr, .abi = key->abi, .kind = SLOW_BROKEN_OFF, .ns = ns, .since = since, .why = key->why, .unseen = key->unseen};
	tell_ended(&s, task, slot);
}

// hanging tells of the call that a thread has been in for long, once. The thread may go on meanwhile: then it is in another call, or none.
SEC("iter/task")
int hanging(struct bpf_iter__task *ctx)
{
	const u32 sleeping = 3;
	struct task_struct *task = ctx->task;
	struct slot *slot = task ? slot_of(regs_of(task)) : 0;

	if (!slot || over)
		return 0;
	u32 state = slot->state, i = slot->call;
	u64 since = slot->entered, now = ktime_ns(), none = 0;
	struct slow s = {.nr = slot->nr, .abi = slot->abi, .kind = SLOW_HANGS, .ns = now - since, .since = since};

	if ((state != COUNTED && state != UNSEEN) || !since || (s64)(now - since) < (s64)slower_ns)
		return 0;
	u64 *told = task_storage(&said, task, &none, STORAGE_CREATE);
	if (!told || *told == since)
		return 0;
	if (state == UNSEEN) {
		u64 nr = nr_of(task);
		if (!(task->__state & sleeping) || (s32)nr < 0)
			return 0;
		s.abi = abi_of(task, nr);
		i = index_of(task, s.abi, &nr);
		struct call *call = i == NONE ? 0 : map_lookup(&calls, &i);
		if (call ? !call->every : s.abi >= ABIS || !unknown_counted[s.abi])
			return 0;
		s.nr = nr;
		s.unseen = 1;
	}
	if (!is_wanted(i))
		return 0;
	describe_call(&s, task, slot);
	if (slot->state != state || slot->entered != since || !may_tell(now)) // what there is no room for is told later
		return 0;
	if (ring_output(&slow_ring, &s, sizeof(s), 0) == 0)
		*told = since;
	return 0;
}

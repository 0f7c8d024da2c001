// Counting system calls in the kernel. See the package comment of inkernel for the whole; here is what runs at a call.
//
// A thread that is counted is a member. Members have a slot each, which the address of the thread's registers leads to: it
// is the same at entry and exit for as long as the thread lives, and is what these programs are given, so that no helper
// has to be asked who the thread is. Whoever has no slot is not counted, and pays for looking that up.
//
// All of this runs with preemption disabled (bpf probes of syscall tracepoints, trace/bpf_probe.h), so that rows, of which
// each CPU has its own, are changed by one program at a time. A slot is changed by its own thread, but for being taken:
// by the parent before the thread runs, or by the iterator at the beginning.
#include "calls.h"
#include "groups.h"
#include "members.h"
#include "slow.h"
#include "stacks.h"

char _license[] SEC("license") = "GPL";

// --- Rows ---

static __attribute__((noinline)) u32 find_row(u64 nr, u32 abi, u32 errno, u32 odd)
{
	struct row_key key = {.nr = nr, .errno = errno, .abi = abi};
	u32 *known = map_lookup(&row_of, &key);

	if (known)
		return *known;
	if (odd && __sync_fetch_and_add(&odd_rows_used, 1) >= ODD_ROWS) {
		__sync_fetch_and_add(&odd_rows_used, -1);
		return 0;
	}
	if (rows_used >= most_rows)
		return 0;
	u32 row = __sync_fetch_and_add(&rows_used, 1);
	if (row >= most_rows)
		return 0;
	if (map_update(&row_of, &key, &row, BPF_NOEXIST) == 0)
		return row;
	known = map_lookup(&row_of, &key); // another CPU was first
	return known ? *known : 0;
}

INLINE u32 row_for(struct slot *slot, u32 errno)
{
	u32 i = slot->call;
	struct call *call = i == NONE ? 0 : map_lookup(&calls, &i);

	if (!call)
		return find_row(slot->nr, slot->abi, errno, 1);
	if (!errno) {
		if (!call->row)
			call->row = find_row(slot->nr, slot->abi, 0, 0);
		return call->row;
	}
	if (call->errno == errno)
		return call->failed;
	u32 row = find_row(slot->nr, slot->abi, errno, 0);
	if (row && !call->failed && __sync_bool_compare_and_swap(&call->failed, 0, row))
		call->errno = errno;
	return row;
}

INLINE u32 bucket_of(u64 ns)
{
	u64 v = ns >> SUB_BITS;
	u32 shift = 0;

	if (v < 2)
		return ns;
	if (v >> 32) { shift = 32; v >>= 32; }
	if (v >> 16) { shift += 16; v >>= 16; }
	if (v >> 8) { shift += 8; v >>= 8; }
	if (v >> 4) { shift += 4; v >>= 4; }
	if (v >> 2) { shift += 2; v >>= 2; }
	if (v >> 1) shift += 1;
	if (shift + SUB_BITS >= 40)
		return FINE + (shift + SUB_BITS - 40);
	return (shift << SUB_BITS) + (ns >> shift);
}

INLINE void count(struct slot *slot, s64 result, u64 ns, u32 weight)
{
	if (slot->abi == COMPAT)
		result = (s32)result; // sigreturn leaves one of 32 bits (syscall_get_error)
	u32 errno = result < 0 && result >= -4095 ? -result : 0;
	u32 known = telling && count_for(slot, errno, ns, bucket_of(ns), weight);
	if (known && !drawing)
		return;
	u32 i = row_for(slot, errno);
	if (known) {
		struct tally *all = map_lookup(&tallies, &i);

		if (!all)
			return;
		all->calls++;
		all->sum += ns * weight;
		if (weight)
			draw(slot, i, all, ns, errno, weight);
		return;
	}
	struct row *row = map_lookup(&rows, &i);

	if (!row)
		return;
	if (!i)
		__sync_fetch_and_add(&no_row, 1);
	row->of.calls++;
	if (!weight)
		return;
	row->of.sum += ns * weight;
	if (ns > row->max)
		row->max = ns;
	if (~ns > row->below)
		row->below = ~ns;
	u32 b = bucket_of(ns);
	if (b < BUCKETS)
		row->bucket[b] += weight;
	draw(slot, i, &row->of, ns, errno, weight);
}

// --- Calls ---

// identify finds out which call a thread makes, and one of how many such calls is timed; 0: it is not counted.
INLINE u32 identify(struct slot *slot, struct task_struct *task, u64 nr)
{
	u32 abi = abi_of(task, nr);
	u32 i = index_of(task, abi, &nr);
	struct call *call = i == NONE ? 0 : map_lookup(&calls, &i);

	slot->nr = nr;
	slot->abi = abi;
	slot->call = i;
	if (call)
		return call->every;
	return abi < ABIS ? unknown_counted[abi] : 0;
}

SEC("raw_tp/sys_enter")
int enter(u64 *ctx)
{
	struct slot *slot = slot_of(ctx[0]);
	u64 nr = ctx[1];

	if (!slot || over)
		return 0;
	if (slot->state == LAUNCHING && nr != nr_execve)
		return 0;
	struct task_struct *task = current_task();
	u32 every = identify(slot, task, nr);
	if (!every) {
		slot->state = PASSED;
		return 0;
	}
	u32 launching = slot->state == LAUNCHING;
	slot->state = COUNTED;
	slot->weight = every;
	if (every > 1 && slot->owed == slot->call + 1) {
		slot->owed = 0;
		slot->weight = 1;
	} else if (every > 1) { // drawn at random: every Nth would follow the program's own rhythm
		slot->random = slot->random * 6364136223846793005ULL + 1442695040888963407ULL;
		if ((slot->random >> 32) * every >> 32) {
			slot->weight = 0;
			slot->entered = 0;
			return 0;
		}
	}
	note_entry(slot, task, launching);
	slot->entered = ktime_ns();
	return 0;
}

// is_killed reports whether a deadly signal waits for the thread: nothing of it goes back to the program then, and the call
// is in flight, whatever its result.
INLINE int is_killed(struct task_struct *task)
{
	const u32 sigkill = 9;

	return task->pending.signal.sig[0] >> (sigkill - 1) & 1;
}

// leave_unseen sees a call return that is not counted, as it was entered before the counting.
static __attribute__((noinline)) int leave_unseen(struct slot *slot, struct task_struct *task, s64 result)
{
	if (!slot || !task || !identify(slot, task, nr_of(task)))
		return 0;
	if (result == -RESTART_BLOCK)
		note_restart(slot);
	if (slower_ns && ktime_ns() - slot->entered >= slower_ns)
		tell_slow(slot, result, ktime_ns() - slot->entered, 1);
	return 0;
}

SEC("raw_tp/sys_exit")
int leave(u64 *ctx)
{
	struct slot *slot = slot_of(ctx[0]);
	s64 result = ctx[1];

	if (!slot || over)
		return 0;
	u32 state = slot->state;
	if (state == LAUNCHING)
		return 0;
	struct task_struct *task = current_task();
	if (state == COUNTED) {
		u64 ns = slot->entered ? ktime_ns() - slot->entered : 0;

		if (is_killed(task)) {
			draw_killed(slot);
			return 0;
		}
		slot->state = OUTSIDE;
		if (slower_ns && ns >= slower_ns)
			tell_slow(slot, result, ns, 0);
		if (result == -RESTART_BLOCK)
			note_restart(slot);
		count(slot, result, ns, slot->weight);
		return 0;
	}
	if (state == UNSEEN && is_killed(task))
		return 0; // likewise
	slot->state = OUTSIDE;
	if (state == UNSEEN)
		leave_unseen(slot, task, result);
	if (state != OUTSIDE)
		return 0;
	// The call was answered before its entry was seen: by a seccomp filter (kernel/entry/common.c, syscall_trace_enter).
	if (!identify(slot, task, nr_of(task)))
		return 0;
	if (is_killed(task)) {
		slot->state = COUNTED;
		slot->entered = ktime_ns();
		return 0;
	}
	count(slot, result, 0, 1);
	return 0;
}

// --- Calls that do not return ---

INLINE void fly(struct task_struct *task, struct slot *slot, u32 why)
{
	struct flight_key key = {.why = why};
	u64 since = began;

	if (telling && (why != EXITED || telling_exits))
		describe(task, &key.who);

	if (slot->state == COUNTED) {
		key.nr = slot->nr;
		key.abi = slot->abi;
		since = slot->entered;
	} else if (slot->state == UNSEEN) {
		u64 nr = nr_of(task);

		if ((s32)nr < 0)
			return; // it was not in a call: an interrupt has brought it here
		key.abi = abi_of(task, nr);
		u32 i = index_of(task, key.abi, &nr);
		struct call *call = i == NONE ? 0 : map_lookup(&calls, &i);
		if (call ? !call->every : key.abi >= ABIS || !unknown_counted[key.abi])
			return;
		key.nr = nr;
		key.unseen = 1;
		if (slower_ns)
			since = slot->entered;
	} else {
		return;
	}
	u64 ns = since ? ktime_ns() - since : 0;
	tell_broken_off(task, slot, &key, since, ns);
	if (is_restart(key.abi, key.nr) && slot->resumes)
		key.nr = (slot->resumes - 1) | (key.abi == X32 ? 0x40000000 : 0);
	struct flight none = {}, *flight = map_lookup(&flights, &key);
	if (!flight && telling && __sync_fetch_and_add(&flights_told, 1) >= most_flights) {
		struct who nobody = {};

		key.who = nobody;
		key.others = 1;
		flight = map_lookup(&flights, &key);
	}
	if (!flight) {
		map_update(&flights, &key, &none, BPF_NOEXIST);
		flight = map_lookup(&flights, &key);
	}
	if (!flight) {
		__sync_fetch_and_add(&no_flight, 1);
		return;
	}
	draw_flight(task, slot, &key, ns);
	if (ns >= flight->longest) {
		flight->longest = ns;
		flight->pid = task->tgid;
		flight->tid = task->pid;
	}
	__sync_fetch_and_add(&flight->count, 1);
}

INLINE u32 ending(struct task_struct *task, struct slot *slot)
{
	struct signal_struct *signal = task->signal;
	struct task_struct *heir = 0;

	if (slot->state == COUNTED && ends_thread(slot->abi, slot->nr))
		return EXITED;
	if (FIELD_EXISTS(signal->group_exec_task))
		heir = signal->group_exec_task;
	else if (FIELD_EXISTS(signal->group_exit_task))
		heir = signal->group_exit_task;
	return heir && heir != task ? REPLACED : KILLED;
}

SEC("tp_btf/sched_process_exit")
int ended(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u64 regs = regs_of(task);
	struct slot *slot = slot_of(regs);

	if (!slot)
		return 0;
	if (!over)
		fly(task, slot, ending(task, slot));
	dismiss(task, regs, slot);
	return 0;
}

// --- Who is a member ---

INLINE u32 mark_of(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	u32 *mark = leader ? task_storage(&marks, leader, 0, 0) : 0;

	return mark ? *mark : 0;
}

INLINE int is_counted(u32 mark) { return everybody ? !(mark & OURS) : mark & (TARGET | COMMAND); }

SEC("tp_btf/sched_process_fork")
int forked(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];

	if (!over && (slot_of(regs_of(parent)) || (looking && is_counted(mark_of(parent)))))
		enroll(child, BORN);
	return 0;
}

SEC("iter/task")
int each(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	if (!taking_leave) {
		u32 mark = mark_of(task);
		if (is_counted(mark))
			enroll(task, mark & COMMAND ? LAUNCHING : UNSEEN);
		return 0;
	}
	const u32 of_kernel = 0x00200000; // PF_KTHREAD
	struct slot *slot = slot_of(regs_of(task));
	if (!slot || task->flags & of_kernel)
		return 0;
	const u32 sleeping = 3; // interruptible or not
	if (slot->state == COUNTED || task->__state & sleeping)
		fly(task, slot, DETACHED);
	return 0;
}

// calibrate makes the thread that runs it a member, or none: BPF_PROG_TEST_RUN has it run by its caller.
SEC("raw_tp/calibrate")
int calibrate(u64 *ctx)
{
	struct task_struct *task = current_task();
	u64 regs = regs_of(task);
	struct slot *slot = slot_of(regs);

	own_pid = task->tgid;
	if (telling & TELL_CGROUP)
		own_cgroup = cgroup_of(task);
	if (ctx[0] && !slot)
		enroll(task, UNSEEN);
	else if (!ctx[0] && slot)
		dismiss(task, regs, slot);
	return 0;
}

// renamed sees a thread get another name, before it has it. The call that it gets it by is one of its old name.
SEC("tp_btf/task_rename")
int renamed(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct slot *slot = slot_of(regs_of(task));

	if (!slot || over)
		return 0;
	if (slot->told != UNTOLD && task == current_task() && slot->state == COUNTED) {
		struct who none = {}, *before = task_storage(&were, task, &none, STORAGE_CREATE);
		u32 i = slot->group;
		struct group *group = slot->told == turn + renames ? map_lookup(&groups, &i) : 0;

		if (before && group)
			*before = group->who;
		else if (before)
			describe(task, before);
		slot->told = before ? RENAMED : AGAIN;
	}
	if (task->group_leader == task) // all of its threads are of a process of another name
		__sync_fetch_and_add(&renames, 1);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int moved(u64 *ctx)
{
	__sync_fetch_and_add(&renames, 1);
	return 0;
}

SEC("tp_btf/signal_generate")
int signal_sent(u64 *ctx)
{
	u32 sig = ctx[0];
	struct task_struct *to = (void *)ctx[2];

	if (sig >= 65 || !(mark_of(to) & COMMAND) || mark_of(current_task()) & OURS)
		return 0;
	signalled[sig] = ktime_ns();
	return 0;
}

// Who makes the calls, for those who ask for it. Nothing of this is in programs that are loaded with telling at 0.
//
// Calls are counted by group, number and errno, which makes too many rows for histograms in each: a share is what one CPU has
// counted of one of these, and its latencies are in cells, one for each bucket that has any. Both are found by hashing, in
// areas that each CPU has to itself. There are two of everything. User space has the programs turn to the other one, waits
// until none is running that began before, and empties what they have left. So what has come in is never read while it
// changes, and no group has to be removed from among others. What finds no room is counted without its group, in rows.
#pragma once
#include "tables.h"

// --- What user space sets before these programs are loaded ---

enum telling { TELL_PID = 1, TELL_TID = 2, TELL_COMM = 4, TELL_THREAD = 8, TELL_CGROUP = 16 };

volatile const u32 telling = 0;     // what groups differ in
volatile const u32 telling_exits = 0; // even whose the calls are that end their threads, which are in no group
volatile const u32 group_bits = 0;  // there are 1 << group_bits groups,
volatile const u32 share_bits = 0;  // so many shares of each CPU, no more than a cell can name,
volatile const u32 cell_bits = 0;   // and so many cells
volatile const u32 cpus = 1;
volatile const u32 most_flights = 0; // so many rows of calls in flight say whose they are: there is room for others behind them

// --- Maps ---

struct who {
	u32 pid, tid;
	u64 cgroup;
	u64 comm[2], thread[2]; // the names of the process and of the thread
};

struct group {
	u32 state;
	u32 pid;    // of one of its processes
	u64 number; // in the order of their first calls
	struct who who;
};

enum group_state { FREE, TAKEN, READY };

struct share {
	u32 group; // and 1; 0: there is none
	u32 errno;
	s64 nr;
	u32 abi;
	u32 cell, bucket; // the last one
	u32 pad;
	u64 calls;
	u64 sum;
	u64 max;
	u64 below; // as in a row; 0: none was timed
};

struct cell {
	u32 of; // the share and the bucket, and 1; 0: there is none
	u32 calls; // their weights, where not all are timed
};

struct fill {
	u32 used, shares, cells, groups;
};

#define TABLE(name, value_type) \
	struct { \
		UINT(type, BPF_MAP_TYPE_ARRAY); \
		UINT(map_flags, BPF_F_MMAPABLE); \
		UINT(max_entries, 1); \
		TYPE(key, u32); \
		TYPE(value, value_type); \
	} name SEC(".maps")

TABLE(groups, struct group);
TABLE(shares, struct share);
TABLE(cells, struct cell);
TABLE(fills, struct fill); // of each area

// What a thread, and its process, were called before the call that it is in.
struct {
	UINT(type, BPF_MAP_TYPE_TASK_STORAGE);
	UINT(map_flags, BPF_F_NO_PREALLOC);
	TYPE(key, int);
	TYPE(value, struct who);
} were SEC(".maps");

// Calls that have not returned.
enum why { DETACHED, EXITED, KILLED, REPLACED };

struct flight_key {
	s64 nr;
	u32 abi;
	u32 why;
	u32 unseen; // it was entered before the counting
	u32 others; // there was no room to say whose it is
	struct who who;
};

struct flight {
	u64 count;
	u64 longest; // ns
	u32 pid, tid;
};

struct {
	UINT(type, BPF_MAP_TYPE_HASH);
	UINT(max_entries, 512);
	TYPE(key, struct flight_key);
	TYPE(value, struct flight);
} flights SEC(".maps");

// --- What user space reads and sets while these programs run ---

u64 own_cgroup = 0; // ours
u64 groups_made = 0;
u64 flights_told = 0; // rows of calls in flight that say whose they are, and those that would
u32 turn = 2;    // the last bit says which tables are filled
u32 renames = 2; // counts what may have put threads into other groups

// A slot is told to whom it belongs once for each sum of the two, or has never been told, or has to be told again, or has
// another name since its present call began.
enum told { UNTOLD, AGAIN, RENAMED };

// --- Who a thread is ---

INLINE u64 cgroup_of(struct task_struct *task)
{
	const u64 root = 1, by_address = 1ULL << 63;
	u32 zero = 0;
	struct css_set *set = task->cgroups;
	u64 id = set->dfl_cgrp->kn->id;
	volatile u64 *number = map_lookup(&scratch, &zero);

	if (id != root || !number)
		return id;
	*number = (u64)set; // all of its cgroups together, of version 1, too
	return *number | by_address;
}

INLINE void describe(struct task_struct *task, struct who *who)
{
	struct task_struct *leader = task->group_leader;

	if (telling & TELL_PID)
		who->pid = task->tgid;
	if (telling & TELL_TID)
		who->tid = task->pid;
	if (telling & TELL_CGROUP)
		who->cgroup = cgroup_of(task);
	if (telling & TELL_COMM && leader) {
		who->comm[0] = *(u64 *)&leader->comm[0];
		who->comm[1] = *(u64 *)&leader->comm[8];
	}
	if (telling & TELL_THREAD) {
		who->thread[0] = *(u64 *)&task->comm[0];
		who->thread[1] = *(u64 *)&task->comm[8];
	}
}

INLINE u64 mix(u64 hash, u64 value) { return (hash ^ value) * 0x9e3779b97f4a7c15ULL; }

INLINE int is_same(struct who *a, struct who *b)
{
	return a->pid == b->pid && a->tid == b->tid && a->cgroup == b->cgroup && a->comm[0] == b->comm[0] &&
	       a->comm[1] == b->comm[1] && a->thread[0] == b->thread[0] && a->thread[1] == b->thread[1];
}

INLINE struct fill *area_fill(u32 now)
{
	u32 area = (now & 1) * cpus + this_cpu();
	return map_lookup(&fills, &area);
}

// find_group finds out to whom a thread belongs. Two entries for the same are as good as one.
static __attribute__((noinline)) u32 find_group(struct slot *slot, struct task_struct *task, u32 now)
{
	const int probes = 16;
	struct who who = {};
	u32 told = now + renames;

	describe(task, &who);
	if (slot->told == RENAMED) {
		struct who *before = task_storage(&were, task, 0, 0);
		if (before && telling & TELL_COMM) {
			who.comm[0] = before->comm[0];
			who.comm[1] = before->comm[1];
		}
		if (before && telling & TELL_THREAD) {
			who.thread[0] = before->thread[0];
			who.thread[1] = before->thread[1];
		}
		told = AGAIN;
	}
	u64 hash = mix(mix(mix((u64)who.pid << 32 | who.tid, who.cgroup), who.comm[0] ^ who.thread[0] >> 1), who.comm[1] ^ who.thread[1] >> 1) >> 32;

	slot->told = told;
	slot->group = NONE;
	for (int n = 0; n < probes; n++) {
		u32 i = (now & 1) << group_bits | ((hash + n) & ((1U << group_bits) - 1));
		struct group *group = map_lookup(&groups, &i);

		if (!group)
			break;
		if (group->state == READY && is_same(&group->who, &who)) {
			slot->group = i;
			break;
		}
		if (group->state != FREE || __sync_val_compare_and_swap(&group->state, FREE, TAKEN) != FREE)
			continue;
		group->pid = task->tgid;
		group->number = __sync_fetch_and_add(&groups_made, 1);
		group->who = who;
		__sync_val_compare_and_swap(&group->state, TAKEN, READY);
		slot->group = i;
		struct fill *fill = area_fill(now);
		if (fill)
			fill->groups++, fill->used = 1;
		break;
	}
	return 0;
}

// --- Counting for it ---

// find_cell finds or takes the cell of a share's bucket.
INLINE struct cell *find_cell(u32 area, u32 share, u32 bucket, u32 *at, struct fill *fill)
{
	const int probes = 8;
	u32 of = (share << 11 | bucket) + 1, hash = mix(0, of) >> 32;

	for (int n = 0; n < probes; n++) {
		u32 i = area << cell_bits | ((hash + n) & ((1U << cell_bits) - 1));
		struct cell *cell = map_lookup(&cells, &i);

		if (!cell)
			return 0;
		if (cell->of && cell->of != of)
			continue;
		if (!cell->of) {
			cell->of = of;
			fill->cells++, fill->used = 1;
		}
		*at = i;
		return cell;
	}
	return 0;
}

// count_for counts a call for whom it belongs to. It reports false if there is no room. It is not static, so that the verifier looks
// at it once, and not again for each way there.
//
// A group may have few of the calls that come so often that not all are timed. As long as none of a share has been, the thread's next
// such call is.
__attribute__((noinline)) int count_for(struct slot *slot, u32 errno, u64 ns, u32 bucket, u32 weight)
{
	const int probes = 8;
	u32 now = turn;

	if (!slot || !telling)
		return 0;
	struct task_struct *task = current_task();
	if (slot->told != now + renames)
		find_group(slot, task, now);
	if (slot->group == NONE)
		return 0;
	u32 group = slot->group + 1, area = (now & 1) * cpus + this_cpu();
	u32 hash = mix(mix(group, slot->nr), errno << 2 | slot->abi) >> 32;
	struct fill *fill = map_lookup(&fills, &area);
	if (!fill)
		return 0;
	for (int n = 0; n < probes; n++) {
		u32 place = (hash + n) & ((1U << share_bits) - 1), i = area << share_bits | place, at = 0;
		struct share *share = map_lookup(&shares, &i);

		if (!share)
			return 0;
		if (share->group && !(share->group == group && share->nr == slot->nr && share->errno == errno && share->abi == slot->abi))
			continue;
		struct cell *cell = 0;
		if (weight && share->below && share->bucket == bucket) {
			at = share->cell;
			cell = map_lookup(&cells, &at);
		} else if (weight) {
			cell = find_cell(area, place, bucket, &at, fill);
		}
		if (weight && !cell)
			return 0;
		if (!share->group) {
			share->group = group;
			share->nr = slot->nr;
			share->errno = errno;
			share->abi = slot->abi;
			fill->used = 1;
			fill->shares++;
		}
		share->calls++;
		if (!cell) {
			if (!share->below)
				slot->owed = slot->call + 1;
			return 1;
		}
		share->cell = at;
		share->bucket = bucket;
		cell->calls += weight;
		share->sum += ns * weight;
		if (ns > share->max)
			share->max = ns;
		if (~ns > share->below)
			share->below = ~ns;
		return 1;
	}
	return 0;
}

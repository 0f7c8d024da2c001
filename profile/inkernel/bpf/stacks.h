// Stacks of calls that are drawn at random. When a drawn call returns, the thread's registers and a piece of its stack are
// copied into a ring, with how many calls it stands for; user space finds the return addresses in the copy. Counts and times
// do not come from here: what there is no room for in the ring is missing among the stacks alone.
//
// At a call's end it is known how it ended and how long it took, and the stack is still that of its entry. Only calls that
// leave no stack behind (execve, rt_sigreturn) are drawn, and copied, at their entry, and told of at their end.
#pragma once
#include "tables.h"

enum { BPF_MAP_TYPE_RINGBUF = 27, BPF_RB_NO_WAKEUP = 1 };

static long (*current_comm)(void *to, u32 size) = (void *)16;
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static u64 (*boottime_ns)(void) = (void *)125;
static long (*ring_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

struct sched_entity {
	u64 sum_exec_runtime;
} OF_KERNEL;

struct task_struct___stacks {
	struct sched_entity se;
	struct task_struct___stacks *real_parent, *group_leader;
	int tgid, pid;
	unsigned long nvcsw;
	u64 start_boottime;
	u64 self_exec_id; // how often the process has become another program
	char comm[16];
} OF_KERNEL;

struct pt_regs___stacks {
#if defined(__TARGET_ARCH_x86)
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, ip, sp;
#elif defined(__TARGET_ARCH_arm64)
	u64 regs[31], sp, pc;
#endif
} OF_KERNEL;

// --- What user space sets ---

#define CALLS (ABIS * NUMBERS)
volatile const u32 drawing = 0;                         // stacks are wanted
volatile const u64 read_at_entry[(CALLS + 63) / 64] = {}; // calls that leave no stack behind, by their index
u64 stack_gap = 250000;  // from one drawn call of a row to the next, on average, as far as there are more
u32 stack_bytes = 16384; // of a stack that are copied, at most STACK

u64 drawn_lost = 0; // for which there was no room in the ring

// --- Maps ---

// How often calls of a row are drawn: one of every, more of the long ones. User space never sees it: each drawn call says
// what it stands for.
struct pace {
	u64 since;   // when every was chosen
	u64 typical; // the mean latency then; 0: not known
	u32 every;
	u32 draws; // since then
	u64 pad[5]; // a cache line each
};

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, ROWS);
	TYPE(key, u32);
	TYPE(value, struct pace);
} paces SEC(".maps");

// What there is of each row in all where calls are counted by whose they are, and not in rows.
struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, ROWS);
	TYPE(key, u32);
	TYPE(value, struct tally);
} tallies SEC(".maps");

#define PAGE 4096
#define STACK (5 * PAGE)  // of the stack that the thread is on
#define BEYOND (2 * PAGE) // of another one, that the frame pointers lead to: Go's runtime has one for itself

enum drawn_kind { RETURNED, COPIED, FOLLOWS, FLYING };

struct drawn {
	u32 kind;
	u32 abi;
	s64 nr;
	u64 thread; // which one, as a number
	u64 ns;
	u32 errno, why, unseen;
	u32 weight, every, of; // it stands for weight · every / of calls
	u32 runtime, switches; // µs that the thread ran meanwhile, by the ticks, and how often it slept
	u32 pid, tid, parent;
	u32 stack, beyond; // so many bytes of each
	u32 program;       // self_exec_id
	u64 at;            // when it was copied, by ktime
	u64 started;
	u64 beyond_at;
	char process[16], name[16];
	u64 ip, reg[32]; // by their DWARF numbers
	u8 data[STACK + BEYOND];
};

// Where a record is put together: [0] for calls, [1] for those that do not return.
struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, struct drawn);
} records SEC(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_RINGBUF);
	UINT(max_entries, 8 << 20);
} ring SEC(".maps");

// --- Records ---

#if defined(__TARGET_ARCH_x86)
#define STACK_POINTER 7
#define FRAME_POINTER 6
#else
#define STACK_POINTER 31
#define FRAME_POINTER 29
#endif

INLINE void read_registers(struct drawn *d, struct task_struct *task)
{
	struct pt_regs___stacks *regs = (void *)task_regs(task);

#if defined(__TARGET_ARCH_x86)
	u64 *r = d->reg;
	r[0] = regs->ax; r[1] = regs->dx; r[2] = regs->cx; r[3] = regs->bx;
	r[4] = regs->si; r[5] = regs->di; r[6] = regs->bp; r[7] = regs->sp;
	r[8] = regs->r8; r[9] = regs->r9; r[10] = regs->r10; r[11] = regs->r11;
	r[12] = regs->r12; r[13] = regs->r13; r[14] = regs->r14; r[15] = regs->r15;
	d->ip = regs->ip;
#elif defined(__TARGET_ARCH_arm64)
#pragma unroll
	for (int i = 0; i < 31; i++)
		d->reg[i] = regs->regs[i];
	d->reg[31] = regs->sp;
	d->ip = regs->pc;
#else
	(void)regs; // there is no unwinder
#endif
}

INLINE void identify_thread(struct drawn *d, struct task_struct *of)
{
	struct task_struct___stacks *task = (void *)of, *leader = task->group_leader, *parent = task->real_parent;

	d->at = ktime_ns();
	d->pid = task->tgid;
	d->tid = task->pid;
	d->parent = parent->tgid;
	d->program = task->self_exec_id;
	d->started = leader->start_boottime;
#pragma unroll
	for (int i = 0; i < 16; i++)
		d->process[i] = leader->comm[i];
#pragma unroll
	for (int i = 0; i < 16; i++)
		d->name[i] = task->comm[i];
}

// copy copies memory of the thread, page by page, until one is not there.
INLINE u32 copy(struct drawn *d, u32 at, u64 from, u32 most, int pages)
{
	u32 n = 0;

#pragma unroll
	for (int i = 0; i < pages; i++) {
		u32 size = PAGE - ((from + n) & (PAGE - 1));
		u32 to = at + n;

		if (n >= most || to > sizeof(d->data) - PAGE)
			break;
		if (read_user(d->data + to, size, (void *)(from + n)))
			break;
		n += size;
	}
	return n;
}

// copy_stack copies what there is of the thread's stack, and of the next one.
static __attribute__((noinline)) int copy_stack(struct drawn *d)
{
	if (!d)
		return 0;
	u64 sp = d->reg[STACK_POINTER], fp = d->reg[FRAME_POINTER];
	u32 n = copy(d, 0, sp, stack_bytes, STACK / PAGE);

	d->stack = n;
	d->beyond = 0;
	d->beyond_at = 0;
	for (int i = 0; i < 32; i++) {
		u64 off = fp - sp;
		if (off >= n || off > sizeof(d->data) - 8)
			break;
		u64 next = *(u64 *)(d->data + (off & ~7ULL));
		if (next == fp)
			return 0;
		fp = next;
	}
	if (fp < PAGE || fp & 7 || fp - sp < n || n > STACK)
		return 0;
	d->beyond_at = fp;
	d->beyond = copy(d, n, fp, BEYOND - PAGE, BEYOND / PAGE);
	return 0;
}

INLINE int send(struct drawn *d, u64 size)
{
	const u64 grown = 1000000000;
	// Of a process that is young the mappings have to be read before it ends.
	u64 flags = boottime_ns() - d->started > grown ? BPF_RB_NO_WAKEUP : 0;

	if (size > sizeof(*d))
		return 0;
	if (ring_output(&ring, d, size, flags) == 0)
		return 1;
	__sync_fetch_and_add(&drawn_lost, 1);
	return 0;
}

#define HEAD __builtin_offsetof(struct drawn, data)

// send_copy sends a record with registers and stack. It reports whether there was room.
static __attribute__((noinline)) int send_copy(struct drawn *d, struct slot *slot, u32 kind)
{
	struct task_struct *task = current_task();

	if (!d || !slot)
		return 0;
	d->kind = kind;
	d->thread = slot->regs;
	d->nr = slot->nr;
	d->abi = slot->abi;
	identify_thread(d, task);
	read_registers(d, task);
	copy_stack(d);
	u32 stack = d->stack, beyond = d->beyond;
	return stack <= STACK && beyond <= BEYOND && send(d, HEAD + stack + beyond);
}

INLINE struct drawn *record(u32 which) { return map_lookup(&records, &which); }

// --- Which calls are drawn ---

// choose chooses how often calls of a row are drawn from now on, by how often they have been lately.
static __attribute__((noinline)) int choose(struct pace *pace, struct tally *all, u64 now)
{
	if (!pace || !all)
		return 0;
	const u32 step = 4, most = 1 << 24;
	u64 every = pace->every ?: 1, calls = all->calls;
	u64 next = every * pace->draws * stack_gap / ((now - pace->since) | 1);

	if (next > every * step)
		next = every * step;
	if (next < every / step)
		next = every / step;
	if (next > most)
		next = most;
	pace->every = next ?: 1;
	pace->typical = calls ? (all->sum / calls) & ((1ULL << 38) - 1) : 0;
	pace->since = now;
	pace->draws = 0;
	return 0;
}

// is_drawn draws. A call is drawn more often the longer it took: of these there are few, and much time is theirs.
INLINE u32 is_drawn(struct slot *slot, struct pace *pace, u64 ns, u32 *every, u32 *of)
{
	u64 typical = pace->typical;

	*every = pace->every ?: 1;
	*of = 1;
	if (*every > 1) {
		slot->random = slot->random * 6364136223846793005ULL + 1442695040888963407ULL;
		u64 place = (slot->random >> 32) * *every >> 32;
		if (place && (!typical || place * typical >= typical + ns))
			return 0;
		if (typical) {
			u64 more = (typical + ns + typical - 1) / typical;
			*of = more < *every ? more : *every;
		}
	}
	return 1;
}

INLINE u64 runtime_of(struct task_struct___stacks *task) { return (task->se.sum_exec_runtime >> 10) & 0xffffffff; }

#define AT_ENTRY 0x8000 // it was drawn at its entry
#define OF_ENTRY 0x7fff // and stands for so many

// note_entry takes note of what a call that may be drawn will be compared with, and copies the stack that it leaves.
INLINE void note_entry(struct slot *slot, struct task_struct *of, u32 launching)
{
	if (!drawing)
		return;
	struct task_struct___stacks *task = (void *)of;
	u32 i = slot->call;
	u64 drawn = 0;

	if (launching) {
		drawn = AT_ENTRY | 1; // from nowhere: the stack would be that of who launches
	} else if (i < CALLS && read_at_entry[i / 64] >> (i % 64) & 1) {
		struct call *call = map_lookup(&calls, &i);
		u32 row = call ? call->row : 0, every = 1, one;
		struct pace *pace = map_lookup(&paces, &row);
		struct drawn *d = record(0);

		if (!row || !pace || is_drawn(slot, pace, 0, &every, &one)) {
			if (d && send_copy(d, slot, COPIED))
				drawn = AT_ENTRY | (every < OF_ENTRY ? every : OF_ENTRY);
			else if (pace) // it is lost: what follows would have the names that an execve gives
				pace->draws++;
		}
	}
	slot->at_entry = runtime_of(task) | (task->nvcsw & 0xffff) << 32 | drawn << 48;
}

// tell sends a call that has returned.
static __attribute__((noinline)) int tell(struct slot *slot, u64 ns, u64 weight_errno, u64 of_every, u32 at_entry)
{
	struct task_struct *task = current_task();
	struct drawn *d = record(0);

	if (!d || !slot)
		return 0;
	d->ns = ns;
	d->errno = (u32)weight_errno;
	d->weight = weight_errno >> 32;
	d->every = (u32)of_every;
	d->of = of_every >> 32;
	d->runtime = runtime_of((void *)task) - (u32)slot->at_entry;
	d->switches = (((struct task_struct___stacks *)task)->nvcsw - (slot->at_entry >> 32)) & 0xffff;
	if (!at_entry) {
		send_copy(d, slot, RETURNED);
		return 0;
	}
	d->kind = FOLLOWS;
	d->stack = d->beyond = 0;
	d->thread = slot->regs;
	d->nr = slot->nr;
	d->abi = slot->abi;
	identify_thread(d, task);
	send(d, HEAD);
	return 0;
}

// draw draws a call that has returned, of that row, all of whose calls are so many.
INLINE void draw(struct slot *slot, u32 i, struct tally *all, u64 ns, u32 errno, u32 weight)
{
	if (!drawing || !began)
		return;
	const u32 enough = 8;
	u64 now = slot->entered + ns, drawn = slot->at_entry >> 48;
	u32 every, of, call = slot->call;
	struct pace *pace = map_lookup(&paces, &i);

	if (!pace)
		return;
	if (now - pace->since > 2 * enough * stack_gap)
		choose(pace, all, now);
	if (call < CALLS && read_at_entry[call / 64] >> (call % 64) & 1) {
		if (!(drawn & AT_ENTRY))
			return;
		every = drawn & OF_ENTRY;
		of = 1;
	} else {
		drawn = 0;
		if (!is_drawn(slot, pace, ns, &every, &of))
			return;
	}
	tell(slot, ns, (u64)weight << 32 | errno, (u64)of << 32 | every, drawn != 0);
	if (++pace->draws >= enough)
		choose(pace, all, now);
}

// draw_killed copies the stack of a call that will be in flight.
INLINE void draw_killed(struct slot *slot)
{
	struct drawn *d = drawing ? record(0) : 0;

	if (d)
		send_copy(d, slot, COPIED);
}

// draw_flight tells of a call in flight. Its stack has been copied, or user space looks at it.
INLINE void draw_flight(struct task_struct *task, struct slot *slot, struct flight_key *key, u64 ns)
{
	struct drawn *d = drawing ? record(1) : 0;

	if (!d || key->why == EXITED)
		return;
	d->kind = FLYING;
	d->thread = slot->regs;
	d->nr = key->nr;
	d->abi = key->abi;
	d->why = key->why;
	d->unseen = key->unseen;
	d->ns = ns;
	d->stack = d->beyond = 0;
	identify_thread(d, task);
	read_registers(d, task);
	send(d, HEAD);
}

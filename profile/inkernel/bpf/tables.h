// The tables of the programs in counting.bpf.c, and what user space sets and reads.
#pragma once
#include "kernel.h"

// --- What user space sets before these programs are loaded ---

#define ABIS 3
#define NATIVE 0
#define COMPAT 1
#define X32 2

volatile const u64 nr_execve = ~0ULL, nr_exit = ~0ULL, nr_exit_group = ~0ULL; // native
volatile const u64 nr_restart[ABIS] = {~0ULL, ~0ULL, ~0ULL};
volatile const u64 nr_exit_compat = ~0ULL, nr_exit_group_compat = ~0ULL;
volatile const u32 unknown_counted[ABIS] = {1, 1, 1}; // calls that are in no table
volatile const u64 slower_ns = 0;                      // calls that take so long are told of (slow.h); 0: none
volatile const u32 slot_mask = 0xffff;                // fewer where there are few threads, and in tests
volatile const u32 most_rows = 256;                   // fewer where there are many CPUs

// --- Maps ---

#define SLOTS 65536
#define SPILLED 4096

enum state {
	UNSEEN, // the slot has been taken since the thread's last entry: what returns next was not seen to begin
	OUTSIDE,
	COUNTED, // in a call that is counted
	PASSED,  // in one that is not
	LAUNCHING, // not to be counted before its execve
	BORN,      // returns from the call of its parent that has made it
};

struct slot {
	u64 regs;    // whose it is; 0: nobody's
	u64 entered; // when, if the call is timed; else 0
	s64 nr;      // of the call that the thread is in
	u64 random;
	u32 call;    // its index in calls
	u8 state;
	u8 abi;
	u16 resumes; // the number of the call that a restart_syscall of its goes on with, and 1; 0: not known
	u16 weight;  // how many calls a timed one stands for
	u16 owed;    // the index of the call that is to be timed the next time, and 1; 0: none. See groups.h
	u32 spilled; // how many threads are in spill that would have this slot
	u32 group;   // whose it is, found out when told was as it is here; see groups.h
	u32 told;
	u64 at_entry; // see stacks.h
};

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(map_flags, BPF_F_MMAPABLE); // page-aligned, so that each slot is a cache line
	UINT(max_entries, SLOTS);
	TYPE(key, u32);
	TYPE(value, struct slot);
} slots SEC(".maps");

// Threads whose slot is another's.
struct {
	UINT(type, BPF_MAP_TYPE_HASH);
	UINT(max_entries, SPILLED);
	TYPE(key, u64);
	TYPE(value, struct slot);
} spill SEC(".maps");

// What is known of a call beforehand, by ABI and number, subcalls of ipc and socketcall behind the others.
#define NUMBERS 576
#define NONE (~0U) // the index of calls with other numbers

struct call {
	u32 every;   // one of so many is timed; 0: it is not counted
	u32 row;     // of those that succeed; 0: none yet
	u32 errno;   // one that it has failed with
	u32 failed;  // the row of those; 0: none yet
};

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(map_flags, BPF_F_MMAPABLE); // user space changes every while programs change the rest
	UINT(max_entries, ABIS * NUMBERS);
	TYPE(key, u32);
	TYPE(value, struct call);
} calls SEC(".maps");

// Latencies below 2^40 ns have buckets as those of profile.Histogram, with 32 of them an octave. Above, an octave has one.
#define SUB_BITS 5
#define SUB (1 << SUB_BITS)
#define FINE ((40 - SUB_BITS) * SUB + SUB)
#define BUCKETS (FINE + 23)

struct tally {
	u64 calls;
	u64 sum; // of the latencies of those that were timed, times their weights
};

struct row {
	struct tally of;
	u64 max;
	u64 below; // ~0 − the shortest, so that it can begin with 0
	u32 bucket[BUCKETS];
	u32 pad;
};

#define ROWS 256 // unless there are fewer: most_rows
#define ODD_ROWS 32 // of these, the most for calls with other numbers, which a program can make up

struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, ROWS);
	TYPE(key, u32);
	TYPE(value, struct row);
} rows SEC(".maps");

// Which calls a row is of. Row 0 is of those for which there was no row left.
struct row_key {
	s64 nr; // as syscalltab has it
	u32 errno;
	u32 abi;
};

struct {
	UINT(type, BPF_MAP_TYPE_HASH);
	UINT(max_entries, ROWS);
	TYPE(key, struct row_key);
	TYPE(value, u32);
} row_of SEC(".maps");

// What a process was named as.
enum mark { TARGET = 1, OURS = 2, COMMAND = 4 };

struct {
	UINT(type, BPF_MAP_TYPE_TASK_STORAGE);
	UINT(map_flags, BPF_F_NO_PREALLOC);
	TYPE(key, int);
	TYPE(value, u32);
} marks SEC(".maps");

// A place to make a number of a pointer, which is not allowed in a register.
struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} scratch SEC(".maps");

// --- What user space reads and sets while these programs run ---

u32 over = 0;         // the counting is
u32 everybody = 0;    // is counted, but for ourselves
u64 began = 0;        // when, by ktime
u32 looking = 0;      // the iterator is looking for members: the parent of a new thread may not have been found yet
u32 taking_leave = 0; // what the iterator does: notes calls in flight, not members

u64 members = 0, processes = 0, seen = 0; // threads now, of these first ones, threads so far
u64 rows_used = 1, odd_rows_used = 0;
u64 no_slot = 0;   // threads for which there was none
u64 no_row = 0;    // calls for which there was none
u64 no_flight = 0; // calls in flight for which there was no room
u32 own_pid = 0;   // ours, as the kernel counts processes
u64 signalled[65]; // when a signal was last sent to the command, by others than us

// What these programs use of the kernel, in place of a vmlinux.h of 3 MB. preserve_access_index has the loader put the
// offsets of the running kernel in (CO-RE): only names and types have to be right here.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_NOEXIST = 1,
	STORAGE_CREATE = 1, // BPF_LOCAL_STORAGE_GET_F_CREATE
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
};

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

// A map is declared as a struct of pointers, whose types say what it is.
#define UINT(name, value) int(*name)[value]
#define TYPE(name, type) typeof(type) *name

struct task_struct;
struct pt_regs;

// The kernel's helpers by their numbers (include/uapi/linux/bpf.h, ___BPF_FUNC_MAPPER).
static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime_ns)(void) = (void *)5;
static u32 (*this_cpu)(void) = (void *)8;
static struct task_struct *(*current_task)(void) = (void *)158;
static void *(*task_storage)(void *map, struct task_struct *task, void *value, u64 flags) = (void *)156;
static struct pt_regs *(*task_regs)(struct task_struct *task) = (void *)175;

#define OF_KERNEL __attribute__((preserve_access_index))
#define FIELD_EXISTS(field) __builtin_preserve_field_info(field, 2)

struct thread_info {
	unsigned long flags; // arm64: TIF_32BIT
	u32 status;          // x86: TS_COMPAT
} OF_KERNEL;

struct signal_struct {
	struct task_struct *group_exec_task; // since 5.17
	struct task_struct *group_exit_task; // until then
} OF_KERNEL;

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
} OF_KERNEL;

struct kernfs_node {
	u64 id;
} OF_KERNEL;

struct cgroup {
	struct kernfs_node *kn;
} OF_KERNEL;

struct css_set {
	struct cgroup *dfl_cgrp;
} OF_KERNEL;

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	int pid, tgid;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct sigpending pending;
	struct css_set *cgroups;
	char comm[16];
} OF_KERNEL;

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long orig_ax, bx, cx;
#elif defined(__TARGET_ARCH_arm64)
	s32 syscallno;
#elif defined(__TARGET_ARCH_riscv)
	unsigned long a7;
#endif
} OF_KERNEL;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
} OF_KERNEL;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} OF_KERNEL;

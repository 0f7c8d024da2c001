package main

// Everything in which the tables differ from x/sys is said here, with the reason. Entries that no
// longer change anything make the generator fail, so that the list stays true.

// A table is one generated file.
type table struct {
	file  string // without the z and _syscalls.go around it
	vr    string // variable
	goos  string // x/sys file: zsysnum_linux_<goos>.go
	doc   string
	drop  map[string]string // constant → why it is no call
	names map[string]string // constant → strace's name, where lower case is not enough
	add   []entry           // calls that x/sys lacks and strace has
	x32   bool              // made from the amd64 table by toX32
}

type entry struct {
	index int
	name  string
}

// marker: asm-generic/unistd.h defines where the architecture's own calls begin; mksysnum takes it for one.
const marker = "first number of the architecture's own calls, not a call"

var amd64 = table{file: "amd64", vr: "amd64Names", goos: "amd64", doc: "x86-64"}

var all = []table{
	amd64,
	{file: "386", vr: "i386Names", goos: "386", doc: "i386, the subcalls of socketcall and ipc from 500 on", add: i386Subcalls},
	{file: "x32", vr: "x32Names", goos: "amd64", doc: "x32, less bit 30", x32: true},
	{
		file: "arm64", vr: "arm64Names", goos: "arm64", doc: "arm64",
		drop: map[string]string{"SYS_ARCH_SPECIFIC_SYSCALL": marker},
	},
	{
		file: "arm", vr: "armNames", goos: "arm", doc: "32-bit arm, its private calls from 512 on",
		drop: map[string]string{"SYS_SYSCALL_MASK": "mask for OABI numbers, not a call"},
		names: map[string]string{
			// The kernel's names for arm's orders of arguments; strace has the generic ones.
			"SYS_ARM_FADVISE64_64":    "fadvise64_64",
			"SYS_ARM_SYNC_FILE_RANGE": "sync_file_range2",
		},
		add: armOnly,
	},
	{
		file: "riscv64", vr: "riscv64Names", goos: "riscv64", doc: "riscv64",
		drop: map[string]string{"SYS_ARCH_SPECIFIC_SYSCALL": marker},
		add:  []entry{{38, "renameat"}}, // not built for riscv64; strace has one table for the 64-bit newcomers
	},
	{
		file: "loong64", vr: "loong64Names", goos: "loong64", doc: "loongarch64",
		drop: map[string]string{"SYS_ARCH_SPECIFIC_SYSCALL": marker},
		// Not built for loongarch64; as above.
		add: []entry{{38, "renameat"}, {163, "getrlimit"}, {164, "setrlimit"}},
	},
}

// i386Subcalls are those of <linux/net.h> (SYS_SOCKET, …) and <linux/ipc.h> (SEMOP, …) by their numbers there.
var i386Subcalls = subcalls()

func subcalls() (entries []entry) {
	for i, name := range []string{
		"socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
		"sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
		"sendmmsg",
	} {
		entries = append(entries, entry{subcallIndex + 1 + i, name})
	}
	for first, names := range map[int][]string{
		1:  {"semop", "semget", "semctl", "semtimedop"},
		11: {"msgsnd", "msgrcv", "msgget", "msgctl"},
		21: {"shmat", "shmdt", "shmget", "shmctl"},
	} {
		for i, name := range names {
			entries = append(entries, entry{ipcSubcallIndex + first + i, name})
		}
	}
	return entries
}

// subcallIndex and ipcSubcallIndex are also in subcalls.go.
const (
	subcallIndex    = 500
	ipcSubcallIndex = 521
)

// armOnly: x/sys reads the EABI headers. These are the calls of the old ABI, which strace names also
// for EABI programs (arch/arm/tools/syscall.tbl, "oabi", and the numbers of i386 that arm never had),
// memfd_secret, which arm does not build, and the private calls, whose names are not SYS_.
var armOnly = []entry{
	{7, "waitpid"},
	{13, "time"},
	{17, "break"},
	{18, "oldstat"},
	{22, "umount"},
	{25, "stime"},
	{27, "alarm"},
	{28, "oldfstat"},
	{30, "utime"},
	{31, "stty"},
	{32, "gtty"},
	{35, "ftime"},
	{44, "prof"},
	{48, "signal"},
	{53, "lock"},
	{56, "mpx"},
	{58, "ulimit"},
	{59, "oldolduname"},
	{68, "sgetmask"},
	{69, "ssetmask"},
	{76, "getrlimit"},
	{82, "select"},
	{84, "oldlstat"},
	{89, "readdir"},
	{90, "mmap"},
	{98, "profil"},
	{101, "ioperm"},
	{102, "socketcall"},
	{109, "olduname"},
	{110, "iopl"},
	{112, "idle"},
	{113, "syscall"},
	{117, "ipc"},
	{123, "modify_ldt"},
	{127, "create_module"},
	{130, "get_kernel_syms"},
	{137, "afs_syscall"},
	{166, "vm86"},
	{167, "query_module"},
	{188, "getpmsg"},
	{189, "putpmsg"},
	{447, "memfd_secret"},

	{armPrivateIndex + 1, "breakpoint"},
	{armPrivateIndex + 2, "cacheflush"},
	{armPrivateIndex + 3, "usr26"},
	{armPrivateIndex + 4, "usr32"},
	{armPrivateIndex + 5, "set_tls"},
	{armPrivateIndex + 6, "get_tls"},
	{armPrivateIndex + 7, "cmpxchg"}, // 0xffff0; see names.go
}

// armPrivateIndex is also in names.go.
const armPrivateIndex = 512

// x32Gone are the numbers of amd64 that x32 does not have at all: they were given out after 2018,
// when x32 had stopped to follow.
var x32Gone = []int{335, 336}

// x32Not are the numbers of amd64 that the kernel's syscall_64.tbl gives to 64-bit programs alone
// (column abi = 64). strace marks their names with #64 when they are called through x32.
var x32Not = []int{
	13, 15, 16, 19, 20, 45, 46, 47, 54, 55, 59, 101, 127, 128, 129, 131, 134, 156, 174, 177, 178, 180,
	205, 206, 209, 211, 214, 215, 222, 236, 244, 246, 247, 273, 274, 278, 279, 295, 296, 297, 299, 307,
	310, 311, 322, 327, 328,
}

// x32Base is where x32's own calls begin in syscall_64.tbl (column abi = x32), in this order.
const x32Base = 512

var x32Own = []string{
	"rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg",
	"execve", "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack",
	"timer_create", "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list",
	"vmsplice", "move_pages", "preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg",
	"process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt", "io_setup", "io_submit",
	"execveat", "preadv2", "pwritev2",
}

package syscalltab

import (
	"strings"
	"sync"
)

// class is a named group of calls.
type class struct {
	name    string
	legacy  bool   // strace still takes the name without the %
	members string // call names, separated by white space
}

// classes are strace 7.2's, member by member: what the flags in its src/linux/*/syscallent.h come to
// over all ABIs known here (TD, TF, TM, TP, TC, TS, TI, TN, TST, TLST, TFST, TSTA, TSF, TFSF, TSFA,
// PU, TCL of src/sysent_shorthand_defs.h). A call's flags are the same in every ABI, so the name
// decides. Oddities are strace's: mq_notify is of %desc, mq_notify#64 is not.
var classes = [...]class{
	{"%desc", true, `
		_llseek _newselect bpf cachestat close copy_file_range creat dup dup2 dup3 epoll_create
		epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execveat execveat#64
		faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_init fanotify_mark fchdir fchmod
		fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr
		file_setattr finit_module flistxattr flock fremovexattr fsconfig fsetxattr fsmount fsopen fspick
		fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getdents getdents64
		getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_uring_enter
		io_uring_register io_uring_setup ioctl ioctl#64 kexec_file_load landlock_add_rule
		landlock_create_ruleset landlock_restrict_self linkat listxattrat lseek memfd_create memfd_secret
		mkdirat mknodat mmap mmap2 mount_setattr move_mount mq_getsetattr mq_notify mq_open mq_timedreceive
		mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 name_to_handle_at newfstatat oldfstat open
		open_by_handle_at open_tree open_tree_attr openat openat2 perf_event_open pidfd_getfd pidfd_open
		pidfd_send_signal pipe pipe2 poll ppoll ppoll_time64 pread64 preadv preadv#64 preadv2 preadv2#64
		process_madvise process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev#64 pwritev2
		pwritev2#64 quotactl_fd read readahead readdir readlinkat readv readv#64 removexattrat renameat
		renameat2 select sendfile sendfile64 setns setxattrat signalfd signalfd4 socketcall splice statx
		symlinkat sync_file_range sync_file_range2 syncfs tee timerfd_create timerfd_gettime
		timerfd_gettime64 timerfd_settime timerfd_settime64 unlinkat userfaultfd utimensat utimensat_time64
		vmsplice vmsplice#64 write writev writev#64
	`},
	{"%file", true, `
		access acct chdir chmod chown chown32 chroot creat execve execve#64 execveat execveat#64 faccessat
		faccessat2 fanotify_mark fchmodat fchmodat2 fchownat file_getattr file_setattr fsconfig fspick
		fstatat64 futimesat getcwd getxattr getxattrat inotify_add_watch lchown lchown32 lgetxattr link
		linkat listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod
		mknodat mount mount_setattr move_mount name_to_handle_at newfstatat oldlstat oldstat open open_tree
		open_tree_attr openat openat2 pivot_root quotactl readlink readlinkat removexattr removexattrat
		rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statx swapoff swapon
		symlink symlinkat truncate truncate64 umount umount2 unlink unlinkat uselib uselib#64 utime
		utimensat utimensat_time64 utimes
	`},
	{"%memory", true, `
		break brk cacheflush get_mempolicy io_destroy io_setup io_setup#64 io_uring_register madvise
		map_shadow_stack mbind migrate_pages mincore mlock mlock2 mlockall mmap mmap2 move_pages
		move_pages#64 mprotect mremap mseal msync munlock munlockall munmap pkey_mprotect remap_file_pages
		riscv_flush_icache set_mempolicy set_mempolicy_home_node shmat shmdt
	`},
	{"%process", true, `
		clone clone3 execve execve#64 execveat execveat#64 exit exit_group fork kill pidfd_send_signal
		rt_sigqueueinfo rt_sigqueueinfo#64 rt_tgsigqueueinfo rt_tgsigqueueinfo#64 tgkill tkill vfork wait4
		waitid waitid#64 waitpid
	`},
	{"%creds", false, `
		capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
		getresgid32 getresuid getresuid32 getuid getuid32 prctl setfsgid setfsgid32 setfsuid setfsuid32
		setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
		setresuid32 setreuid setreuid32 setuid setuid32
	`},
	{"%signal", true, `
		io_uring_enter kill pause pidfd_send_signal rt_sigaction rt_sigaction#64 rt_sigpending
		rt_sigpending#64 rt_sigprocmask rt_sigqueueinfo rt_sigqueueinfo#64 rt_sigreturn rt_sigreturn#64
		rt_sigsuspend rt_sigtimedwait rt_sigtimedwait#64 rt_sigtimedwait_time64 rt_tgsigqueueinfo
		rt_tgsigqueueinfo#64 sgetmask sigaction sigaltstack sigaltstack#64 signal signalfd signalfd4
		sigpending sigprocmask sigreturn sigsuspend ssetmask tgkill tkill
	`},
	{"%ipc", true, `
		ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt
		shmget
	`},
	{"%network", true, `
		accept accept4 bind connect getpeername getpmsg getsockname getsockopt getsockopt#64 listen putpmsg
		recv recvfrom recvfrom#64 recvmmsg recvmmsg#64 recvmmsg_time64 recvmsg recvmsg#64 send sendfile
		sendfile64 sendmmsg sendmmsg#64 sendmsg sendmsg#64 sendto setsockopt setsockopt#64 shutdown socket
		socketpair
	`},
	{"%stat", false, `
		oldstat stat stat64
	`},
	{"%lstat", false, `
		lstat lstat64 oldlstat
	`},
	{"%fstat", false, `
		fstat fstat64 fstatat64 newfstatat oldfstat statx
	`},
	{"%%stat", false, `
		fstat fstat64 fstatat64 lstat lstat64 newfstatat oldfstat oldlstat oldstat stat stat64 statx
	`},
	{"%statfs", false, `
		statfs statfs64
	`},
	{"%fstatfs", false, `
		fstatfs fstatfs64
	`},
	{"%%statfs", false, `
		fstatfs fstatfs64 statfs statfs64 ustat
	`},
	{"%pure", false, `
		get_tls getegid getegid32 geteuid geteuid32 getgid getgid32 getpgrp getpid getppid gettid getuid
		getuid32
	`},
	{"%clock", false, `
		adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
		clock_gettime64 clock_settime clock_settime64 gettimeofday settimeofday time
	`},
}

// classBits has every call's classes: bit i for classes[i].
var classBits = sync.OnceValue(func() map[string]uint32 {
	m := make(map[string]uint32, 500)
	for i, c := range classes {
		for name := range strings.FieldsSeq(c.members) {
			m[name] |= 1 << i
		}
	}
	return m
})

// Classes lists the names of the classes, as in a set expression ("%file", …, "%%stat", …).
func Classes() []string {
	names := make([]string, len(classes))
	for i, c := range classes {
		names[i] = c.name
	}
	return names
}

// InClass says whether a call belongs to a class. The class is named as in a set expression: with %,
// without where strace takes that ("file"), "%net" for "%network", and "all", which has every known
// call. Nothing belongs to an unknown class, and an unknown number belongs to none. Per traced call, make
// a Set once and ask that.
func (a ABI) InClass(nr uint64, class string) bool {
	mask, ok := classMask(class)
	i, known := a.index(nr)
	return ok && known && inClasses(tables[a][i], mask)
}

// classMask finds a class; the mask of "all" is 0.
func classMask(name string) (mask uint32, ok bool) {
	switch name {
	case "all":
		return 0, true
	case "%net":
		name = "%network"
	}
	for i, c := range classes {
		if name == c.name || c.legacy && name == c.name[1:] {
			return 1 << i, true
		}
	}
	return 0, false
}

// inClasses says whether the named call is in all classes of the mask.
func inClasses(name string, mask uint32) bool {
	return classBits()[name]&mask == mask
}

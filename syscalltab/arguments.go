package syscalltab

import (
	"strings"
	"sync"
)

// MaxArguments is how many arguments a call has at most.
const MaxArguments = 6

// Arguments is how many arguments a call takes. Of calls of which that is not known it is the most that there can be.
func (a ABI) Arguments(nr uint64) int {
	if a.Bits() != 64 { // its calls of the same names pass numbers of 64 bits as two
		return MaxArguments
	}
	if n := argumentCounts().Of(a, nr); n != 0 {
		return int(n) - 1
	}
	return MaxArguments
}

// PathArgument is an argument that is a path, and the one that has the directory which it begins at, FromHere for the thread's own.
type PathArgument struct{ Directory, Path int8 }

// FromHere says that a path begins where the thread is.
const FromHere = -1

// Paths lists the arguments of a call that are paths.
func (a ABI) Paths(nr uint64) []PathArgument { return pathArguments().Of(a, nr) }

// PathArguments says which arguments of a call are paths: bit i is for argument i.
func (a ABI) PathArguments(nr uint64) (mask uint8) {
	for _, p := range a.Paths(nr) {
		mask |= 1 << p.Path
	}
	return mask
}

var argumentCounts = sync.OnceValue(func() *PerCall[uint8] {
	counts := make(map[string]uint8)
	for n, names := range callsByArguments {
		for name := range strings.FieldsSeq(names) {
			counts[name] = uint8(n) + 1 // 0 is for those that are not known
		}
	}
	return NewPerCall(counts)
})

var pathArguments = sync.OnceValue(func() *PerCall[[]PathArgument] {
	byName := make(map[string][]PathArgument)
	for _, some := range callsByPaths {
		for name := range strings.FieldsSeq(some.calls) {
			byName[name] = some.paths
		}
	}
	return NewPerCall(byName)
})

// callsByArguments are the calls of 64-bit architectures by how many arguments they take, as the kernel's trace events say
// (/sys/kernel/tracing/events/syscalls; Linux 6.18), and those that its configuration left out.
var callsByArguments = [...]string{
	`fork getegid geteuid getgid getpgrp getpid getppid gettid getuid inotify_init munlockall pause restart_syscall
		rt_sigreturn sched_yield setsid sync uprobe uretprobe vfork vhangup`,
	`acct adjtimex alarm brk chdir chroot close dup epoll_create epoll_create1 eventfd exit exit_group fchdir
		fdatasync fsync get_thread_area getpgid getsid inotify_init1 io_destroy iopl memfd_secret mlockall mq_unlink
		personality pipe pkey_free rmdir sched_get_priority_max sched_get_priority_min sched_getscheduler
		set_thread_area set_tid_address setfsgid setfsuid setgid setuid shmdt swapoff syncfs sysinfo time timer_delete
		timer_getoverrun times umask uname unlink unshare uselib userfaultfd`,
	`access arch_prctl capget capset chmod clock_adjtime clock_getres clock_gettime clock_settime clone3 creat
		delete_module dup2 eventfd2 fanotify_init fchmod flock fremovexattr fsopen fstat fstatfs ftruncate getcwd
		getgroups getitimer getpriority getrlimit getrusage gettimeofday inotify_rm_watch io_setup io_uring_setup
		ioprio_get kill landlock_restrict_self link listen lremovexattr lstat memfd_create mkdir mlock mq_notify
		msgget munlock munmap nanosleep pidfd_open pipe2 pivot_root pkey_alloc process_mrelease removexattr rename
		rt_sigpending rt_sigsuspend sched_getparam sched_rr_get_interval sched_setparam set_robust_list setdomainname
		setgroups sethostname setns setpgid setregid setreuid setrlimit settimeofday shutdown sigaltstack stat statfs
		swapon symlink timer_gettime timerfd_create timerfd_gettime tkill truncate umount2 ustat utime utimes`,
	`accept bind bpf chown close_range connect dup3 execve faccessat fchmodat fchown fcntl finit_module flistxattr
		fsmount fspick futimesat get_robust_list getcpu getdents getdents64 getpeername getrandom getresgid getresuid
		getsockname init_module inotify_add_watch io_cancel io_submit ioctl ioperm ioprio_set landlock_create_ruleset
		lchown listxattr llistxattr lookup_dcookie lseek lsm_list_modules madvise map_shadow_stack membarrier mincore
		mkdirat mknod mlock2 modify_ldt mprotect mq_getsetattr mseal msgctl msync open open_by_handle_at open_tree
		pidfd_getfd poll read readahead readlink readv recvmsg riscv_flush_icache rt_sigqueueinfo sched_getaffinity
		sched_setaffinity sched_setattr sched_setscheduler seccomp semget semop sendmsg set_mempolicy setitimer
		setpriority setresgid setresuid shmat shmctl shmget signalfd socket symlinkat sysfs syslog tgkill timer_create
		unlinkat write writev`,
	`accept4 cachestat clock_nanosleep epoll_ctl epoll_wait faccessat2 fadvise64 fallocate fchmodat2 fgetxattr
		futex_requeue futex_wake getxattr io_uring_register kexec_load landlock_add_rule lgetxattr listmount
		lsm_get_self_attr lsm_set_self_attr migrate_pages mknodat mq_open msgsnd newfstatat openat openat2
		pidfd_send_signal pkey_mprotect pread64 prlimit64 ptrace pwrite64 quotactl quotactl_fd readlinkat reboot
		removexattrat renameat request_key rseq rt_sigaction rt_sigprocmask rt_sigtimedwait rt_tgsigqueueinfo
		sched_getattr semctl semtimedop sendfile sendmmsg set_mempolicy_home_node signalfd4 socketpair statmount
		sync_file_range tee timer_settime timerfd_settime utimensat vmsplice wait4`,
	`add_key clone execveat fanotify_mark fchownat file_getattr file_setattr fsconfig fsetxattr futex_waitv
		get_mempolicy getsockopt io_getevents kcmp kexec_file_load keyctl linkat listxattrat lsetxattr mount
		mount_setattr move_mount mq_timedreceive mq_timedsend mremap msgrcv name_to_handle_at open_tree_attr
		perf_event_open ppoll prctl preadv process_madvise pwritev recvmmsg remap_file_pages renameat2 riscv_hwprobe
		select setsockopt setxattr statx waitid`,
	`copy_file_range epoll_pwait epoll_pwait2 futex futex_wait getxattrat io_pgetevents io_uring_enter mbind mmap
		move_pages preadv2 process_vm_readv process_vm_writev pselect6 pwritev2 recvfrom sendto setxattrat splice`,
}

// callsByPaths are the calls that take paths, in all ABIs, by which arguments these are.
var callsByPaths = []struct {
	paths []PathArgument
	calls string
}{
	{[]PathArgument{{FromHere, 0}}, `access acct chdir chmod chown chown32 chroot creat execve execve#64 getxattr lchown lchown32 lgetxattr
		listxattr llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mknod oldlstat oldstat open readlink removexattr rmdir setxattr
		stat stat64 statfs statfs64 swapoff swapon truncate truncate64 umount umount2 unlink uselib utime utimes`},
	{[]PathArgument{{0, 1}}, `execveat execveat#64 faccessat faccessat2 fchmodat fchmodat2 fchownat file_getattr file_setattr fspick
		fstatat64 futimesat getxattrat listxattrat mkdirat mknodat mount_setattr name_to_handle_at newfstatat open_tree open_tree_attr
		openat openat2 readlinkat removexattrat setxattrat statx unlinkat utimensat utimensat_time64`},
	{[]PathArgument{{FromHere, 1}}, `inotify_add_watch quotactl`},
	{[]PathArgument{{FromHere, 0}, {FromHere, 1}}, `link mount pivot_root rename symlink`},
	{[]PathArgument{{0, 1}, {2, 3}}, `linkat move_mount renameat renameat2`},
	{[]PathArgument{{FromHere, 0}, {1, 2}}, `symlinkat`},
	{[]PathArgument{{3, 4}}, `fanotify_mark`},
}

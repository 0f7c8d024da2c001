package main_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// everyCall makes every system call there is, and a filter in the kernel sees to it that none of them does
// anything: a tracer sees them all the same, as calls that fail. Left out are ptrace, which sysprof gives
// way to, the calls of uprobes, which no filter stops, and what strace 6.1 dies of: numbers in the gaps of
// its tables, or behind them.
const everyCall = `
#include <stddef.h>
#include <unistd.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
static int skipped(int nr) {
	if (nr == SYS_ptrace) return 1;
#ifdef __x86_64__
	return nr >= 335 && nr < 424;
#else
	return nr == 222 || nr == 223 || nr == 251 || nr == 285 || nr >= 387 && nr <= 392 || nr == 415;
#endif
}
int main(void) {
	enum { code = 7 };
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, code, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
	for (int nr = 0; nr < 451; nr++)
		if (!skipped(nr)) syscall(nr, 0, 0, 0, 0, 0, 0);
	syscall(SYS_exit_group, code);
}
`

// TestCompareClasses demands that every class of -e trace= has the members that it has in strace, of those
// calls that this strace knows.
func TestCompareClasses(t *testing.T) {
	for _, mode := range []string{"-m64", "-m32"} {
		t.Run(mode, func(t *testing.T) {
			strace, gcc := needs.Program(t, "strace", "strace"), needs.C(t)
			if mode == "-m32" {
				gcc = needs.C32(t)
			}
			dir := t.TempDir()
			drive.WriteFile(t, dir+"/every.c", everyCall)
			compile := exec.Command(gcc, mode, "-O1", "-static", "-o", "every", "every.c")
			compile.Dir = dir
			drive.Succeed(t, compile)
			count := func(class, tracer string, flags ...string) drive.Counts {
				t.Helper()
				table := filepath.Join(dir, "table")
				args := slices.Concat(flags, drive.CountColumns, []string{"-f", "-o", table, "-e", "trace=" + class, dir + "/every"})
				drive.Run(t, exec.Command(tracer, args...)).Exited(t, 7)
				return drive.ParseCounts(t, drive.Read(table))
			}
			known := count("all", strace)
			if len(known) < 300 {
				t.Fatalf("strace knows only %d calls", len(known))
			}
			for _, class := range append(syscalltab.Classes(), "file", "desc", "process", "network", "signal", "ipc", "memory") {
				want, got := count(class, strace), count(class, drive.Program(t), "-q")
				if len(want) == 0 {
					t.Errorf("%s: strace counts no call", class)
				}
				for _, name := range got.Differing(want) {
					if _, ok := known[name]; ok {
						t.Errorf("%s: %s: sysprof counted %v; strace %v", class, name, got[name], want[name])
					}
				}
			}
		})
	}
}

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// TestStacksWithoutProc: where /proc shows other processes, or none, a profile has no stacks, and one line says so.
func TestStacksWithoutProc(t *testing.T) {
	needs.SysAdmin(t)
	for name, c := range map[string]struct {
		before []string
		why    string
	}{
		"of another namespace": {[]string{needs.Program(t, "unshare", "util-linux"), "--pid", "--fork"}, "another PID namespace"},
		"covered": {[]string{needs.Program(t, "unshare", "util-linux"), "--mount", "sh", "-c", `mount -t tmpfs none /proc && exec "$@"`, "sh"},
			"no such file or directory"},
	} {
		for _, quiet := range []bool{false, true} {
			file := filepath.Join(t.TempDir(), "profile.pb.gz")
			args := append(c.before[1:], drive.Program(t), "-c", "--pprof", file, "-e", "trace=getppid")
			if quiet {
				args = append(args, "-q")
			}
			cmd := exec.Command(c.before[0], append(args, "sh", "-c", "echo $PPID")...)
			var said strings.Builder
			cmd.Stderr = &said
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, said.String())
			}
			if n := strings.Count(said.String(), "1 calls are in the profile without stacks"); n != 1 || !strings.Contains(said.String(), c.why) {
				t.Errorf("%s, quiet %v: %d lines say that there are no stacks:\n%s", name, quiet, n, said.String())
			}
			p := drive.ParseProfile(t, file)
			if stacks := stacksOf(p, "sys_getppid"); len(stacks) != 1 || len(stacks[0]) != 0 {
				t.Errorf("%s: stacks\n%s", name, list(stacks))
			}
		}
	}
}

// madeC calls code that it has made itself, and which it names in a perf map.
const madeC = `
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static __attribute__((noinline, noclone)) void caller(void (*f)(void)) { f(); f(); }
int main(void) {
	static const unsigned char code[] = {
		0x55, 0x48, 0x89, 0xe5,             /* push %rbp; mov %rsp, %rbp */
		0xb8, 110, 0, 0, 0, 0x0f, 0x05,     /* mov $SYS_getppid, %eax; syscall */
		0x5d, 0xc3};                        /* pop %rbp; ret */
	unsigned char *at = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, code, sizeof code);
	char name[64];
	snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
	FILE *map = fopen(name, "w");
	fprintf(map, "%lx %zx made_function\n", (long)at, sizeof code);
	fclose(map);
	caller((void (*)(void))at);
	return 0;
}
`

// TestNamesOfANamespaceThatHasEnded: the program is stripped, and its debug file, its perf map and itself are in file
// systems that are there for it alone, and are gone when names are looked for.
func TestNamesOfANamespaceThatHasEnded(t *testing.T) {
	needs.SysAdmin(t)
	unshare := needs.Program(t, "unshare", "util-linux")
	objcopy := needs.Program(t, "objcopy", "binutils")
	made := compile(t, madeC, "-O0", "-Wl,--build-id=none")
	dir := filepath.Dir(made)
	for _, args := range [][]string{
		{"--only-keep-debug", made, filepath.Join(dir, "made.dbg")},
		{"--strip-all", "--add-gnu-debuglink=" + filepath.Join(dir, "made.dbg"), made, filepath.Join(dir, "made")},
	} {
		drive.Succeed(t, exec.Command(objcopy, args...))
	}
	drive.Check(t, os.Chmod(filepath.Join(dir, "made"), 0o755))
	const script = `mount -t tmpfs none /mnt && cp "$0/made" "$0/made.dbg" /mnt && mount -t tmpfs none /tmp && exec /mnt/made`
	_, p, _ := drive.Profiled(t, []string{"-e", "trace=getppid"}, unshare, "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", script, dir)
	stacks := stacksOf(p, "sys_getppid")
	if !passes(stacks, "made_function", "caller", "main", "_start") {
		t.Errorf("stacks:\n%s", list(stacks))
	}
}

// endlessC never returns from what it calls by pointers, so that its code alone does not say how its frames lie.
const endlessC = `
#include <string.h>
#include <unistd.h>
typedef void work(int);
static work *volatile next;
static __attribute__((noinline, noclone)) void serve(int n) {
	volatile char room[n * 100];
	memset((char *)room, n, sizeof room);
	for (;;) {
		getppid();
		if (room[n] == n)
			_exit(0);
	}
}
static __attribute__((noinline, noclone)) void twice(int n) {
	volatile char room[400];
	room[n] = n;
	for (;;)
		next(room[n] + 1);
}
static __attribute__((noinline, noclone)) work *first(void) {
	next = serve;
	return twice;
}
int main(void) {
	work *volatile run = first();
	run(3);
}
`

// TestStacksByADebugFile: what a stripped program's .debug_frame says is in its debug file, which is there for it alone, or gone by
// the time that names are looked for.
func TestStacksByADebugFile(t *testing.T) {
	objcopy := needs.Program(t, "objcopy", "binutils")
	whole := compile(t, endlessC, "-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
	dir := filepath.Dir(whole)
	stripped, debug := filepath.Join(dir, "stripped"), filepath.Join(dir, "stripped.debug")
	drive.Succeed(t, exec.Command(objcopy, "--only-keep-debug", whole, debug))
	drive.Succeed(t, exec.Command(objcopy, "--strip-all", "--add-gnu-debuglink="+debug, whole, stripped))
	drive.Check(t, os.Chmod(stripped, 0o755))
	for name, command := range map[string][]string{
		"on this machine": {stripped},
		"in a namespace": {"unshare", "--mount", "sh", "-c",
			`mount -t tmpfs none /mnt && cp "$0" "$0.debug" /mnt && mount -t tmpfs none "$(dirname "$0")" && exec /mnt/stripped`, stripped},
	} {
		t.Run(name, func(t *testing.T) {
			if len(command) > 1 {
				needs.SysAdmin(t)
				needs.Program(t, "unshare", "util-linux")
			}
			_, p, _ := drive.Profiled(t, []string{"-e", "trace=getppid"}, command...)
			stacks := stacksOf(p, "sys_getppid")
			if len(stacks) == 0 || !passes(stacks, "serve", "twice", "main", "_start") {
				t.Errorf("stacks:\n%s", list(stacks))
			}
		})
	}
}

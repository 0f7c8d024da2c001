package main_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pprof "github.com/google/pprof/profile"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// interruptedC makes getppid(2) where a stack does not go from caller to called: in signal handlers that interrupt each
// other on a small alternate stack, after a call of a pointer that leads nowhere, and in a context of makecontext(3).
const interruptedC = `
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#ifdef CONTEXT
#include <ucontext.h>
#endif
#include <unistd.h>
#define STEP __attribute__((noinline, noclone))
volatile int sink;
static sigjmp_buf back;
STEP void leaf(int n) { syscall(SYS_getppid); sink = n; }
STEP void inner_handler(int s) { leaf(1); sink = s; }
STEP void outer_handler(int s) { raise(SIGUSR2); sink = s; }
STEP void interrupted(void) { raise(SIGUSR1); sink = 1; }
STEP void fault_handler(int s) { leaf(2); siglongjmp(back, 1); }
STEP void calls(void (*volatile f)(void)) { f(); sink = 1; }
STEP void calls_null(void) { calls(0); sink = 1; }
STEP void calls_data(void) { calls((void (*)(void))&sink); sink = 1; }
#ifdef CONTEXT
static ucontext_t first, second;
STEP void in_context(void) { leaf(3); sink = 1; }
static void context(void) { in_context(); swapcontext(&second, &first); }
#endif
int main(void) {
	size_t size = 16 << 10;
	char *area = mmap(0, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // so that nothing is readable around it
	mprotect(area + 4096, size, PROT_READ | PROT_WRITE);
	sigaltstack(&(stack_t){.ss_sp = area + 4096, .ss_size = size}, 0);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = outer_handler, .sa_flags = SA_ONSTACK}, 0);
	sigaction(SIGUSR2, &(struct sigaction){.sa_handler = inner_handler}, 0);
	sigaction(SIGSEGV, &(struct sigaction){.sa_handler = fault_handler}, 0);
	interrupted();
	if (!sigsetjmp(back, 1)) calls_null();
	if (!sigsetjmp(back, 1)) calls_data();
#ifdef CONTEXT
	getcontext(&second);
	second.uc_stack.ss_sp = malloc(65536);
	second.uc_stack.ss_size = 65536;
	second.uc_link = &first;
	makecontext(&second, context, 0);
	swapcontext(&first, &second);
#endif
	return 0;
}
`

// stacksOf are the stacks of a call, each once, whatever the thread did in it, as its functions, innermost first.
func stacksOf(p *pprof.Profile, call string) (stacks [][]string) {
	for _, s := range p.Sample {
		if names := drive.Frames(s); names[0] == call {
			stacks = append(stacks, names[1:])
		}
	}
	slices.SortFunc(stacks, slices.Compare)
	return slices.CompactFunc(stacks, slices.Equal)
}

// passes reports whether one of the stacks has these functions in this order, and the last one at its end.
func passes(stacks [][]string, want ...string) bool {
	return slices.ContainsFunc(stacks, func(names []string) bool {
		for _, w := range want {
			i := slices.Index(names, w)
			if i < 0 {
				return false
			}
			names = names[i+1:]
		}
		return len(names) == 0
	})
}

// list writes stacks one a line.
func list(stacks [][]string) string {
	var lines []string
	for _, s := range stacks {
		lines = append(lines, strings.Join(s, " < "))
	}
	return strings.Join(lines, "\n")
}

func TestStacksThroughSignalsAndBadPointers(t *testing.T) {
	for name, flags := range map[string][]string{
		"dynamic":        {"-DCONTEXT"},
		"static":         {"-DCONTEXT", "-static"},
		"frame pointers": {"-DCONTEXT", "-O0", "-fno-omit-frame-pointer"},
		"32 bits":        {"-m32"},
		"32 bits static": {"-m32", "-static"},
	} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(flags, "-m32") {
				needs.C32(t)
			}
			flags = append(flags, "-fno-optimize-sibling-calls")
			_, p, _ := drive.Profiled(t, []string{"-e", "trace=getppid"}, compile(t, interruptedC, flags...))
			stacks := stacksOf(p, "sys_getppid")
			for _, want := range [][]string{
				{"leaf", "inner_handler", "[signal handler]", "raise", "outer_handler", "[signal handler]", "raise", "interrupted", "main", "_start"},
				{"leaf", "fault_handler", "[signal handler]", "calls", "calls_null", "main", "_start"},
				{"leaf", "fault_handler", "[signal handler]", "calls", "calls_data", "main", "_start"},
				{"leaf", "in_context", "context", "__start_context"},
			} {
				if want[1] == "in_context" && !slices.Contains(flags, "-DCONTEXT") {
					continue
				}
				if !passes(stacks, want...) {
					t.Errorf("no stack goes through %q:\n%s", want, list(stacks))
				}
			}
		})
	}
}

// splitC needs more stack than its thread has got, and gets it elsewhere (-fsplit-stack): above, since the thread's own
// lies below all else.
const splitC = `
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#define STEP __attribute__((noinline, noclone))
volatile int sink;
STEP void leaf(int n) { syscall(SYS_getppid); sink = n; }
STEP void deep(int n) { volatile char big[3000]; big[n] = n; if (n) deep(n - 1); else leaf(n); sink = big[n]; }
static void *thread(void *x) { deep(40); return x; }
int main(void) {
	const size_t size = 64 << 10;
	void *low = mmap((void *)0x10000000, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	pthread_attr_t attr;
	pthread_t t;
	pthread_attr_init(&attr);
	return low == MAP_FAILED || pthread_attr_setstack(&attr, low, size) || pthread_create(&t, &attr, thread, 0) || pthread_join(t, 0);
}
`

func TestStacksOfSplitStacks(t *testing.T) {
	needs.C(t)
	if exec.Command("gcc", "-fsplit-stack", "-x", "c", "-o", filepath.Join(t.TempDir(), "x"), "-", "-fsyntax-only").Run() != nil {
		t.Skip("gcc has no split stacks on this architecture")
	}
	_, p, _ := drive.Profiled(t, []string{"-e", "trace=getppid"}, compile(t, splitC, "-fsplit-stack", "-fno-optimize-sibling-calls"))
	stacks := stacksOf(p, "sys_getppid")
	want := slices.Concat([]string{"leaf"}, slices.Repeat([]string{"deep"}, 41), []string{"thread", "start_thread", "__clone3"})
	if !passes(stacks, want...) || !strings.Contains(list(stacks), "__morestack") {
		t.Errorf("stacks:\n%s", list(stacks))
	}
}

// recursesC calls itself as often as its argument says, makes getppid(2), and then goes on to do so ten calls further up.
const recursesC = `
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
volatile int sink;
__attribute__((noinline, noclone)) void leaf(void) { syscall(SYS_getppid); sink = 1; }
__attribute__((noinline, noclone)) void again(int n) { if (n) again(n - 1); if (n <= 10) leaf(); sink = n; }
int main(int argc, char **argv) { again(atoi(argv[1])); return 0; }
`

// TestDeepStacks: a deep stack has both its ends, so that those of a recursion are one; an endless one its innermost.
func TestDeepStacks(t *testing.T) {
	recurses := compile(t, recursesC, "-fno-optimize-sibling-calls")
	for _, c := range []struct {
		depth         string
		flags         []string
		stacks        int // distinct ones
		frames, inner int
		root          string
	}{
		{"20", nil, 11, 0, 0, "_start"},
		{"500", nil, 1, 128, 64, "_start"},
		{"500", []string{"--max-depth=20"}, 1, 21, 10, "_start"},
		{"500", []string{"--max-depth=1"}, 1, 2, 1, "[truncated]"},
		{"500", []string{"--max-depth=1024"}, 11, 0, 0, "_start"},
		{"100000", nil, 1, 128, 127, "[truncated]"},
	} {
		_, p, _ := drive.Profiled(t, append(c.flags, "-e", "trace=getppid"), recurses, c.depth)
		stacks := stacksOf(p, "sys_getppid")
		if len(stacks) != c.stacks || drive.MadeBy(p, "sys_getppid", "syscall", drive.ValueOf(t, p, "calls")) != 11 {
			t.Errorf("depth %s, %q: %d stacks:\n%s", c.depth, c.flags, len(stacks), list(stacks))
			continue
		}
		for _, s := range stacks {
			if s[len(s)-1] != c.root {
				t.Errorf("depth %s, %q: the root is %s", c.depth, c.flags, s[len(s)-1])
			}
			if cut := slices.Index(s, "[truncated]"); c.frames > 0 && (len(s) != c.frames || cut != c.inner) {
				t.Errorf("depth %s, %q: %d frames, cut at %d", c.depth, c.flags, len(s), cut)
			}
		}
	}
}

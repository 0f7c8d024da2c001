package stack

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sysprof/syscalltab/needs"
)

// everyCall unwinds at each system call of a target and hands the result to visit.
func everyCall(t *testing.T, path string, visit func(tr *tracee, regs *syscall.PtraceRegs, space *Space, frames []uint64, end Reason)) {
	t.Helper()
	everyCallIn(t, NewObjects(openMapping, 0, 0), path, visit)
}

// everyCallIn takes the files' tables from objects, and closes them.
func everyCallIn(t *testing.T, objects *Objects, path string, visit func(tr *tracee, regs *syscall.PtraceRegs, space *Space, frames []uint64, end Reason)) {
	t.Helper()
	tr := trace(t, path)
	go func() { // the target must not block
		buf := make([]byte, 4096)
		for {
			if _, err := tr.out.Read(buf); err != nil {
				return
			}
		}
	}()
	defer objects.Close()
	u := NewUnwinder()
	var win Window
	frames := make([]uint64, MaxDepth)
	tr.calls(func(tid int, regs *syscall.PtraceRegs) {
		r := convertRegs(regs)
		tr.window(&win, r.SP())
		maps := tr.maps()
		if len(win.data) == 0 || len(maps) == 0 {
			return // it is exiting
		}
		space := NewSpace(objects, maps)
		n, end := u.Unwind(space, r, &win, frames)
		visit(tr, regs, space, frames[:n], end)
	})
}

// Whatever the Go runtime is doing when it makes a system call: growing a stack,
// collecting garbage, handling a signal, starting a thread, going to and fro between
// Go and C. Every stack must end where stacks begin, and the switches of stacks
// that are known to occur must have been passed.
func TestEveryStackOfGoReachesTheBottom(t *testing.T) {
	for source, passed := range map[string][]string{
		"gomarks":  {"runtime.newstack runtime.morestack main.wide", "runtime.systemstack", "runtime.mcall", "runtime.sigreturn__sigaction runtime.sigpanic0 main.panics"},
		"cgomarks": {"runtime.systemstack", "runtime.asmcgocall", "crosscall2 C"},
	} {
		t.Run(source, func(t *testing.T) {
			if source == "cgomarks" {
				needs.C(t)
			}
			path := buildGo(t, source)
			var all []string
			var n *namer
			everyCall(t, path, func(tr *tracee, regs *syscall.PtraceRegs, space *Space, frames []uint64, end Reason) {
				if n == nil {
					n = newNamer(t, path, tr.maps())
				}
				names := n.names(frames)
				if end != Bottom && end != Truncated {
					t.Errorf("call %d: %v after %s", regs.Orig_rax, end, strings.Join(names, " "))
				}
				for i := range names {
					names[i], _, _ = strings.Cut(names[i], ":")
				}
				all = append(all, strings.Join(names, " ")+" ")
			})
			for _, want := range passed {
				if !slices.ContainsFunc(all, func(s string) bool {
					_, rest, found := strings.Cut(s, want)
					return found && rest != ""
				}) {
					t.Errorf("no stack goes through %q; there are %d", want, len(all))
				}
			}
		})
	}
}

// The kernel's own code in the process: its unwind tables are read from memory.
func TestThroughVDSO(t *testing.T) {
	seen := false
	everyCall(t, compile(t, "testdata/marks.c", "-O2"), func(_ *tracee, regs *syscall.PtraceRegs, space *Space, frames []uint64, end Reason) {
		if end != Bottom && len(frames) < MaxDepth {
			t.Errorf("call %d at %#x: %v", regs.Orig_rax, frames, end)
		}
		if m, ok := space.Mapping(frames[0]); ok && m.IsVDSO() {
			seen = true
			if regs.Orig_rax != syscall.SYS_CLOCK_GETTIME || len(frames) < 5 {
				t.Errorf("call %d in the vdso: %#x", regs.Orig_rax, frames)
			}
		}
	})
	if !seen {
		t.Error("no call from the vdso")
	}
}

// Without unwind tables: the frame pointers of a program that has them.
func TestFramePointersOnly(t *testing.T) {
	rec := record(t, compile(t, "testdata/marks.c", "-O0", "-static", "-fno-omit-frame-pointer"), framesMark)
	objects := NewObjects(openMapping, 0, 0)
	defer objects.Close()
	space := NewSpace(objects, rec.maps)
	u := NewUnwinder()
	var win Window
	var frames [MaxDepth]uint64
	rec.window(&win)
	n, _ := u.Unwind(space, &rec.regs, &win, frames[:])
	want := fmt.Sprint(frames[2 : n-3]) // without libc's, which have no frame pointer
	u.Mode = FramePointers
	rec.window(&win)
	n, _ = u.Unwind(space, &rec.regs, &win, frames[:])
	// syscall() has no frame, so its caller is lost.
	if got := fmt.Sprint(frames[1:n]); !strings.HasPrefix(got, want[:len(want)-1]) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

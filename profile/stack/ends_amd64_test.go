package stack

import (
	"syscall"
	"testing"

	"sysprof/syscalltab/needs"
)

// ended returns how the stacks of a target's marks end, and how long they are.
func ended(t *testing.T, path string) map[int]sighting {
	t.Helper()
	return endedIn(t, NewObjects(openMapping, 0, 0), path)
}

// endedIn takes the files' tables from objects, and closes them.
func endedIn(t *testing.T, objects *Objects, path string) map[int]sighting {
	t.Helper()
	seen := map[int]sighting{}
	everyCallIn(t, objects, path, func(_ *tracee, regs *syscall.PtraceRegs, _ *Space, frames []uint64, end Reason) {
		if id := int(regs.Rdi) - magic; regs.Orig_rax == syscall.SYS_GETPGID && id > 0 && id < 100 {
			seen[id] = sighting{append([]uint64(nil), frames...), end}
		}
	})
	return seen
}

// TestEndsWithoutTables: a frame pointer of 0 ends a stack where a thread begins, and is a number like any other in
// code made at run time.
func TestEndsWithoutTables(t *testing.T) {
	for name, flags := range map[string][]string{
		"clears the frame pointer": {"-DCLEARS"},
		"as the kernel starts it":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			seen := ended(t, compile(t, "testdata/ends.S", append(flags, "-nostdlib", "-static")...))
			for id, want := range map[int]sighting{
				1: {make([]uint64, 2), Bottom}, // outer, _start
				2: {make([]uint64, 2), NoInfo}, // inner, made
				3: {make([]uint64, 2), NoInfo}, // inner2, made
			} {
				if got, ok := seen[id]; !ok || got.end != want.end || len(got.frames) != len(want.frames) {
					t.Errorf("mark %d: %#x, %v; want %d frames, %v", id, got.frames, got.end, len(want.frames), want.end)
				}
			}
		})
	}
}

// TestMainThatNeverReturns: a program's first code says where main begins, which nothing else does. What has called it goes on to a
// function that never returns: so its code says, or, of that of glibc in static programs, where its unwind information ends.
func TestMainThatNeverReturns(t *testing.T) {
	for name, c := range map[string]struct {
		musl  bool
		flags []string
	}{
		"musl static":         {true, []string{"-static", "-s"}},
		"musl dynamic":        {true, []string{"-s"}},
		"glibc static":        {false, []string{"-static", "-s"}},
		"glibc dynamic":       {false, []string{"-no-pie", "-s"}},
		"glibc, at any place": {false, []string{"-pie", "-s"}},
	} {
		t.Run(name, func(t *testing.T) {
			compiler := needs.C(t)
			if c.musl {
				compiler = needs.Program(t, "musl-gcc", "musl-tools")
			}
			seen := ended(t, compileWith(t, compiler, "testdata/leaves.S", c.flags...))
			// leave, main, its caller, and what musl or glibc has above that.
			if got, ok := seen[1]; !ok || got.end != Bottom || len(got.frames) < 4 || len(got.frames) > 5 {
				t.Errorf("%#x, %v", got.frames, got.end)
			}
		})
	}
}

// TestContextWithoutTables: what makecontext(3) has a stack begin with is known also behind code that was followed.
func TestContextWithoutTables(t *testing.T) {
	without := []string{"-fno-asynchronous-unwind-tables", "-fomit-frame-pointer"}
	for name, flags := range map[string][]string{
		"tables":          nil,
		"none":            without,
		"none and static": append([]string{"-static"}, without...),
	} {
		t.Run(name, func(t *testing.T) {
			seen := ended(t, compile(t, "testdata/context.c", append(flags, "-O2")...))
			got, ok := seen[1]
			if !ok || got.end != Bottom || len(got.frames) != 3 { // inner, begins, __start_context
				t.Fatalf("%#x, %v", got.frames, got.end)
			}
			if _, mark := Frame(got.frames[2]); mark != NewContext {
				t.Errorf("the last of %#x has mark %d", got.frames, mark)
			}
		})
	}
}

// TestCodeThatReturnsAtOnce: code made at run time that keeps no frame pointer is left where it has only to return, and only there.
func TestCodeThatReturnsAtOnce(t *testing.T) {
	seen := ended(t, compile(t, "testdata/atonce.c", "-O2", "-fomit-frame-pointer"))
	for id, want := range map[int]sighting{
		1: {make([]uint64, 7), Bottom}, // syscall, mark, made, main, two of libc's, _start
		2: {make([]uint64, 7), Bottom},
		3: {make([]uint64, 3), NoInfo},
		4: {make([]uint64, 3), NoInfo},
	} {
		if got, ok := seen[id]; !ok || got.end != want.end || len(got.frames) != len(want.frames) {
			t.Errorf("mark %d: %#x, %v; want %d frames, %v", id, got.frames, got.end, len(want.frames), want.end)
		}
	}
}

func TestClearsFramePointer(t *testing.T) {
	for code, want := range map[string]bool{
		"\x90\x31\xed\x90":                 true,
		"\x90\x33\xed\x90":                 true,
		"\x48\x31\xed\x48\x89\xe7":         true,
		"\x90\xbd\x00\x00\x00\x00":         true,
		"\x4d\x31\xed\x90":                 false, // r13
		"\x45\x31\xed\x90":                 false,
		"\x90\x31\xc0\x90":                 false,
		"\x90\xbd\x00\x00\x00\x01\xe8\x90": false,
	} {
		if got := clearsFPonAMD64([]byte(code)); got != want {
			t.Errorf("% x: %v", code, got)
		}
	}
	for code, want := range map[string]bool{
		"\x1d\x00\x80\xd2\x1e\x00\x80\xd2": true,
		"\x1f\x20\x03\xd5\xfd\x03\x1f\xaa": true,
		"\x1e\x00\x80\xd2\x1f\x20\x03\xd5": false, // x30
		"\x00\x1d\x00\x80\xd2\x00\x00\x00": false, // between instructions
	} {
		if got := clearsFPonARM64([]byte(code)); got != want {
			t.Errorf("arm64 % x: %v", code, got)
		}
	}
}

package stack

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const magic = 0x51500000

// sighting is what was unwound at a mark.
type sighting struct {
	frames []uint64
	end    Reason
}

// marks runs a target and returns, by mark, the line that the target wrote and what
// was unwound at the same moment.
func marks(t *testing.T, depth int, path string) (said map[int]string, seen map[int]sighting, tr *tracee) {
	t.Helper()
	return marksWith(t, depth, path, func(*tracee, int, []uint64) {})
}

func marksWith(t *testing.T, depth int, path string, visit func(tr *tracee, id int, frames []uint64)) (said map[int]string, seen map[int]sighting, tr *tracee) {
	t.Helper()
	said, seen = map[int]string{}, map[int]sighting{}
	tr = trace(t, path)
	objects := NewObjects(openMapping, 0, 0)
	t.Cleanup(objects.Close)
	u := NewUnwinder()
	var win Window
	tr.calls(func(tid int, regs *syscall.PtraceRegs) {
		id := int(regs.Rdi) - magic
		if regs.Orig_rax != syscall.SYS_GETPGID || id < 0 || id > 1000 {
			return
		}
		if _, again := seen[id]; again {
			t.Errorf("mark %d twice", id)
		}
		said[id] = tr.readLine()
		r := convertRegs(regs)
		tr.window(&win, r.SP())
		frames := make([]uint64, depth)
		n, end := u.Unwind(NewSpace(objects, tr.maps()), r, &win, frames)
		seen[id] = sighting{frames[:n], end}
		visit(tr, id, frames[:n])
	})
	return said, seen, tr
}

// parseAddrs reads "12 0x… 0x…".
func parseAddrs(t *testing.T, line string) (id int, addrs []uint64) {
	t.Helper()
	for i, word := range strings.Fields(line) {
		v, err := strconv.ParseUint(word, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			id = int(v)
		} else {
			addrs = append(addrs, v)
		}
	}
	return id, addrs
}

// from returns the frames from the one that returns to addr.
func from(frames []uint64, addr uint64) []uint64 {
	for i, f := range frames {
		if f == addr {
			return frames[i:]
		}
	}
	return nil
}

// TestStacksEqualBacktrace compares with what glibc says inside a C program built in
// several ways: with and without frame pointers, position, lazy binding.
func TestStacksEqualBacktrace(t *testing.T) {
	for name, flags := range map[string][]string{
		"plain":         {"-O2", "-fomit-frame-pointer"},
		"frame pointer": {"-O1", "-fno-omit-frame-pointer"},
		"not pie":       {"-O2", "-no-pie", "-fno-pie"},
		"lazy binding":  {"-O2", "-Wl,-z,lazy"},
		"static":        {"-O2", "-static"},
		"odd segments":  {"-O2", "-Wl,-z,noseparate-code", "-Wl,-Ttext-segment=0x7000000", "-no-pie"},
		"no hdr":        {"-O2", "-static", "-Wl,--no-eh-frame-hdr"},
	} {
		t.Run(name, func(t *testing.T) {
			said, seen, _ := marks(t, 400, compile(t, "testdata/marks.c", flags...))
			interrupted := 0
			for id := 1; id <= 12; id++ {
				gotID, want := parseAddrs(t, said[id])
				if gotID != id || len(want) < 3 {
					t.Fatalf("mark %d said %q", id, said[id])
				}
				handlers := 0
				for i, f := range seen[id].frames {
					if addr, mark := Frame(f); mark == SignalHandler { // one has been added
						seen[id].frames[i] = addr - 1
						handlers++
					}
				}
				if wanted := map[int]int{6: 1, 7: 1, 8: 1}[id]; handlers != wanted {
					t.Errorf("mark %d: %d signal handlers, want %d", id, handlers, wanted)
				}
				// want[0] is in mark itself, and the call in libc's syscall().
				got := from(seen[id].frames, want[1])
				if id == 9 {
					// backtrace stops at code without unwind information; we go on.
					want = want[:min(len(want), 3)]
					if len(got) < 5 {
						t.Errorf("mark %d: %s not passed", id, "JIT frame")
					}
					got = got[:min(len(got), len(want)-1)]
				}
				if id >= 6 && id <= 8 { // one frame was interrupted: we say where, plus one
					for i := range min(len(got), len(want)-1) {
						if got[i] == want[i+1]+1 {
							got[i]--
							interrupted++
						}
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(want[1:]) {
					t.Errorf("mark %d:\n got %#x (%v)\nwant %#x", id, seen[id].frames, seen[id].end, want)
				}
				if seen[id].end != Bottom {
					t.Errorf("mark %d ended with %v", id, seen[id].end)
				}
			}
			if interrupted != 3 {
				t.Errorf("%d interrupted frames, want 3", interrupted)
			}
		})
	}
}

func TestTruncatedAt127(t *testing.T) {
	_, seen, _ := marks(t, MaxDepth, compile(t, "testdata/marks.c", "-O2"))
	if s := seen[11]; len(s.frames) != MaxDepth || s.end != Truncated {
		t.Errorf("deep recursion: %d frames, %v", len(s.frames), s.end)
	}
	if s := seen[2]; len(s.frames) >= MaxDepth || s.end != Bottom {
		t.Errorf("shallow recursion: %d frames, %v", len(s.frames), s.end)
	}
}

package stack

import (
	"fmt"
	"slices"
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

// TestMiddleOfADeepStack: what is left out is in the middle, so that a deep stack has its root and its innermost
// frames in common with others.
func TestMiddleOfADeepStack(t *testing.T) {
	_, seen, _ := marks(t, MaxDepth+1, compile(t, "testdata/marks.c", "-O2"))
	shallow, deep := seen[2], seen[11]
	if len(shallow.frames) >= MaxDepth || shallow.end != Bottom {
		t.Fatalf("shallow recursion: %d frames, %v", len(shallow.frames), shallow.end)
	}
	if len(deep.frames) != MaxDepth+1 || deep.end != Bottom || slices.Index(deep.frames, Gap) != 64 {
		t.Fatalf("deep recursion: %d frames, %v, the gap is number %d", len(deep.frames), deep.end, slices.Index(deep.frames, Gap))
	}
	const same = 3 // outermost frames, but for main, which calls in two places
	if root := func(s sighting) []uint64 { return s.frames[len(s.frames)-same:] }; !slices.Equal(root(shallow), root(deep)) {
		t.Errorf("roots %#x and %#x", root(shallow), root(deep))
	}
	if !slices.Equal(shallow.frames[:10], deep.frames[:10]) {
		t.Errorf("innermost frames %#x and %#x", shallow.frames[:10], deep.frames[:10])
	}
}

func TestKeep(t *testing.T) {
	walked := make([]uint64, 10)
	for i := range walked {
		walked[i] = uint64(i + 1)
	}
	for _, c := range []struct {
		room, walked int
		end          Reason
		want         string
		wantEnd      Reason
	}{
		{5, 4, Bottom, "[1 2 3 4]", Bottom},
		{5, 5, Bottom, fmt.Sprint([]uint64{1, 2, Gap, 4, 5}), Bottom},
		{5, 10, Bottom, fmt.Sprint([]uint64{1, 2, Gap, 9, 10}), Bottom},
		{6, 10, NoInfo, fmt.Sprint([]uint64{1, 2, 3, Gap, 9, 10}), NoInfo},
		{6, 10, Truncated, "[1 2 3 4 5]", Truncated},
		{2, 10, Bottom, fmt.Sprint([]uint64{1, Gap}), Bottom},
		{2, 1, Bottom, "[1]", Bottom},
		{1, 10, Bottom, "[1]", Truncated},
		{0, 10, Bottom, "[]", Truncated},
	} {
		frames := make([]uint64, c.room)
		n, end := keep(frames, walked[:c.walked], c.end)
		if got := fmt.Sprint(frames[:n]); got != c.want || end != c.wantEnd {
			t.Errorf("%d of %d, %v: %s, %v; want %s, %v", c.room, c.walked, c.end, got, end, c.want, c.wantEnd)
		}
	}
}

package stack

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sysprof/syscalltab/needs"
)

// A truth is the stack of a program that is run one instruction at a time: what its calls have left on the stack and its
// returns have not taken yet.
type truth struct {
	slots []slotOf
}

type slotOf struct {
	at    uint64 // where the return address lies
	frame uint64 // as Unwind gives it
}

// step takes note of an instruction: what the registers were before and after it, and its length.
func (tr *truth) step(code []byte, before, after *syscall.PtraceRegs, signalled bool) {
	for len(tr.slots) > 0 && tr.slots[len(tr.slots)-1].at < after.Rsp {
		tr.slots = tr.slots[:len(tr.slots)-1]
	}
	if signalled {
		// The handler returns to the restorer, which returns to where the signal came: the kernel has written down where,
		// in the ucontext behind the return address.
		tr.slots = append(tr.slots, slotOf{after.Rsp + 8 + amd64Sigframe.ip, before.Rip + 1})
		return
	}
	// A call of the next instruction asks where that is, and is none.
	if next := before.Rip + uint64(callLength(code)); after.Rsp == before.Rsp-8 && isCall(code) && after.Rip != next {
		tr.slots = append(tr.slots, slotOf{after.Rsp, next})
	}
}

func isCall(b []byte) bool { return callLength(b) > 0 }

// callLength is the length of the call at the start of b; 0 if there is none.
func callLength(b []byte) int {
	i := 0
	for b[i] == 0xf2 || b[i] == 0x67 || b[i] == 0x3e || b[i] == 0x2e || b[i]&0xf0 == 0x40 {
		i++
	}
	if b[i] == 0xe8 {
		return i + 5
	}
	if b[i] != 0xff || b[i+1]&0x38 != 0x10 {
		return 0
	}
	mod, rm := b[i+1]>>6, b[i+1]&7
	n := i + 2
	if mod != 3 && rm == 4 {
		if mod == 0 && b[i+2]&7 == 5 {
			n += 4
		}
		n++
	}
	switch {
	case mod == 1:
		n++
	case mod == 2 || mod == 0 && rm == 5:
		n += 4
	}
	return n
}

// stepCount counts what was found at all the steps.
type stepCount struct {
	whole, ended, wrong, steps int
	atCalls, wholeAtCalls      int
	endedAt                    map[string]int // by the place of the last frame
}

// add counts a step, whose stack is as verdict says, and has at as its last frame. call: it makes a system call.
func (c *stepCount) add(verdict string, call bool, at string) {
	switch verdict {
	case "wrong":
		c.wrong++
	case "ended":
		c.ended++
		c.endedAt[at]++
	default:
		c.whole++
	}
	if call {
		if c.atCalls++; verdict == "whole" {
			c.wholeAtCalls++
		}
	}
}

// maxTimes is how often the stack is looked at after one instruction.
const maxTimes = 6

// everyStep runs a program one instruction at a time and compares each stack with the true one.
func everyStep(t *testing.T, path string, maxSteps int) (all stepCount) {
	t.Helper()
	all.endedAt = map[string]int{}
	tr := traceStopped(t, path)
	objects := NewObjects(openMapping, 0, 0)
	defer objects.Close()
	u := NewUnwinder()
	var win Window
	var now truth
	space := NewSpace(objects, tr.maps())
	frames := make([]uint64, 200)
	jumps := longjmpOf(path)
	times := map[uint64]int{}
	reported := map[uint64]bool{}
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tr.pid, &regs); err != nil {
		t.Fatal(err)
	}
	signal := 0
	for range maxSteps {
		var code [16]byte
		tr.mem.ReadMemory(code[:], regs.Rip)
		before := regs
		if err := singleStep(tr.pid, signal); err != nil {
			t.Fatal(err)
		}
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(tr.pid, &ws, syscall.WALL, nil); err != nil || !ws.Stopped() {
			break
		}
		delivered := signal != 0
		signal = 0
		if s := ws.StopSignal(); s != syscall.SIGTRAP {
			signal = int(s)
		}
		if err := syscall.PtraceGetRegs(tr.pid, &regs); err != nil {
			t.Fatal(err)
		}
		now.step(code[:], &before, &regs, delivered)
		if delivered {
			var restorer [8]byte
			tr.mem.ReadMemory(restorer[:], regs.Rsp)
			now.slots = append(now.slots, slotOf{regs.Rsp, le64(restorer[:])})
		}
		call := code[0] == 0x0f && code[1] == 0x05
		if call {
			space = NewSpace(objects, tr.maps())
		}
		if jumps.holds(regs.Rip) {
			continue // glibc's tables say there what the stack is like after longjmp
		}
		// A loop shows nothing new.
		if times[regs.Rip]++; times[regs.Rip] > maxTimes && !call {
			continue
		}
		r := convertRegs(&regs)
		r.AfterCall = call
		tr.window(&win, r.SP())
		n, end := u.Unwind(space, r, &win, frames)
		all.steps++
		for i, frame := range frames[:n] {
			if addr, mark := Frame(frame); mark != 0 { // which begins there, and has not called
				frames[i] = addr - 1
			}
		}
		verdict := compareStacks(frames[1:n], now.slots)
		if verdict == "wrong" && !reported[frames[0]] && len(reported) < 40 {
			reported[frames[0]] = true
			t.Errorf("at %s: %v\n got %s\nwant %s", placeIn(space, regs.Rip), end, placesIn(space, frames[1:n]), slotsIn(space, now.slots))
		}
		all.add(verdict, call, placeIn(space, frames[n-1]))
	}
	return all
}

type span struct{ lo, size uint64 }

func (s span) holds(addr uint64) bool { return addr-s.lo < s.size }

// longjmpOf is where glibc's longjmp restores the registers.
func longjmpOf(path string) span {
	f, err := elf.Open(path)
	if err != nil {
		return span{}
	}
	defer f.Close()
	symbols, _ := f.Symbols()
	for _, s := range symbols {
		if s.Name == "__longjmp" && f.Type == elf.ET_EXEC {
			return span{s.Value, s.Size}
		}
	}
	return span{}
}

func le64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

func compareStacks(got []uint64, want []slotOf) string {
	for i, pc := range got {
		if i >= len(want) || want[len(want)-1-i].frame != pc {
			return "wrong"
		}
	}
	if len(got) < len(want) {
		return "ended"
	}
	return "whole"
}

func placeIn(s *Space, pc uint64) string {
	if m, ok := s.Mapping(pc); ok {
		return fmt.Sprintf("%s+%#x", filepath.Base(m.Path), pc-m.Start+m.Offset)
	}
	return fmt.Sprintf("%#x", pc)
}

func placesIn(s *Space, pcs []uint64) string {
	var b strings.Builder
	for _, pc := range pcs {
		b.WriteString(placeIn(s, pc) + " ")
	}
	return b.String()
}

func slotsIn(s *Space, slots []slotOf) string {
	var b strings.Builder
	for i := len(slots) - 1; i >= 0; i-- {
		b.WriteString(placeIn(s, slots[i].frame) + " ")
	}
	return b.String()
}

// traceStopped starts a program, which stands before its first instruction.
func traceStopped(t *testing.T, path string) *tracee {
	t.Helper()
	tr := startTraced(t, path)
	go func() { // it must not block
		buf := make([]byte, 4096)
		for {
			if _, err := tr.out.Read(buf); err != nil {
				return
			}
		}
	}()
	return tr
}

func singleStep(pid, signal int) error {
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, syscall.PTRACE_SINGLESTEP, uintptr(pid), 0, uintptr(signal), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// buildSteps compiles the program of the steps.
func buildSteps(t *testing.T, compiler string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "target")
	if keep := os.Getenv("SYSPROF_STEPS"); keep != "" {
		out = filepath.Join(keep, filepath.Base(t.Name()))
	}
	args := append([]string{"-w", "-o", out, "testdata/steps.c", "testdata/steps.S", "-lm"}, flags...)
	if msg, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", compiler, args, err, msg)
	}
	return out
}

// TestEveryStepIsTrue looks at the stack after every instruction of programs without unwind information, or with little of
// it. No frame may be wrong, and few stacks may end early.
func TestEveryStepIsTrue(t *testing.T) {
	const maxSteps, atLeast = 150_000, 0.95
	bare := []string{"-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-exceptions"}
	for _, c := range []struct {
		name  string
		musl  bool
		flags []string
	}{
		{"musl static", true, []string{"-O2", "-static"}},
		{"musl static bare", true, append([]string{"-Os", "-static"}, bare...)},
		{"musl dynamic", true, append([]string{"-O2"}, bare...)},
		{"musl static stripped", true, append([]string{"-O2", "-static", "-s"}, bare...)},
		{"musl frame pointers", true, append([]string{"-O1", "-static", "-fno-omit-frame-pointer"}, bare...)},
		{"glibc static", false, []string{"-O2", "-static", "-no-pie"}},
		{"glibc static bare", false, append([]string{"-O2", "-static", "-no-pie"}, bare...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			compiler := needs.C(t)
			if c.musl { // which runs that
				compiler = needs.Program(t, "musl-gcc", "musl-tools")
			}
			all := everyStep(t, buildSteps(t, compiler, c.flags...), maxSteps)
			all.report(t, atLeast)
		})
	}
}

// report says what was found, and demands that no stack is wrong, and that so many of those at system calls are whole.
func (all *stepCount) report(t *testing.T, atLeast float64) {
	t.Helper()
	t.Logf("%d steps: %d whole, %d ended, %d wrong; at system calls %d of %d whole", all.steps, all.whole, all.ended, all.wrong, all.wholeAtCalls, all.atCalls)
	if os.Getenv("SYSPROF_STEPS") != "" {
		places := slices.SortedFunc(maps.Keys(all.endedAt), func(a, b string) int { return all.endedAt[b] - all.endedAt[a] })
		for _, place := range places[:min(len(places), 40)] {
			t.Logf("%6d ended at %s", all.endedAt[place], place)
		}
	}
	if all.wrong > 0 {
		t.Errorf("%d of %d stacks have a wrong frame", all.wrong, all.steps)
	}
	if all.atCalls == 0 || float64(all.wholeAtCalls) < atLeast*float64(all.atCalls) {
		t.Errorf("%d of %d stacks of system calls are whole", all.wholeAtCalls, all.atCalls)
	}
}

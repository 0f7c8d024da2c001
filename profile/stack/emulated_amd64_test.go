package stack

import (
	"bufio"
	debugelf "debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysprof/profile/stack/elf"
	"sysprof/syscalltab/needs"
)

// An emulated program runs in qemu, one instruction at a time, as a debugger asks for (GDB's remote serial protocol).
type emulated struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// emulate starts a program of ARM64, which stands before its first instruction.
func emulate(t testing.TB, program string) *emulated {
	t.Helper()
	qemu := needs.Program(t, "qemu-aarch64-static", "qemu-user-static")
	socket := filepath.Join(t.TempDir(), "gdb")
	cmd := exec.Command(qemu, "-singlestep", "-g", socket, program)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	const patience = time.Minute
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(5 * patience))
			return &emulated{t, conn, bufio.NewReader(conn)}
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// ask sends a packet and returns what is answered.
func (e *emulated) ask(packet string) string {
	e.t.Helper()
	sum := byte(0)
	for i := range len(packet) {
		sum += packet[i]
	}
	if _, err := fmt.Fprintf(e.conn, "$%s#%02x", packet, sum); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.in.ReadString('$'); err != nil { // after the acknowledgement
		e.t.Fatal(err)
	}
	answer, err := e.in.ReadString('#')
	if err != nil {
		e.t.Fatal(err)
	}
	e.in.Discard(2)
	e.conn.Write([]byte("+"))
	return strings.TrimSuffix(answer, "#")
}

// runTo lets the program run to an address.
func (e *emulated) runTo(addr uint64) {
	e.t.Helper()
	at := fmt.Sprintf("0,%x,4", addr)
	if e.ask("Z"+at) != "OK" || !strings.HasPrefix(e.ask("c"), "T") || e.ask("z"+at) != "OK" {
		e.t.Fatalf("it does not come to %#x", addr)
	}
}

// step executes an instruction. It reports false if the program has ended.
func (e *emulated) step() bool { return strings.HasPrefix(e.ask("s"), "T") }

// regs are x0 to x30, the stack pointer and the program counter, in the order of the protocol and of DWARF.
func (e *emulated) regs() *Regs {
	e.t.Helper()
	const n = 33
	b, err := hex.DecodeString(e.ask("g")[:n*16])
	if err != nil {
		e.t.Fatal(err)
	}
	r := &Regs{Arch: ARM64}
	for i := range n - 1 {
		r.R[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	r.IP = binary.LittleEndian.Uint64(b[8*(n-1):])
	return r
}

func (e *emulated) ReadMemory(p []byte, addr uint64) int {
	const most = 1024
	for n := 0; n < len(p); {
		piece := p[n:min(n+most, len(p))]
		b, err := hex.DecodeString(e.ask("m" + strconv.FormatUint(addr+uint64(n), 16) + "," + strconv.FormatInt(int64(len(piece)), 16)))
		if err != nil || len(b) == 0 { // E14
			return n
		}
		n += copy(piece, b)
	}
	return len(p)
}

// stepARM64 takes note of an instruction of ARM64: calls leave the return address in x30.
func (tr *truth) stepARM64(code uint32, before, after *Regs) {
	top := len(tr.slots) - 1
	if code == 0xd61f03c0 { // BR X30, by which longjmp goes to who has long returned
		for top >= 0 && tr.slots[top].at <= after.SP() {
			top--
		}
	}
	isReturn := code&0xfffffc1f == 0xd65f0000
	for top >= 0 && (tr.slots[top].at < after.SP() || isReturn && tr.slots[top].frame == after.IP) {
		isReturn = isReturn && tr.slots[top].frame != after.IP
		top--
	}
	tr.slots = tr.slots[:top+1]
	if code>>26 == 0x25 || code&0xfffffc1f == 0xd63f0000 { // BL, BLR
		tr.slots = append(tr.slots, slotOf{before.SP(), before.IP + 4})
	}
}

// everyEmulatedStep is everyStep for a static program of ARM64, from main on. What has called that is not known; nor does
// anything return to it.
func everyEmulatedStep(t *testing.T, path string, main uint64, maxSteps int) (all stepCount) {
	t.Helper()
	all.endedAt = map[string]int{}
	e := emulate(t, path)
	objects := NewObjects(openMapping, 0, 0)
	defer objects.Close()
	space := NewSpace(objects, staticMappings(t, path))
	u := NewUnwinder()
	frames := make([]uint64, 200)
	times, reported := map[uint64]int{}, map[uint64]bool{}
	var now truth
	var win Window
	const svc = 0xd4000001
	e.runTo(main)
	regs := e.regs()
	callers := -1 // of main
	jumps := longjmpOf(path)
	for range maxSteps {
		var b [4]byte
		e.ReadMemory(b[:], regs.IP)
		code := binary.LittleEndian.Uint32(b[:])
		before := regs
		if !e.step() {
			break
		}
		regs = e.regs()
		if code == svc && regs.IP != before.IP+4 { // the emulator has gone one instruction further
			e.ReadMemory(b[:], before.IP+4)
			code = binary.LittleEndian.Uint32(b[:])
			before.IP += 4
		}
		now.stepARM64(code, before, regs)
		e.ReadMemory(b[:], regs.IP)
		at := *regs
		call := binary.LittleEndian.Uint32(b[:]) == svc
		if call {
			at.IP, at.AfterCall = at.IP+4, true
		}
		if jumps.holds(regs.IP) {
			continue
		}
		if times[regs.IP]++; times[regs.IP] > 2 && !call {
			continue
		}
		win.Reset(e, at.SP(), nil)
		n, end := u.Unwind(space, &at, &win, frames)
		all.steps++
		for i, frame := range frames[:n] {
			if addr, mark := Frame(frame); mark != 0 {
				frames[i] = addr - 1
			}
		}
		// All stacks have the same outer frames.
		inner := frames[1:n]
		if callers < 0 && end == Bottom {
			callers = len(inner) - len(now.slots)
		}
		if end == Bottom {
			inner = inner[:max(len(inner)-callers, 0)]
		} else if extra := len(inner) - len(now.slots); extra > 0 && extra < callers {
			inner = inner[:len(now.slots)]
		}
		verdict := compareStacks(inner, now.slots)
		if verdict == "whole" && end != Bottom {
			verdict = "ended"
		}
		if verdict == "wrong" && !reported[regs.IP] && len(reported) < 20 {
			reported[regs.IP] = true
			t.Errorf("at %s: %v\n got %s\nwant %s", placeIn(space, regs.IP), end, placesIn(space, frames[1:n]), slotsIn(space, now.slots))
		}
		all.add(verdict, call, placeIn(space, frames[n-1]))
	}
	return all
}

// symbolOf is the address of a function.
func symbolOf(t *testing.T, path, name string) uint64 {
	t.Helper()
	f, err := debugelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, _ := f.Symbols()
	for _, s := range symbols {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

// staticMappings are the executable mappings of a program that is not moved.
func staticMappings(t *testing.T, path string) (maps []Mapping) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(f, st.Size(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range file.Segments {
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 {
			start, skip := s.Vaddr&^0xfff, s.Vaddr&0xfff
			maps = append(maps, Mapping{Start: start, End: (s.Vaddr + s.Filesz + 0xfff) &^ 0xfff, Exec: true, Offset: s.Off - skip, Inode: 1, Path: path})
		}
	}
	return maps
}

// TestEveryEmulatedStepIsTrue is TestEveryStepIsTrue for ARM64. The C library has tables, which are taken away.
func TestEveryEmulatedStepIsTrue(t *testing.T) {
	const maxSteps, atLeast = 25_000, 0.95
	// Not GCC: Debian's for another architecture and gcc-multilib, which 32-bit programs take, exclude each other.
	clang := needs.Program(t, "clang", "clang")
	needs.Program(t, "ld.lld", "lld")
	objcopy := needs.Program(t, "llvm-objcopy", "llvm")
	_, err1 := os.Stat("/usr/aarch64-linux-gnu/include/stdio.h")
	startup, err2 := filepath.Glob("/usr/lib/gcc-cross/aarch64-linux-gnu/*/crtbeginT.o")
	needs.That(t, err1 == nil && err2 == nil && len(startup) > 0, "a C library for arm64", "apt-get install libc6-dev-arm64-cross libgcc-12-dev-arm64-cross")
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"bare", []string{"-O2"}},
		{"bare small", []string{"-Os", "-fomit-frame-pointer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "target")
			args := append([]string{"--target=aarch64-linux-gnu", "-fuse-ld=lld", "-w", "-static", "-no-pie", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-o", out, "testdata/steps.c", "-lm"}, c.flags...)
			if msg, err := exec.Command(clang, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, msg)
			}
			if msg, err := exec.Command(objcopy, "--remove-section=.eh_frame", "--remove-section=.eh_frame_hdr", out).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, msg)
			}
			if keep := os.Getenv("SYSPROF_STEPS"); keep != "" {
				exec.Command("cp", out, filepath.Join(keep, "arm64 "+filepath.Base(t.Name()))).Run()
			}
			all := everyEmulatedStep(t, out, symbolOf(t, out, "main"), maxSteps)
			all.report(t, atLeast)
		})
	}
}

package stack

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"sysprof/profile/stack/foreign"
	"testing"

	"sysprof/syscalltab/needs"
)

// compile builds a C program and returns its path.
func compile(t testing.TB, source string, flags ...string) string {
	t.Helper()
	return compileWith(t, needs.C(t), source, flags...)
}

func compileWith(t testing.TB, compiler, source string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "target")
	args := append([]string{"-o", out, source, "-lm"}, flags...)
	if msg, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", compiler, args, err, msg)
	}
	return out
}

// openMapping opens files by name: the tests run where the targets run.
func openMapping(m *Mapping) (File, error) {
	name, err := foreign.Here(m.Path)
	if err != nil {
		return nil, err
	}
	return name.OpenAndClose()
}

// procMemory reads /proc/PID/mem.
type procMemory struct{ f *os.File }

func (m procMemory) ReadMemory(p []byte, addr uint64) int {
	n, _ := m.f.ReadAt(p, int64(addr))
	return n
}

// A tracee is a child that stops at each system call. All use must be on one thread.
type tracee struct {
	t    testing.TB
	cmd  *exec.Cmd
	pid  int
	mem  procMemory
	out  *bufio.Reader
	tids map[int]bool // seen; true: inside a call
}

const traceOptions = syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEFORK |
	syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACEEXEC | 0x100000 /* PTRACE_O_EXITKILL */

// trace starts a program under ptrace. The caller's goroutine stays on its thread.
func trace(t testing.TB, path string, args ...string) *tracee {
	t.Helper()
	tr := startTraced(t, path, args...)
	if err := syscall.PtraceSyscall(tr.pid, 0); err != nil {
		t.Fatal(err)
	}
	return tr
}

// startTraced is trace for a program that is to stand before its first instruction.
func startTraced(t testing.TB, path string, args ...string) *tracee {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	tr := &tracee{t: t, cmd: cmd, pid: cmd.Process.Pid, out: bufio.NewReaderSize(r, 1<<20), tids: map[int]bool{}}
	t.Cleanup(func() {
		cmd.Process.Kill()
		// The first thread's end is told when those of all others have been taken.
		for {
			var ws syscall.WaitStatus
			if tid, err := syscall.Wait4(-1, &ws, syscall.WALL, nil); err != nil || tid == tr.pid && !ws.Stopped() {
				break
			}
		}
		r.Close()
		tr.mem.f.Close()
	})
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(tr.pid, &ws, syscall.WALL, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceSetOptions(tr.pid, traceOptions); err != nil {
		t.Fatal(err)
	}
	if tr.mem.f, err = os.Open(fmt.Sprintf("/proc/%d/mem", tr.pid)); err != nil {
		t.Fatal(err)
	}
	return tr
}

// calls runs the program until it ends and calls visit at each entry to a system call.
func (tr *tracee) calls(visit func(tid int, regs *syscall.PtraceRegs)) {
	tr.t.Helper()
	for {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, syscall.WALL, nil)
		if err != nil {
			return
		}
		signal := 0
		switch {
		case !ws.Stopped():
			delete(tr.tids, tid)
			if tid == tr.pid {
				return
			}
			continue
		case ws.StopSignal() == syscall.SIGTRAP|0x80:
			if tr.tids[tid] = !tr.tids[tid]; tr.tids[tid] {
				var regs syscall.PtraceRegs
				switch err := syscall.PtraceGetRegs(tid, &regs); err {
				case nil:
					visit(tid, &regs)
				case syscall.ESRCH: // another thread ends the process
					continue
				default:
					tr.t.Fatal(err)
				}
			}
		case ws.TrapCause() == syscall.PTRACE_EVENT_EXEC:
			// The call's exit follows.
		case ws.StopSignal() == syscall.SIGTRAP, ws.StopSignal() == syscall.SIGSTOP:
		default:
			signal = int(ws.StopSignal())
		}
		syscall.PtraceSyscall(tid, signal) // it may have been killed
	}
}

func (tr *tracee) maps() []Mapping {
	tr.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", tr.pid))
	if err != nil {
		tr.t.Fatal(err)
	}
	defer f.Close()
	maps, err := parseMaps(f)
	if err != nil {
		tr.t.Fatal(err)
	}
	return maps
}

// window reads the stack as the profiler does: one piece at the stack pointer.
func (tr *tracee) window(w *Window, sp uint64) {
	buf := make([]byte, windowSize)
	n := tr.mem.ReadMemory(buf, sp)
	w.Reset(tr.mem, sp, buf[:n])
}

func (tr *tracee) readLine() string {
	tr.t.Helper()
	line, err := tr.out.ReadString('\n')
	if err != nil && err != io.EOF {
		tr.t.Fatal(err)
	}
	return line
}

func convertRegs(r *syscall.PtraceRegs) *Regs {
	return &Regs{Arch: AMD64, AfterCall: true, IP: r.Rip, R: [maxRegs]uint64{
		AMD64Rax: r.Rax, AMD64Rdx: r.Rdx, AMD64Rcx: r.Rcx, AMD64Rbx: r.Rbx, AMD64Rsi: r.Rsi, AMD64Rdi: r.Rdi,
		AMD64Rbp: r.Rbp, AMD64Rsp: r.Rsp, AMD64R8: r.R8, AMD64R9: r.R9, AMD64R10: r.R10, AMD64R11: r.R11,
		AMD64R12: r.R12, AMD64R13: r.R13, AMD64R14: r.R14, AMD64R15: r.R15,
	}}
}

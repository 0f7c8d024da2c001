//go:build strace_oracle

package stack

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sysprof/syscalltab/needs"
)

// What to run: SYSPROF_STRACE="git status", or these.
var straceCommands = [][]string{
	{"/bin/ls", "-l", "/"},
	{"/usr/bin/git", "--no-pager", "log", "-1"},
	{"/bin/bash", "-c", "echo $(true) | cat"},
	{"/usr/bin/python3.11", "-S", "-c", "import json, subprocess; subprocess.run(['true'])"},
	{"/usr/bin/gdb", "--batch", "-nx", "-ex", "info functions mai"},
}

// TestStacksEqualStrace compares the sets of distinct stacks with those of strace -k.
func TestStacksEqualStrace(t *testing.T) {
	commands := straceCommands
	if s := os.Getenv("SYSPROF_STRACE"); s != "" {
		commands = [][]string{strings.Fields(s)}
	}
	for _, command := range commands {
		t.Run(filepath.Base(command[0]), func(t *testing.T) {
			got, ends := ourStacks(t, command)
			if os.Getenv("SYSPROF_STRACE_ONLY") == "ours" {
				t.Log(len(got), ends)
				return
			}
			want := straceStacks(t, command)
			// strace's unwinder stops in the middle of programs that LLD has linked (Rust's, by default),
			// where gdb and we reach the outermost frame.
			longer := map[string]string{} // ours by those of its beginnings that are strace's
			for s := range got {
				for i := range s {
					if s[i] == '\n' && want[s[:i]] > 0 {
						longer[s[:i]] = s
					}
				}
			}
			both, cut, missing, extra := 0, 0, 0, 0
			goesOn := map[string]bool{}
			for s := range want {
				switch {
				case got[s] > 0:
					both++
				case longer[s] != "" && strings.Contains(s, "\n"):
					cut++
					goesOn[s] = true
				default:
					if missing++; missing <= 3 {
						t.Logf("only strace (%d×):\n%s", want[s], s)
					}
				}
			}
			for s := range got {
				begins := false
				for i := range s {
					begins = begins || s[i] == '\n' && goesOn[s[:i]]
				}
				if want[s] == 0 && !begins {
					if extra++; extra <= 3 {
						t.Logf("only we (%d×):\n%s", got[s], s)
					}
				}
			}
			// Left over: execve, after which strace reads the new program's stack; sigreturn,
			// after which it reads the interrupted one's; threads that met a lock or not.
			if missing > 5+both/50 {
				t.Errorf("%d of strace's stacks are not ours", missing)
			}
			t.Logf("%d stacks in both, %d that strace cuts short, %d only in strace's, %d only in ours; our ends: %v",
				both, cut, missing, extra, ends)
		})
	}
}

func straceStacks(t *testing.T, command []string) map[string]int {
	out := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("setarch", append([]string{"-R", needs.Program(t, "strace", "strace"), "-f", "-k", "-o", out}, command...)...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stacks := map[string]int{}
	var frames []string
	flush := func() {
		if len(frames) > 0 {
			stacks[strings.Join(frames, "\n")]++
		}
		frames = nil
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if !strings.HasPrefix(line, " > ") {
			flush()
			continue
		}
		end := strings.LastIndex(line, "[0x")
		open := strings.IndexByte(line, '(')
		if strings.Contains(line, "unexpected_backtracing_error") {
			continue // it ends here, for no reason
		}
		if end < 0 || open < 0 {
			frames = append(frames, line)
			continue
		}
		frames = append(frames, line[3:open]+"+"+strings.Trim(line[end:], "[]"))
	}
	flush()
	return stacks
}

// sigreturnOffset is the address to which signal handlers return, in Debian 12's libc.
const sigreturnOffset = "libc.so.6+0x3c050"

func ourStacks(t *testing.T, command []string) (map[string]int, map[Reason]int) {
	stacks, ends := map[string]int{}, map[Reason]int{}
	tr := trace(t, "/usr/bin/setarch", append([]string{"-R"}, command...)...)
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := tr.out.Read(buf); err != nil {
				return
			}
		}
	}()
	objects := NewObjects(openMapping, 0, 0)
	defer objects.Close()
	u := NewUnwinder()
	var win Window
	skip := true
	tr.calls(func(tid int, regs *syscall.PtraceRegs) {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", tid)); strings.HasSuffix(exe, "setarch") && skip {
			return
		}
		skip = false
		f, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
		if err != nil {
			return
		}
		defer f.Close()
		mf, _ := os.Open(fmt.Sprintf("/proc/%d/maps", tid))
		maps, _ := parseMaps(mf)
		mf.Close()
		r := convertRegs(regs)
		buf := make([]byte, windowSize)
		mem := procMemory{f}
		win.Reset(mem, r.SP(), buf[:mem.ReadMemory(buf, r.SP())])
		frames := make([]uint64, 256)
		space := NewSpace(objects, maps)
		n, end := u.Unwind(space, r, &win, frames)
		ends[end]++
		if end != Bottom && ends[end] < 4 {
			t.Logf("%v: call %d, sp %#x, bp %#x, frames %#x", end, regs.Orig_rax, regs.Rsp, regs.Rbp, frames[:n])
		}
		var lines []string
		for i, frame := range frames[:n] {
			pc, mark := Frame(frame)
			if mark != 0 && i > 0 {
				pc--
			}
			// Where a signal interrupted, strace shows the place itself, we the next one.
			if i > 0 && strings.HasSuffix(lines[i-1], sigreturnOffset) {
				pc--
			}
			m, ok := space.Mapping(pc - 1)
			if !ok {
				lines = append(lines, "?")
				continue
			}
			lines = append(lines, fmt.Sprintf("%s+0x%x", m.Path, pc-m.Start+m.Offset))
		}
		stacks[strings.Join(lines, "\n")]++
	})
	return stacks, ends
}

package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/cmd/sysprof/internal/origin"
	"sysprof/syscalltab/needs"
)

// The target prepares the state that a program inherits, and then becomes that program. Its
// arguments say how, up to "--"; what follows is the program. Nothing of Go's is left: the raw calls
// change what the kernel has.
var _ = drive.Target("prepare", func(args []string) {
	runtime.LockOSThread()
	end := slices.Index(args, "--")
	var blocked uint64
	var queued uint64
	var more []string
	for _, arg := range args[:end] {
		key, value, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "ignore":
			action := [4]uint64{1} // SIG_IGN
			raw(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8)
		case "block":
			blocked |= 1 << (n - 1)
			raw(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&blocked)), 0, 8)
		case "pending": // for this thread: of those for the process, another thread takes what it does not block
			raw(unix.SYS_TGKILL, uintptr(unix.Getpid()), uintptr(unix.Gettid()), uintptr(n), 0)
		case "queue": // with a value: 100, 101 and so on
			const siQueue = 0xffffffff // SI_QUEUE, which is -1
			info := [16]uint64{uint64(n), siQueue, 0, 100 + queued}
			raw(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(unix.Getpid()), uintptr(unix.Gettid()), uintptr(n), uintptr(unsafe.Pointer(&info)))
			queued++
		case "close":
			raw(unix.SYS_CLOSE, uintptr(n), 0, 0, 0)
		case "nofile":
			drive.Must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: uint64(n) * 2}))
		case "env":
			more = append(more, value)
		case "umask":
			unix.Umask(n)
		case "cd":
			drive.Must(os.Chdir(value))
		case "open":
			fd, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
			drive.Must(err)
			drive.Must(unix.Dup3(fd, n, 0))
		default:
			panic(arg)
		}
	}
	argv, err := syscall.SlicePtrFromStrings(args[end+1:])
	drive.Must(err)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, drive.TargetEnv) || e == noPreemption })
	envp, err := syscall.SlicePtrFromStrings(append(env, more...))
	drive.Must(err)
	// Not syscall.Exec, which restores the limit of open files that the runtime found.
	raw(unix.SYS_EXECVE, uintptr(unsafe.Pointer(argv[0])), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), 0)
})

// prepared is a command that prepares the state which the program after "--" inherits.
func prepared(args ...string) *exec.Cmd {
	cmd := drive.As(exec.Command(drive.Self(), args...), "prepare")
	cmd.Env = append(cmd.Env, noPreemption)
	return cmd
}

// noPreemption has the runtime of a target send no signal of its own: it would stay pending where it is blocked.
const noPreemption = "GODEBUG=asyncpreemptoff=1"

//go:uintptrescapes
func raw(nr, a, b, c, d uintptr) {
	if _, _, errno := syscall.RawSyscall6(nr, a, b, c, d, 0, 0); errno != 0 {
		panic(fmt.Sprintf("system call %d: %v", nr, errno))
	}
}

// What of /proc/PID/status, and of the rest that is printed, differs between any two runs.
// (Where threads may run is not hidden in /proc while they are placed. They are told the truth when they ask for it.)
var byChance = regexp.MustCompile(`(?m)^(Name|Pid|Tgid|NStgid|NSpid|NSpgid|PPid|TracerPid|Vm\w+|Rss\w+|HugetlbPages|voluntary_ctxt_switches|nonvoluntary_ctxt_switches|x86_Thread_features\w*|SigQ|THP_enabled|CoreDumping|State|Cpus_allowed\w*):.*\n`)

// sendSelf comes before the signals that a shell, which has one thread, sends to its own process before it becomes the
// program.
const sendSelf = "shell sends "

// TestCommandInherits runs a command directly and under sysprof, from the same prepared state, and
// demands that the command sees the same.
func TestCommandInherits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	state := []string{"/bin/cat", "/proc/self/status", "/proc/self/limits", "/proc/self/coredump_filter", "/proc/self/oom_score_adj", "/proc/self/cmdline", "/proc/self/personality", "/proc/self/timerslack_ns"}
	descriptors := []string{"/bin/ls", "-l", "--time-style=+", "/proc/self/fd"}
	for _, test := range []struct {
		name    string
		prepare string
		command []string
		shows   string // what the output must contain, or the case is no test
	}{
		{"nothing special", "", state, "SigIgn:\t0000000000000000"},
		{"ignored signals", "ignore=1 ignore=2 ignore=10 ignore=13 ignore=17 ignore=20 ignore=33 ignore=40 ignore=64", state, "SigIgn:\t8000008100091203"},
		{"all of Go's signals ignored", "ignore=15 ignore=23 ignore=27 ignore=28", state, "SigIgn:\t000000000c404000"},
		{"a signal mask", "block=10 block=12 block=15 block=2 block=34", state, "SigBlk:\t0000000200004a02"},
		{"pending signals", "block=10 block=12 block=40 pending=12 pending=40", state, "SigPnd:\t0000008000000800"},
		{"pending signals that end programs", "block=1 block=2 block=3 block=14 block=15 block=24 block=31 pending=1 pending=2 pending=3 pending=14 pending=15 pending=24 pending=31", state, "SigPnd:\t0000000040806007"},
		{"pending signals that Go unblocks", "block=6 block=8 block=11 block=17 block=23 block=27 block=34 pending=6 pending=8 pending=11 pending=17 pending=23 pending=27 pending=34", state, "SigPnd:\t00000002044104a0"},
		{"a pending signal that stops programs", "block=20 block=21 pending=20 pending=21", state, "SigPnd:\t0000000000180000"},
		{"a pending signal that continues programs", "block=18 pending=18", state, "SigPnd:\t0000000000020000"},
		{"signals pending for the process", "block=1 block=15 block=18 block=23 block=40 pending=15 " + sendSelf + "1,15,18,23,40", state, "ShdPnd:\t0000008000424001"},
		{"a limit of open files", "nofile=123", state, "Max open files            123                  246"},
		{"a mask of file modes", "umask=23", state, "Umask:\t0027"},
		{"working directory", "cd=/usr", []string{"/bin/ls", "-l", "--time-style=+", "/proc/self/cwd"}, "-> /usr"},
		{"environment", "", []string{"/usr/bin/env"}, "SYSPROF_TEST_MARK=x y"},
		{"unusual environment", "env=A=1 env=B=2 env=A=3 env= env=C env==4", []string{"/bin/cat", "/proc/self/environ"}, "\x00A=1\x00B=2\x00A=3\x00\x00C\x00=4\x00"},
		{"descriptors", "", descriptors, "0 ->"},
		{"stdin is closed", "close=0", descriptors, "1 ->"},
		{"stderr is closed", "close=2", descriptors, "1 ->"},
		{"stdin and stderr are closed", "close=0 close=2", descriptors, "1 ->"},
		{"stdout is closed", "close=1", []string{"/bin/sh", "-c", "ls -l --time-style=+ /proc/$$/fd > " + file}, ""},
		{"all are closed", "close=0 close=1 close=2", []string{"/bin/sh", "-c", "ls -l --time-style=+ /proc/$$/fd > " + file}, ""},
		{"more descriptors are open", "open=60 open=63", descriptors, "63 -> /etc/passwd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := filepath.Join(t.TempDir(), "table")
			see := func(tracer ...string) string {
				os.Remove(file)
				prepare, toProcess, _ := strings.Cut(test.prepare, sendSelf)
				args := append(strings.Fields(prepare), "--")
				if toProcess != "" {
					args = append(args, "/bin/sh", "-c", `for sig in $0; do kill -$sig $$; done; exec "$@"`, strings.ReplaceAll(toProcess, ",", " "))
				}
				args = append(append(args, tracer...), test.command...)
				cmd := prepared(args...)
				cmd.Env = append(cmd.Env, "SYSPROF_TEST_MARK=x y")
				o := drive.Run(t, cmd)
				o.Exited(t, 0)
				seen := o.Stdout + drive.Read(file)
				if seen == "" {
					t.Fatalf("the command has written nothing; stderr: %s", o.Stderr)
				}
				seen = byChance.ReplaceAllString(seen, "")
				seen = regexp.MustCompile(`/proc/\d+`).ReplaceAllString(seen, "/proc/PID")
				seen = regexp.MustCompile(`pipe:\[\d+\]`).ReplaceAllString(seen, "a pipe")
				return seen
			}
			untraced := see()
			if !strings.Contains(untraced, test.shows) {
				t.Fatalf("the case is no test: the output has no %q:\n%s", test.shows, untraced)
			}
			traced := see(drive.Program(t), "-c", "-o", table)
			if traced != untraced {
				t.Errorf("the command sees something else under sysprof:\n%s", differing(untraced, traced))
			}
			drive.HasTable(t, drive.Read(table), 1)
		})
	}
}

// The target says what came with the signals that were pending when it was executed. As the test binary has package
// origin, that has taken them.
var _ = drive.Target("pending", func(args []string) {
	for _, p := range origin.Of().Pending {
		fmt.Printf("signal %d, si_code %d, value %d\n", p.Signal(), int32(p.Info[1]), p.Info[3])
	}
})

// What came with a pending signal, and how often it is pending, is the command's, too.
func TestCommandInheritsQueuedSignals(t *testing.T) {
	if origin.Of() == nil {
		t.Skip("a test binary with the race detector has no package origin")
	}
	see := func(tracer ...string) string {
		args := append([]string{"block=40", "queue=40", "queue=40", "queue=40", "env=" + drive.TargetEnv + "=pending", "--"}, tracer...)
		o := drive.Run(t, prepared(append(args, drive.Self())...))
		o.Exited(t, 0)
		return o.Stdout
	}
	untraced := see()
	if want := "signal 40, si_code -1, value 100\nsignal 40, si_code -1, value 101\nsignal 40, si_code -1, value 102\n"; untraced != want {
		t.Fatalf("the case is no test: the command says %q, want %q", untraced, want)
	}
	if traced := see(drive.Program(t), "-c"); traced != untraced {
		t.Errorf("the command says %q under sysprof, want %q", traced, untraced)
	}
}

// differing lists the lines that only one of two texts has.
func differing(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out strings.Builder
	for _, line := range as {
		if !slices.Contains(bs, line) {
			fmt.Fprintf(&out, "- %s\n", line)
		}
	}
	for _, line := range bs {
		if !slices.Contains(as, line) {
			fmt.Fprintf(&out, "+ %s\n", line)
		}
	}
	return out.String()
}

func TestCommandStaysInTheProcessGroup(t *testing.T) {
	cmd := drive.Sysprof(t, "cat", "/proc/self/stat")
	o := drive.Run(t, cmd)
	fields := strings.Fields(o.Stdout)
	own := strings.Fields(drive.Read("/proc/self/stat"))
	if len(fields) < 8 || fields[4] != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("the command's process group is %v, want %d", fields[4], cmd.Process.Pid)
	}
	if fields[3] != strconv.Itoa(cmd.Process.Pid) || fields[5] != own[5] || fields[6] != own[6] || fields[17] != own[17] || fields[18] != own[18] {
		t.Errorf("parent, session, terminal, priority or nice value differ:\n%v\n%v", fields, own)
	}
}

func TestSysprofKeepsNoPipeOfTheCommandOpen(t *testing.T) {
	for _, test := range []struct{ name, descriptor string }{
		{"stdout", "1"}, {"stderr", "2"}, {"another", "5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, hold, err := os.Pipe()
			drive.Must(err)
			defer hold.Close()
			r, w, err := os.Pipe()
			drive.Must(err)
			defer r.Close()
			script := "exec " + test.descriptor + ">&-; read x; exit 3"
			cmd := drive.Sysprof(t, "-o", filepath.Join(t.TempDir(), "table"), "sh", "-c", script)
			cmd.Stdin = in
			switch test.descriptor {
			case "1":
				cmd.Stdout = w
			case "2":
				cmd.Stderr = w
			default:
				cmd.ExtraFiles = []*os.File{nil, nil, w}
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { drive.Kill(cmd.Process.Pid) })
			w.Close()
			in.Close()
			r.SetReadDeadline(time.Now().Add(drive.Patience))
			if data, err := io.ReadAll(r); err != nil || len(data) > 0 {
				t.Errorf("the reader sees %q, %v; want the end of the file", data, err)
			}
			if drive.StatusOf(cmd.Process.Pid, "State") == "" {
				t.Error("sysprof has ended before the test could see anything")
			}
			hold.WriteString("x\n")
			(drive.Outcome{Status: drive.WaitFor(t, cmd)}).Exited(t, 3)
		})
	}
	t.Run("stdin", func(t *testing.T) {
		s := drive.Start(t, drive.Sysprof(t, "sh", "-c", "exec <&-; echo closed; exec sleep 60"))
		s.Expect("closed")
		drive.Eventually(t, "writing to the command's stdin fails", func() bool {
			_, err := s.In.WriteString("x")
			return err != nil
		})
		s.Signal(unix.SIGTERM)
		drive.Died(t, s.End(), unix.SIGTERM)
	})
}

func TestUser(t *testing.T) {
	needs.Root(t)
	member := memberOfGroups(t)
	for _, name := range []string{"nobody", "daemon", member} {
		t.Run("by name "+name, func(t *testing.T) {
			want := drive.Run(t, exec.Command("id", name))
			o := drive.Run(t, drive.Sysprof(t, "-u", name, "id"))
			o.Exited(t, 0)
			if sorted(o.Stdout) != sorted(want.Stdout) || o.Stdout == "" {
				t.Errorf("id under sysprof -u %s says %q, want %q", name, o.Stdout, want.Stdout)
			}
		})
	}
	t.Run("by numbers", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "--user=4711:4712", "id"))
		o.Exited(t, 0)
		if want := "uid=4711 gid=4712 groups=4712\n"; o.Stdout != want {
			t.Errorf("id says %q, want %q", o.Stdout, want)
		}
	})
}

// memberOfGroups finds a user with more than one group, else root.
func memberOfGroups(t *testing.T) string {
	for line := range strings.Lines(drive.Read("/etc/group")) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 4 && fields[3] != "" {
			return strings.Split(fields[3], ",")[0]
		}
	}
	return "root"
}

// sorted sorts the groups in id's output.
func sorted(id string) string {
	parts := strings.FieldsFunc(strings.TrimSpace(id), func(r rune) bool { return strings.ContainsRune(" ,=", r) })
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestEnvironmentAndName(t *testing.T) {
	cmd := drive.Sysprof(t, "-E", "SET=a=b c", "-E", "GONE", "-E", "EMPTY=", "--env=AGAIN=1", "-EAGAIN=2", "--argv0=other name", "/bin/sh", "-c",
		`echo "$0|$SET|${GONE-unset}|${EMPTY-unset}|$AGAIN"; tr "\0" "|" < /proc/$$/cmdline`)
	cmd.Env = append(os.Environ(), "GONE=here", "AGAIN=0")
	o := drive.Run(t, cmd)
	o.Exited(t, 0)
	first, rest, _ := strings.Cut(o.Stdout, "\n")
	if want := "other name|a=b c|unset||2"; first != want {
		t.Errorf("the command says %q, want %q", first, want)
	}
	if !strings.HasPrefix(rest, "other name|-c|") {
		t.Errorf("the command's arguments are %q", rest)
	}
}

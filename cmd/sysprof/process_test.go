package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// These tests run the real program, as it is built for users: much of what they demand is about
// processes, and about what the Go runtime of a test binary would have changed already. They are in
// a package of their own because they see no more of sysprof than a user does.
//
// The commands that are traced are the system's, or the test binary itself, as a target.

const targetEnv = "SYSPROF_TEST_TARGET"

var patience = needs.Patience() // how long any wait may last

// targets are what the test binary does when it is started as a target.
var targets = map[string]func(args []string){}

func target(name string, f func(args []string)) struct{} {
	if targets[name] != nil {
		panic("there are two targets called " + name)
	}
	targets[name] = f
	return struct{}{}
}

var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	if name := os.Getenv(targetEnv); name != "" {
		time.AfterFunc(2*patience+2*soakLength(), func() { os.Exit(99) }) // nothing is left behind
		targets[name](os.Args[1:])
		os.Exit(0)
	}
	// Where the tests run by nohup(1), or in the background of a script, these are ignored, and would be so
	// in every process that is started here. A handler is not inherited.
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	os.Setenv("LC_ALL", "C.UTF-8") // whatever the locale is that the tests are run in
	status := m.Run()
	if binary.dir != "" {
		os.RemoveAll(binary.dir)
	}
	os.Exit(status)
}

// program returns the path of sysprof, built as a user would.
func program(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "sysprof-test"); binary.err != nil {
			return
		}
		if err := os.Chmod(binary.dir, 0o755); err != nil { // for -u
			binary.err = err
			return
		}
		if out, err := exec.Command("go", "build", "-o", binary.dir, ".").CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("build sysprof: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "sysprof")
}

// sysprof is the command that runs sysprof -c, whose table is the easiest to read for a program.
func sysprof(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return plain(t, append([]string{"-c"}, args...)...)
}

// plain is the command that runs sysprof.
func plain(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(program(t), args...)
}

// self is the test binary, self and its arguments a target.
func self() string {
	path, err := os.Executable()
	must(err)
	return path
}

// as makes a command start the target name wherever it starts the test binary.
func as(cmd *exec.Cmd, name string) *exec.Cmd {
	cmd.Env = append(cmd.Environ(), targetEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// outcome is what came of a command.
type outcome struct {
	stdout, stderr string
	status         syscall.WaitStatus
}

// run runs a command to its end.
func run(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	cmd.WaitDelay = patience
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	status := waitFor(t, cmd)
	return outcome{stdout.String(), stderr.String(), status}
}

// waitFor waits for the end of a command.
func waitFor(t *testing.T, cmd *exec.Cmd) syscall.WaitStatus {
	t.Helper()
	pid := cmd.Process.Pid
	tooLong := time.AfterFunc(patience, func() { kill(pid) })
	err := cmd.Wait()
	if !tooLong.Stop() {
		t.Fatalf("%s does not end", cmd)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// kill kills a process and its process group.
//
// If it has been waited for, its number may be another one's by now, which tests beside this one have started.
func kill(pid int) {
	if parent := status(pid, "PPid"); parent != "" && parent != strconv.Itoa(os.Getpid()) {
		return
	}
	unix.Kill(-pid, unix.SIGKILL)
	unix.Kill(pid, unix.SIGKILL)
}

// exited demands an exit status.
func (o outcome) exited(t *testing.T, status int) {
	t.Helper()
	if !o.status.Exited() || o.status.ExitStatus() != status {
		t.Errorf("%s; want exit status %d\n%s", describe(o.status), status, o.stderr)
	}
}

// died demands a death by a signal.
func died(t *testing.T, status syscall.WaitStatus, sig syscall.Signal) {
	t.Helper()
	if !status.Signaled() || status.Signal() != sig {
		t.Errorf("%s; want death by %v", describe(status), sig)
	}
	if status.CoreDump() {
		t.Error("sysprof dumped core")
	}
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("died of %v", s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// row finds the calls and errors of a call in a table.
func row(table, call string) (calls, errs int, ok bool) {
	line := regexp.MustCompile(`(?m)^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) +([0-9]*) *` + regexp.QuoteMeta(call) + `$`)
	m := line.FindStringSubmatch(table)
	if m == nil {
		return 0, 0, false
	}
	calls, _ = strconv.Atoi(m[1])
	errs, _ = strconv.Atoi(m[2])
	return calls, errs, true
}

// hasTable demands that text has whole tables, that many.
func hasTable(t *testing.T, text string, want int) {
	t.Helper()
	heads, totals := strings.Count(text, "% time "), strings.Count(text, " total\n")
	if heads != want || totals != want {
		t.Errorf("%d heads and %d totals of tables, want %d\n%s", heads, totals, want, text)
	}
}

// hasTableOfAMoment is hasTable of a run so short that no call may have returned in it, where others use the CPUs.
func hasTableOfAMoment(t *testing.T, text string) {
	t.Helper()
	if strings.Count(text, "no system calls were counted\n") != 1 {
		hasTable(t, text, 1)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// talk is a running command that the test talks with, through its stdin and stdout.
type talk struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     *os.File
	out    *os.File
	lines  *bufio.Reader
	stderr string // a file
	ended  bool
}

// start starts a command. Its stderr goes to a file, so that it can be read while it is written.
func start(t *testing.T, cmd *exec.Cmd) *talk {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	stderr.Close()
	k := &talk{t: t, cmd: cmd, in: inW, out: outR, lines: bufio.NewReader(outR), stderr: stderr.Name()}
	t.Cleanup(func() {
		kill(cmd.Process.Pid)
		if !k.ended {
			cmd.Wait()
		}
		inW.Close()
		outR.Close()
	})
	return k
}

func (k *talk) pid() int { return k.cmd.Process.Pid }

func (k *talk) line() string {
	k.t.Helper()
	k.out.SetReadDeadline(time.Now().Add(patience))
	line, err := k.lines.ReadString('\n')
	if err != nil {
		k.t.Fatalf("no answer: %v\n%s", err, k.written())
	}
	return strings.TrimSuffix(line, "\n")
}

func (k *talk) expect(want string) {
	k.t.Helper()
	if got := k.line(); got != want {
		k.t.Fatalf("the command says %q, want %q", got, want)
	}
}

func (k *talk) say(line string) {
	k.t.Helper()
	if _, err := k.in.WriteString(line + "\n"); err != nil {
		k.t.Fatal(err)
	}
}

// alive demands that the target answers.
func (k *talk) alive() {
	k.t.Helper()
	k.say("echo")
	k.expect("echo")
}

// end waits for the end of the command.
func (k *talk) end() syscall.WaitStatus {
	k.t.Helper()
	k.ended = true
	return waitFor(k.t, k.cmd)
}

// written is what has been written to stderr so far.
func (k *talk) written() string { return read(k.stderr) }

func read(file string) string {
	data, _ := os.ReadFile(file)
	return string(data)
}

func (k *talk) signal(sig syscall.Signal) {
	k.t.Helper()
	if err := unix.Kill(k.pid(), sig); err != nil {
		k.t.Fatal(err)
	}
}

// status returns a line of /proc/PID/status.
func status(pid int, name string) string {
	for line := range strings.Lines(read(fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// tracedBy returns the process that traces pid.
func tracedBy(pid int) int {
	tracer, _ := strconv.Atoi(status(pid, "TracerPid"))
	n, _ := strconv.Atoi(status(tracer, "Tgid"))
	return n
}

// The target says its process id, and then whatever it is told; "end" ends it.
var _ = target("echo", func(args []string) {
	fmt.Println(os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && lines.Text() != "end"; {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		fmt.Println(lines.Text())
	}
})

// counted is how often each signal came.
type counted map[string]int

// The target counts signals, and says each. At the one that is its first argument, it prints the
// counts and exits with its second argument.
var _ = target("signals", func(args []string) {
	got := make(chan os.Signal, 100)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	fmt.Println(os.Getpid())
	counts := counted{}
	for sig := range got {
		name := unix.SignalName(sig.(syscall.Signal))
		if counts[name]++; name == args[0] {
			break
		}
		fmt.Println(name)
	}
	data, err := json.Marshal(counts)
	must(err)
	fmt.Println(string(data))
	code, err := strconv.Atoi(args[1])
	must(err)
	os.Exit(code)
})

func TestProgramHasNoCgo(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "sysprof/ptrace") {
		t.Fatalf("no list of dependencies: %q", deps)
	}
	for _, not := range []string{"runtime/cgo", "net", "os/user"} {
		if slices.Contains(deps, not) {
			t.Errorf("sysprof depends on %s, which needs cgo (see package origin)", not)
		}
	}
}

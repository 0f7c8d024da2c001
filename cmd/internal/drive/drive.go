// Package drive is what tests run sysprof with, and look at what comes of it. They run the real program, as it is built for
// users: much of what they demand is about processes, and about what the Go runtime of a test binary would have changed
// already. They see no more of sysprof than a user does.
//
// The commands that are traced are the system's, or the test binary itself, as a target (see Target). What only one
// package of tests needs is there, not here.
package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// TargetEnv names the target that the test binary is started as.
const TargetEnv = "SYSPROF_TEST_TARGET"

// Patience is how long any wait may last.
var Patience = needs.Patience()

// Targets are what the test binary does when it is started as a target.
var Targets = map[string]func(args []string){}

// Target has the test binary do f with its arguments when it is started as that target.
func Target(name string, f func(args []string)) struct{} {
	if Targets[name] != nil {
		panic("there are two targets called " + name)
	}
	Targets[name] = f
	return struct{}{}
}

var binary struct {
	once     sync.Once
	dir      string
	err      error
	building sync.Mutex // of what is built beside it
}

// Main runs the tests of a package, or the target that the test binary is started as, which may live for so long.
func Main(m *testing.M, alive time.Duration) {
	if name := os.Getenv(TargetEnv); name != "" {
		time.AfterFunc(2*Patience+alive, func() { os.Exit(99) }) // nothing is left behind
		Targets[name](os.Args[1:])
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

// Program returns the path of sysprof, built as a user would, but with no version stamped on it: git refuses to tell of the
// checkout of somebody else.
func Program(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "sysprof-test"); binary.err != nil {
			return
		}
		if err := os.Chmod(binary.dir, 0o755); err != nil { // for -u
			binary.err = err
			return
		}
		seeSources()
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary.dir, "sysprof/cmd/sysprof").CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("build sysprof: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "sysprof")
}

// seeSources looks at all that the programs of this module are made of. The go command takes a test for passed that has passed
// before as long as the files that the test has looked at are the same (go help test), and does not know those that go build reads.
func seeSources() {
	root, _ := os.Getwd() // that of the test's package
	for root != "/" && !exists(filepath.Join(root, "go.mod")) {
		root = filepath.Dir(root)
	}
	if root == "/" { // the sources are elsewhere, and so is the go command
		return
	}
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != root && (entry.Name()[0] == '.' || entry.Name() == "bench") {
			return fs.SkipDir
		}
		return nil
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ProgramWith builds another program of this module beside sysprof, as sysprof-live, and returns the path of sysprof.
func ProgramWith(t *testing.T, name string) string {
	t.Helper()
	path := Program(t)
	binary.building.Lock()
	defer binary.building.Unlock()
	other := filepath.Join(filepath.Dir(path), name)
	if exists(other) {
		return path
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Dir(path), "sysprof/cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// Sysprof is the command that runs sysprof -c, whose table is the easiest to read for a program.
func Sysprof(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return Plain(t, append([]string{"-c"}, args...)...)
}

// Plain is the command that runs sysprof.
func Plain(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(Program(t), args...)
}

// Self is the test binary, self and its arguments a target.
func Self() string {
	path, err := os.Executable()
	Must(err)
	return path
}

// As makes a command start the target name wherever it starts the test binary.
func As(cmd *exec.Cmd, name string) *exec.Cmd {
	if Targets[name] == nil {
		panic("there is no target called " + name)
	}
	cmd.Env = append(cmd.Environ(), TargetEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// Must panics at an error, in a target.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Outcome is what came of a command.
type Outcome struct {
	Stdout, Stderr string
	Status         syscall.WaitStatus
}

// Run runs a command to its end.
func Run(t *testing.T, cmd *exec.Cmd) Outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	cmd.WaitDelay = Patience
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	status := WaitFor(t, cmd)
	return Outcome{stdout.String(), stderr.String(), status}
}

// WaitFor waits for the end of a command.
func WaitFor(t *testing.T, cmd *exec.Cmd) syscall.WaitStatus {
	t.Helper()
	pid := cmd.Process.Pid
	tooLong := time.AfterFunc(Patience, func() { Kill(pid) })
	err := cmd.Wait()
	if !tooLong.Stop() {
		t.Fatalf("%s does not end", cmd)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// Kill kills a process and its process group.
//
// If it has been waited for, its number may be another one's by now, which tests beside this one have started.
func Kill(pid int) {
	if parent := StatusOf(pid, "PPid"); parent != "" && parent != strconv.Itoa(os.Getpid()) {
		return
	}
	unix.Kill(-pid, unix.SIGKILL)
	unix.Kill(pid, unix.SIGKILL)
}

// Exited demands an exit status.
func (o Outcome) Exited(t *testing.T, status int) {
	t.Helper()
	if !o.Status.Exited() || o.Status.ExitStatus() != status {
		t.Errorf("%s; want exit status %d\n%s", Describe(o.Status), status, o.Stderr)
	}
}

// Died demands a death by a signal.
func Died(t *testing.T, status syscall.WaitStatus, sig syscall.Signal) {
	t.Helper()
	if !status.Signaled() || status.Signal() != sig {
		t.Errorf("%s; want death by %v", Describe(status), sig)
	}
	if status.CoreDump() {
		t.Error("sysprof dumped core")
	}
}

// Describe says how a process has ended.
func Describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("died of %v", s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// Row finds the calls and errors of a call in a table.
func Row(table, call string) (calls, errs int, ok bool) {
	line := regexp.MustCompile(`(?m)^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) +([0-9]*) *` + regexp.QuoteMeta(call) + `$`)
	m := line.FindStringSubmatch(table)
	if m == nil {
		return 0, 0, false
	}
	calls, _ = strconv.Atoi(m[1])
	errs, _ = strconv.Atoi(m[2])
	return calls, errs, true
}

// HasTable demands that text has whole tables, that many.
func HasTable(t *testing.T, text string, want int) {
	t.Helper()
	heads, totals := strings.Count(text, "% time "), strings.Count(text, " total\n")
	if heads != want || totals != want {
		t.Errorf("%d heads and %d totals of tables, want %d\n%s", heads, totals, want, text)
	}
}

// HasTableOfAMoment is hasTable of a run so short that no call may have returned in it, where others use the CPUs.
func HasTableOfAMoment(t *testing.T, text string) {
	t.Helper()
	if strings.Count(text, "no system calls were counted\n") != 1 {
		HasTable(t, text, 1)
	}
}

// Eventually waits for a condition.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

package drive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Read reads a file, which is empty if it cannot be read.
func Read(file string) string {
	data, _ := os.ReadFile(file)
	return string(data)
}

// StatusOf returns a line of /proc/PID/status.
func StatusOf(pid int, name string) string {
	for line := range strings.Lines(Read(fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TracedBy returns the process that traces pid.
func TracedBy(pid int) int {
	tracer, _ := strconv.Atoi(StatusOf(pid, "TracerPid"))
	n, _ := strconv.Atoi(StatusOf(tracer, "Tgid"))
	return n
}

// Threads returns the ids of pid's threads, none if there is no such process.
func Threads(pid int) []int {
	return NumberedEntries(fmt.Sprintf("/proc/%d/task", pid))
}

// NumberedEntries are the names of a folder that are numbers.
func NumberedEntries(dir string) (numbers []int) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// Family returns pid and all of its descendants.
func Family(pid int) []int {
	members := []int{pid}
	processes := NumberedEntries("/proc")
	for i := 0; i < len(members); i++ {
		parent := strconv.Itoa(members[i])
		for _, p := range processes {
			if p != pid && StatusOf(p, "PPid") == parent {
				members = append(members, p)
			}
		}
	}
	return members
}

// Untouched reports whether no thread of these processes is traced or stopped.
func Untouched(pids []int) bool {
	for _, pid := range pids {
		for _, tid := range Threads(pid) {
			tracer, state := StatusOf(tid, "TracerPid"), StatusOf(tid, "State")
			if tracer != "0" && tracer != "" || strings.HasPrefix(state, "T") || strings.HasPrefix(state, "t") {
				return false
			}
		}
	}
	return true
}

// Switches is how often each thread of these processes has gone to sleep, or stopped.
func Switches(pids []int) map[int]int {
	times := map[int]int{}
	for _, pid := range pids {
		for _, tid := range Threads(pid) {
			times[tid], _ = strconv.Atoi(StatusOf(tid, "voluntary_ctxt_switches"))
		}
	}
	return times
}

// Settled reports whether a tracer has attached to all threads of these processes, and has nothing to
// do: it waits for stops, and the threads sleep.
func Settled(tracer int, pids []int) bool {
	if !WaitsForStops(tracer) {
		return false
	}
	for _, pid := range pids {
		for _, tid := range Threads(pid) {
			if TracedBy(tid) != tracer || !strings.HasPrefix(StatusOf(tid, "State"), "S") {
				return false
			}
		}
	}
	return WaitsForStops(tracer)
}

// WaitsForStops reports whether a thread of process pid sleeps in wait4.
func WaitsForStops(pid int) bool {
	return slices.ContainsFunc(Threads(pid), func(tid int) bool {
		nr, _, _ := strings.Cut(Read(fmt.Sprintf("/proc/%d/syscall", tid)), " ")
		return nr == strconv.Itoa(unix.SYS_WAIT4)
	})
}

// SharedDir makes a temporary folder that other users can look into, unlike t.TempDir.
func SharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	Check(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// NotRoot makes a command run without root's rights: as this user, or as nobody if this is root.
func NotRoot() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return attr
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens at.
func FreePort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	Check(t, err)
	defer unix.Close(fd)
	Check(t, unix.Bind(fd, loopback(0)))
	addr, err := unix.Getsockname(fd)
	Check(t, err)
	return addr.(*unix.SockaddrInet4).Port
}

func loopback(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

// listening reports whether somebody accepts connections at a port of 127.0.0.1.
func listening(port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, loopback(port)) == nil
}

// Connected reports whether a server still has a connection open at a port of 127.0.0.1, be it one
// that its client has closed.
func Connected(port int) bool {
	const established, closeWait = "01", "08"
	local := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(Read("/proc/net/tcp")) {
		f := strings.Fields(line) // sl local_address rem_address st …
		if len(f) > 3 && f[1] == local && (f[3] == established || f[3] == closeWait) {
			return true
		}
	}
	return false
}

// StartServer starts a server in the foreground, waits until it listens, and ends it with the test,
// by stop first and by SIGKILL if that is of no use.
func StartServer(t *testing.T, cmd *exec.Cmd, port int, stop syscall.Signal) (pid int) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	Check(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	Check(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	pid = cmd.Process.Pid
	t.Cleanup(func() {
		members := Family(pid)
		cmd.Process.Signal(stop)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s did not end after %v", cmd, stop)
		}
		for _, member := range append(members, -pid) {
			syscall.Kill(member, syscall.SIGKILL)
		}
		<-ended
		if t.Failed() {
			text := Read(log.Name())
			t.Logf("%s wrote:\n%s", cmd, text[max(0, len(text)-4000):])
		}
	})
	Eventually(t, cmd.Path+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended:\n%s", cmd, Read(log.Name()))
		default:
		}
		return listening(port)
	})
	return pid
}

// CopyProgram copies a program.
func CopyProgram(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	Check(t, err)
	Check(t, os.WriteFile(to, data, 0o755))
}

// RunningFrom lists the processes that execute a file of a directory.
func RunningFrom(dir string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if file, err := os.Readlink(link); err == nil && filepath.Dir(file) == dir {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			Must(err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// CPUsOf lists the different sets of CPUs on which threads of a process may run.
func CPUsOf(pid int) (lists []string) {
	for _, tid := range Threads(pid) {
		lists = append(lists, StatusOf(tid, "Cpus_allowed_list"))
	}
	slices.Sort(lists)
	return slices.Compact(lists)
}

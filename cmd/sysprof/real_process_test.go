package main_test

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

// threads returns the ids of pid's threads, none if there is no such process.
func threads(pid int) []int {
	return numberedEntries(fmt.Sprintf("/proc/%d/task", pid))
}

func numberedEntries(dir string) (numbers []int) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// family returns pid and all of its descendants.
func family(pid int) []int {
	members := []int{pid}
	processes := numberedEntries("/proc")
	for i := 0; i < len(members); i++ {
		parent := strconv.Itoa(members[i])
		for _, p := range processes {
			if p != pid && status(p, "PPid") == parent {
				members = append(members, p)
			}
		}
	}
	return members
}

// untouched reports whether no thread of these processes is traced or stopped.
func untouched(pids []int) bool {
	for _, pid := range pids {
		for _, tid := range threads(pid) {
			tracer, state := status(tid, "TracerPid"), status(tid, "State")
			if tracer != "0" && tracer != "" || strings.HasPrefix(state, "T") || strings.HasPrefix(state, "t") {
				return false
			}
		}
	}
	return true
}

// switches is how often each thread of these processes has gone to sleep, or stopped.
func switches(pids []int) map[int]int {
	times := map[int]int{}
	for _, pid := range pids {
		for _, tid := range threads(pid) {
			times[tid], _ = strconv.Atoi(status(tid, "voluntary_ctxt_switches"))
		}
	}
	return times
}

// settled reports whether a tracer has attached to all threads of these processes, and has nothing to
// do: it waits for stops, and the threads sleep.
func settled(tracer int, pids []int) bool {
	if !waitsForStops(tracer) {
		return false
	}
	for _, pid := range pids {
		for _, tid := range threads(pid) {
			if tracedBy(tid) != tracer || !strings.HasPrefix(status(tid, "State"), "S") {
				return false
			}
		}
	}
	return waitsForStops(tracer)
}

// waitsForStops reports whether a thread of process pid sleeps in wait4.
func waitsForStops(pid int) bool {
	return slices.ContainsFunc(threads(pid), func(tid int) bool {
		nr, _, _ := strings.Cut(read(fmt.Sprintf("/proc/%d/syscall", tid)), " ")
		return nr == strconv.Itoa(unix.SYS_WAIT4)
	})
}

// sharedDir makes a temporary folder that other users can look into, unlike t.TempDir.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// notRoot makes a command run without root's rights: as this user, or as nobody if this is root.
func notRoot() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return attr
}

// freePort returns a TCP port of 127.0.0.1 that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(fd)
	check(t, unix.Bind(fd, loopback(0)))
	addr, err := unix.Getsockname(fd)
	check(t, err)
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

// connected reports whether a server still has a connection open at a port of 127.0.0.1, be it one
// that its client has closed.
func connected(port int) bool {
	const established, closeWait = "01", "08"
	local := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(read("/proc/net/tcp")) {
		f := strings.Fields(line) // sl local_address rem_address st …
		if len(f) > 3 && f[1] == local && (f[3] == established || f[3] == closeWait) {
			return true
		}
	}
	return false
}

// startServer starts a server in the foreground, waits until it listens, and ends it with the test,
// by stop first and by SIGKILL if that is of no use.
func startServer(t *testing.T, cmd *exec.Cmd, port int, stop syscall.Signal) (pid int) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	check(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	pid = cmd.Process.Pid
	t.Cleanup(func() {
		members := family(pid)
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
			text := read(log.Name())
			t.Logf("%s wrote:\n%s", cmd, text[max(0, len(text)-4000):])
		}
	})
	eventually(t, cmd.Path+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended:\n%s", cmd, read(log.Name()))
		default:
		}
		return listening(port)
	})
	return pid
}

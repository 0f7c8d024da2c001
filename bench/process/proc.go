package process

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// FreePort returns a TCP port of the loopback interface that nothing listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Listening reports whether something answers on a port of the loopback interface.
func Listening(port int) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Family returns pid and all its descendants at that moment.
func Family(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for word := range strings.FieldsSeq(string(text)) {
				if child, err := strconv.Atoi(word); err == nil {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// Ran returns for how long the threads of a process have run that it has now, in nanoseconds.
func Ran(pid int) (ns float64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		ran, _, _ := strings.Cut(string(text), " ")
		of, _ := strconv.ParseFloat(ran, 64)
		ns += of
	}
	return ns
}

// Traced reports whether every thread of pid has a tracer. That is so for a process that has ended.
func Traced(pid int) bool {
	statuses, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range statuses {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return true
}

// CountersOpen reports whether pid has opened performance counters and sleeps, which means that it waits
// for their events.
func CountersOpen(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || !strings.Contains(string(stat), ") S ") {
		return false
	}
	return descriptors(pid, "anon_inode:[perf_event]") > 0
}

// ProgramsAttached reports whether pid has attached programs in the kernel, and none of its threads has computed for a
// while: what it does before it begins to count, it does without a pause.
func ProgramsAttached(pid int) bool {
	const looks, between = 4, 5 * time.Millisecond
	for look := range looks {
		if look > 0 {
			time.Sleep(between)
		}
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, file := range stats {
			if stat, err := os.ReadFile(file); err == nil && strings.Contains(string(stat), ") R ") {
				return false
			}
		}
		if len(stats) == 0 || descriptors(pid, "anon_inode:bpf_link") == 0 {
			return false
		}
	}
	return true
}

// descriptors is how many descriptors pid has of something.
func descriptors(pid int, of string) (n int) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, _ := os.Readlink(link); to == of {
			n++
		}
	}
	return n
}

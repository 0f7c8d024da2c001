package find

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proc is a file system of processes (proc(5)), by where it is mounted.
type proc struct{ root string }

func (p proc) file(pid int, name string) string {
	return filepath.Join(p.root, strconv.Itoa(pid), name)
}

// processes lists all, in no order.
func (p proc) processes() ([]int, error) {
	dir, err := os.Open(p.root)
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("look for processes: %s has none", p.root)
	}
	return pids, nil
}

// stat is what /proc/PID/stat says of a process.
type stat struct {
	pid, parent int
	comm        string // whatever bytes it has
	state       byte
	flags       uint64
	threads     int
}

// isKernel reports whether it is a thread of the kernel.
func (s *stat) isKernel() bool {
	const kthread = 0x00200000 // PF_KTHREAD of <linux/sched.h>
	return s.flags&kthread != 0
}

// isOver reports whether it has ended. If only its first thread has, that is a zombie, too, but not alone.
func (s *stat) isOver() bool {
	return s.state == 'X' || s.state == 'Z' && s.threads <= 1
}

func (p proc) stat(pid int) (stat, error) {
	data, err := os.ReadFile(p.file(pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	s, ok := parseStat(data)
	if !ok || s.pid != pid {
		return stat{}, errors.New("no stat file")
	}
	return s, nil
}

// parseStat reads a stat file. The name of the process stands in parentheses, and may have any byte in it but 0.
func parseStat(data []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return s, false
	}
	const state, parent, flags, threads = 0, 1, 6, 17 // counted from state, field 3 of proc(5)
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) <= threads || len(fields[state]) != 1 || fields[state] < "A" { // else it is no letter
		return s, false
	}
	s.comm, s.state = string(data[open+1:end]), fields[state][0]
	var errs [4]error
	s.pid, errs[0] = strconv.Atoi(strings.TrimSpace(string(data[:open])))
	s.parent, errs[1] = strconv.Atoi(fields[parent])
	s.flags, errs[2] = strconv.ParseUint(fields[flags], 10, 64)
	s.threads, errs[3] = strconv.Atoi(fields[threads])
	return s, errors.Join(errs[:]...) == nil
}

// firstArgument is what a process was called by who has executed it, or calls itself; "" if that is not known.
func (p proc) firstArgument(pid int) string {
	file, err := os.Open(p.file(pid, "cmdline"))
	if err != nil {
		return ""
	}
	defer file.Close()
	data := make([]byte, 4096) // PATH_MAX
	n, _ := file.Read(data)
	first, _, _ := bytes.Cut(data[:n], []byte{0})
	return string(first)
}

// program is the path of what a process executes; "" if that may not be known.
func (p proc) program(pid int) string {
	path, _ := os.Readlink(p.file(pid, "exe"))
	return strings.TrimSuffix(path, " (deleted)")
}

// lastBorn is the last number that was given to a process or thread of this PID namespace, 0 if that is not known
// (proc(5), loadavg): as long as it is the same, there is nobody new.
func (p proc) lastBorn() int {
	data, _ := os.ReadFile(filepath.Join(p.root, "loadavg"))
	fields := strings.Fields(string(data))
	if len(fields) != 5 {
		return 0
	}
	last, _ := strconv.Atoi(fields[4])
	return last
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryWorkload is the name of the memory part for -only.
const memoryWorkload = "memory"

// growth is how much memory sysprof used in the course of a run.
type growth struct {
	Calls     int           `json:"calls"`
	Processes int           `json:"processes"`
	Threads   int           `json:"threads"`
	Phases    []growthPhase `json:"phases"`
}

// growthPhase is how much memory sysprof used after one phase of growHelper.
type growthPhase struct {
	After      string `json:"after"`
	ResidentKB int    `json:"resident_kb"` // VmRSS of /proc/PID/status
	PeakKB     int    `json:"peak_kb"`     // VmHWM
}

// measureGrowth runs growHelper under sysprof. At the end of each phase the helper waits until the memory
// of sysprof has been read.
func measureGrowth(k *toolkit, sizes growSizes) (*growth, error) {
	cmd := exec.Command(k.sysprof, "-c", "-o", filepath.Join(k.dir, "table"), "--", k.self, "helper-grow",
		strconv.Itoa(sizes.calls), strconv.Itoa(sizes.processes), strconv.Itoa(sizes.threads))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	acknowledge, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	phases, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &growth{Calls: sizes.calls, Processes: sizes.processes, Threads: sizes.threads}
	err = g.follow(cmd.Process.Pid, phases, acknowledge)
	acknowledge.Close() // the helper ends, in case it still waits
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return g, nil
}

// follow reads the memory of process pid at the end of every phase, and then lets the helper go on.
func (g *growth) follow(pid int, phases io.Reader, acknowledge io.Writer) error {
	lines := bufio.NewScanner(phases)
	for lines.Scan() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err
		}
		g.Phases = append(g.Phases, growthPhase{
			After:      lines.Text(),
			ResidentKB: statusKB(string(status), "VmRSS"),
			PeakKB:     statusKB(string(status), "VmHWM"),
		})
		if _, err := io.WriteString(acknowledge, "\n"); err != nil {
			return err
		}
	}
	return lines.Err()
}

// statusKB returns a size from the text of /proc/PID/status, and 0 if the text lacks it.
func statusKB(status, name string) int {
	for line := range strings.Lines(status) {
		if key, value, ok := strings.Cut(line, ":"); ok && key == name {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return kb
		}
	}
	return 0
}

// writeTable prints the phases and what became of the target.
func (g *growth) writeTable(w io.Writer) error {
	rows := [][]string{{"sysprof's memory after", "resident MB", "peak MB"}}
	worst := 0
	for _, p := range g.Phases {
		rows = append(rows, []string{p.After, megabytes(p.ResidentKB), megabytes(p.PeakKB)})
		worst = max(worst, p.PeakKB)
	}
	fmt.Fprintf(w, "%d calls, then %d processes at a time, then %d threads at a time, then all of it again:\n\n",
		g.Calls, g.Processes, g.Threads)
	if err := writeTable(w, rows); err != nil {
		return err
	}
	word := "reached"
	if worst > maxResidentKB {
		word = "missed"
	}
	fmt.Fprintf(w, "\n- resident ≤ %s MB: %s at most, %s\n", megabytes(maxResidentKB), megabytes(worst), word)
	if n := len(g.Phases); n >= 2 {
		fmt.Fprintf(w, "- growth from the first time to the second: %s MB\n",
			megabytes(g.Phases[n-1].ResidentKB-g.Phases[n-2].ResidentKB))
	}
	fmt.Fprintln(w)
	return nil
}

func megabytes(kb int) string { return fmt.Sprintf("%.1f", float64(kb)/1024) }

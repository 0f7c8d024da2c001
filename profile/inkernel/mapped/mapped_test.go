package mapped

import (
	"encoding/binary"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

func begin(t *testing.T) *Watch {
	t.Helper()
	w, err := Begin()
	needs.That(t, err == nil, "a kernel that lets mappings be watched", "")
	t.Cleanup(w.Close)
	return w
}

func now() uint64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return uint64(t.Nano())
}

var executable = regexp.MustCompile(`(?m)^[0-9a-f]+-[0-9a-f]+ ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$`)

// What has ended, and what a child of it had, is what it says itself.
func TestMapsOfWhatHasEnded(t *testing.T) {
	w := begin(t)
	before := now()
	// The shell has its own all the while.
	cmd := exec.Command("/bin/sh", "-c", "cat /proc/self/maps; (read line < /proc/self/maps; exec cat /proc/self/maps); cat /proc/$$/maps")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := w.Maps(int32(cmd.Process.Pid), now())
	var want []string
	for line := range strings.Lines(string(out)) {
		if m := executable.FindStringSubmatch(line); m != nil && strings.Contains(m[1], "/") {
			want = append(want, strings.Join(strings.Fields(line), " "))
		}
	}
	shells := 0
	for _, line := range want[len(want)*2/3:] { // those of the shell come last
		found := false
		for got := range strings.Lines(string(text)) {
			found = found || strings.Join(strings.Fields(got), " ") == line
		}
		if found {
			shells++
		}
	}
	if shells == 0 || shells < len(want)-len(want)*2/3 {
		t.Errorf("it was known to have\n%s\nand had\n%s", text, strings.Join(want, "\n"))
	}
	if got := w.Maps(int32(cmd.Process.Pid), before); got != nil {
		t.Errorf("before it began it had\n%s", got)
	}
	if got := w.Maps(int32(os.Getpid()), now()); got != nil {
		t.Errorf("this program began before, and is known to have\n%s", got)
	}
}

// Records are not believed, and do not fill memory.
func TestRecordsAreChecked(t *testing.T) {
	w := &Watch{processes: make(map[int32]*process)}
	for kind := range uint32(20) {
		for size := 16; size < 200; size += 8 {
			for _, fill := range []byte{0, 1, 0xff} {
				data := make([]byte, size)
				for i := range data {
					data[i] = fill
				}
				w.take(&record{kind, 1 << 13, uint64(size), data})
			}
		}
	}
	head := func(pid uint32) []byte {
		return append(binary.NativeEndian.AppendUint32(nil, pid), make([]byte, 92)...)
	}
	for pid := range uint32(3 * maxProcesses) {
		w.take(&record{unix.PERF_RECORD_COMM, 1 << 13, 1, head(pid)})
		w.take(&record{unix.PERF_RECORD_MMAP2, 0, 2, head(pid)})
	}
	if len(w.processes) > maxProcesses {
		t.Errorf("%d processes are known", len(w.processes))
	}
	for range 2 * maxMappings {
		w.take(&record{unix.PERF_RECORD_MMAP2, 0, 2, head(3*maxProcesses - 1)})
	}
	if n := len(w.processes[3*maxProcesses-1].programs[0].all); n > maxMappings {
		t.Errorf("%d mappings of one program", n)
	}
	w.take(&record{unix.PERF_RECORD_LOST, 0, 3, head(1)})
	if len(w.processes) != 0 {
		t.Errorf("after a loss %d processes are believed to be known", len(w.processes))
	}
}

package label

import (
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// titles knows what processes call themselves besides their names, as postgres, nginx and sshd do: "checkpointer" of the process
// whose command line is "postgres: checkpointer".
//
// That is memory of the process, which may be memory that is brought by a thread that stands still (userfaultfd(2)): whoever reads it
// may wait for ever. So it is read by a goroutine of its own.
type titles struct {
	mu      sync.Mutex // guards what follows
	known   map[int32]heldTitle
	pending []int32
	reading bool          // a goroutine reads what is pending
	done    chan struct{} // closed when nothing is pending any more
}

// heldTitle is what a process calls itself.
type heldTitle struct {
	now    string
	always string // the words that it has begun with all the time
}

const (
	// mostPending is how many processes wait for being read, if reading does not get on.
	mostPending = 10_000
	// mostTitles is how many are kept, and mostTitle how long they are at most.
	mostTitles = 50_000
	mostTitle  = 64
)

func newTitles() *titles { return &titles{known: make(map[int32]heldTitle)} }

// of is the title of a process, nothing if it has none. The name of the process is not part of it.
func (t *titles) of(pid int32) heldTitle {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[pid]
}

// read reads the title of a process soon. It does not wait.
func (t *titles) read(pid int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) >= mostPending {
		return
	}
	t.pending = append(t.pending, pid)
	if !t.reading {
		t.reading, t.done = true, make(chan struct{})
		go t.readPending()
	}
}

// await waits until all is read that was to be, but not for long.
func (t *titles) await(patience time.Duration) {
	t.mu.Lock()
	done := t.done
	t.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-time.After(patience):
	}
}

func (t *titles) readPending() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.pending) > 0 {
		pid := t.pending[0]
		t.pending = t.pending[1:]
		t.mu.Unlock()
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		t.mu.Lock()
		if len(line) == 0 { // it has ended
			continue
		}
		t.take(pid, title(string(line), strings.TrimSuffix(string(comm), "\n")))
	}
	t.pending, t.reading = nil, false
	close(t.done)
}

// take takes what a process calls itself now.
//
// Precondition: t.mu is held.
func (t *titles) take(pid int32, its string) {
	before, ok := t.known[pid]
	switch {
	case ok && before.now != "" && its != "":
		t.known[pid] = heldTitle{its, commonWords(before.always, its)}
	case ok || its != "" && len(t.known) < mostTitles:
		t.known[pid] = heldTitle{its, its}
	}
}

// commonWords are the words that both begin with.
func commonWords(a, b string) string {
	x, y := strings.Fields(a), strings.Fields(b)
	n := 0
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return strings.Join(x[:n], " ")
}

// title is what a process's command line says besides its name, if it is a title: one word with blanks in it, which begins with the
// name, where arguments would be several.
func title(line, name string) string {
	line = strings.TrimRight(line, "\x00 ")
	end := strings.IndexAny(line, ": ")
	if end < 0 || name == "" || strings.Contains(line, "\x00") || !strings.HasPrefix(path.Base(line[:end]), name) {
		return ""
	}
	rest := shown(strings.Trim(line[end:], ": "))
	if utf8.RuneCountInString(rest) > mostTitle {
		rest = string([]rune(rest)[:mostTitle]) + "…"
	}
	return rest
}

package slow

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// memory reads strings of processes, and bounds how long their threads have to stand still for that.
//
// It reads /proc/PID/mem, which waits for no handler of userfaultfd(2) (see capture.memory). A page of a mapped file may have
// to be brought from a disk, or by a program (FUSE), one perhaps that is traced and waits for the same tracer thread. So each
// read has a goroutine of its own, and is left to itself when it takes too long.
type memory struct {
	read func(pid int32, addr uint64) (string, bool)

	mu       sync.Mutex
	running  int
	patience time.Duration // how long may be waited …
	at       time.Time     // … as of then
}

const (
	maxWait          = 100 * time.Millisecond // for one read
	maxPatience      = time.Second            // for all in a row …
	patienceRegained = 0.01                   // … and the part of the time by which it grows again
	usual            = time.Millisecond       // what is in memory takes less, and some of that a busy machine
	maxRunning       = 16                     // bounds the goroutines: so many reads that do not end are not alone
)

func newMemory() *memory { return &memory{read: readText, patience: maxPatience, at: time.Now()} }

// text reads the string at an address. It reports false if that cannot be read, or not in time.
func (m *memory) text(pid int32, addr uint64) (text string, ok bool) {
	m.mu.Lock()
	begun := time.Now()
	m.patience = min(maxPatience, m.patience+time.Duration(patienceRegained*float64(begun.Sub(m.at))))
	m.at = begun
	wait := min(maxWait, m.patience)
	if m.running >= maxRunning || wait <= 0 {
		m.mu.Unlock()
		return "", false
	}
	m.running++
	m.mu.Unlock()
	type result struct {
		text string
		ok   bool
	}
	done := make(chan result, 1)
	go func() {
		text, ok := m.read(pid, addr)
		m.mu.Lock()
		m.running--
		m.mu.Unlock()
		done <- result{text, ok}
	}()
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case r := <-done:
		text, ok = r.text, r.ok
	case <-late.C:
	}
	if took := time.Since(begun); took > usual {
		m.mu.Lock()
		m.patience -= took
		m.mu.Unlock()
	}
	return text, ok
}

// readText reads a string, page by page: what follows its last one may not be there.
func readText(pid int32, addr uint64) (string, bool) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	const most, page = 4096, 4096 // PATH_MAX, and a page that is no larger than any
	var text []byte
	buf := make([]byte, page)
	for len(text) < most {
		at := addr + uint64(len(text))
		n, err := unix.Pread(fd, buf[:page-at%page], int64(at))
		if err != nil || n <= 0 {
			return "", false
		}
		if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
			text = append(text, buf[:end]...)
			return string(text[:min(len(text), most)]), true
		}
		text = append(text, buf[:n]...)
	}
	return string(text[:most]), true
}

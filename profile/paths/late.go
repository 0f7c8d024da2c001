package paths

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LateReader reads memory of processes that may not be there yet, and bounds how long threads have to stand still for that. It is safe
// for concurrent use.
//
// It reads /proc/PID/mem, which waits for no handler of userfaultfd(2) (see capture.memory). A page of a mapped file may have to be
// brought from a disk, or by a program (FUSE), one perhaps that is traced and waits for the same tracer thread. So each read has a
// goroutine of its own, and is left to itself when it takes too long.
type LateReader struct {
	readMemory func(pid int32, addr uint64, into []byte) int

	mu       sync.Mutex
	running  int
	patience time.Duration // how long may be waited …
	at       time.Time     // … as of then
}

const (
	maxWait          = 100 * time.Millisecond // for one read
	maxPatience      = time.Second            // for all reads in a row …
	patienceRegained = 0.01                   // … and the part of the time by which it grows again
	usual            = time.Millisecond       // what is in memory takes less, and some of that a busy machine
	maxRunning       = 64                     // bounds the goroutines: so many reads that do not end are not alone
)

// NewLateReader returns one that has not been asked yet.
func NewLateReader() *LateReader {
	return &LateReader{readMemory: readMemory, patience: maxPatience, at: time.Now()}
}

// Text reads a string that ends with a 0, of PATH_MAX bytes at most. It reports false if there is none, or not in time.
func (l *LateReader) Text(pid int32, addr uint64) (string, bool) {
	page := uint64(os.Getpagesize()) // what follows the string's last one may not be there
	var text []byte
	buf := make([]byte, min(page, maxPath))
	for len(text) < maxPath {
		at := addr + uint64(len(text))
		piece := buf[:min(uint64(len(buf)), page-at%page)]
		n, inTime := l.Read(pid, at, piece)
		if !inTime || n == 0 {
			return "", false
		}
		if end := bytes.IndexByte(piece[:n], 0); end >= 0 {
			text = append(text, piece[:end]...)
			return string(text[:min(len(text), maxPath)]), true
		}
		text = append(text, piece[:n]...)
	}
	return string(text[:maxPath]), true
}

// Read returns how many bytes it could read. It reports false if that was not known in time.
func (l *LateReader) Read(pid int32, addr uint64, into []byte) (n int, inTime bool) {
	l.mu.Lock()
	begun := time.Now()
	l.patience = min(maxPatience, l.patience+time.Duration(patienceRegained*float64(begun.Sub(l.at))))
	l.at = begun
	wait := min(maxWait, l.patience)
	if l.running >= maxRunning || wait <= 0 {
		l.mu.Unlock()
		return 0, false
	}
	l.running++
	l.mu.Unlock()
	done := make(chan []byte, 1)
	go func() {
		data := make([]byte, len(into))
		done <- data[:l.readMemory(pid, addr, data)]
		l.mu.Lock()
		l.running--
		l.mu.Unlock()
	}()
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case data := <-done:
		n, inTime = copy(into, data), true
	case <-late.C:
	}
	if took := time.Since(begun); took > usual {
		l.mu.Lock()
		l.patience -= took
		l.mu.Unlock()
	}
	return n, inTime
}

// readMemory reads memory of a process, and waits for who brings it.
func readMemory(pid int32, addr uint64, into []byte) int {
	memory, err := unix.Open(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(memory)
	n, _ := unix.Pread(memory, into, int64(addr))
	return max(n, 0)
}

package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBlockedSignalsDoNotEndIt: a signal that sysprof was started with blocked, as somebody means it, does not end it before
// it has come to take signals over. (The runtime unblocks it.)
func TestBlockedSignalsDoNotEndIt(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "saved")
	check(t, unix.Mkfifo(fifo, 0o600))
	s := start(t, prepared("block=1", "block=2", "block=15", "--", program(t), "--from-json="+fifo))
	opened := make(chan *os.File)
	go func() { w, _ := os.OpenFile(fifo, os.O_WRONLY, 0); opened <- w }() // waits until it reads
	w := <-opened
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		s.signal(sig)
		eventually(t, "the signal has been taken", func() bool { return status(s.pid(), "ShdPnd") == "0000000000000000" })
	}
	w.Close() // which is no saved run
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 1)
}

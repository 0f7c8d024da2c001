package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// TestBlockedSignalsDoNotEndIt: a signal that sysprof was started with blocked, as somebody means it, does not end it before
// it has come to take signals over. (The runtime unblocks it.)
func TestBlockedSignalsDoNotEndIt(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "saved")
	drive.Check(t, unix.Mkfifo(fifo, 0o600))
	s := drive.Start(t, prepared("block=1", "block=2", "block=15", "--", drive.Program(t), "--from-json="+fifo))
	opened := make(chan *os.File)
	go func() { w, _ := os.OpenFile(fifo, os.O_WRONLY, 0); opened <- w }() // waits until it reads
	w := <-opened
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		s.Signal(sig)
		drive.Eventually(t, "the signal has been taken", func() bool { return drive.StatusOf(s.Pid(), "ShdPnd") == "0000000000000000" })
	}
	w.Close() // which is no saved run
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 1)
}

package symbol

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDebuginfodFindIsKilled: who is killed while debuginfod-find runs does not leave it behind.
func TestDebuginfodFindIsKilled(t *testing.T) {
	const asFinder = "SYSPROF_TEST_FINDER"
	if os.Getenv(asFinder) != "" {
		DebuginfodFind(time.Minute)(context.Background(), "00")
		return
	}
	dir := t.TempDir()
	begun := filepath.Join(dir, "pid")
	script := "#!/bin/sh\necho $$ >" + begun + ".new\nmv " + begun + ".new " + begun + "\nexec sleep 100\n"
	if err := os.WriteFile(filepath.Join(dir, "debuginfod-find"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	self := exec.Command("/proc/self/exe", "-test.run=^TestDebuginfodFindIsKilled$")
	self.Env = append(os.Environ(), asFinder+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	var found int
	within(t, "debuginfod-find has begun", func() bool {
		text, err := os.ReadFile(begun)
		found, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	self.Process.Kill()
	self.Wait()
	defer syscall.Kill(found, syscall.SIGKILL)
	within(t, "debuginfod-find is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(found) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// within waits for what has to come true.
func within(t *testing.T, what string, condition func() bool) {
	t.Helper()
	const patience = time.Minute
	for begin := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

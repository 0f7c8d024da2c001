package drive

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Succeed runs a command that has to exit with 0 and returns what it wrote to stdout.
func Succeed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	o := Run(t, cmd)
	if o.Status != 0 {
		t.Fatalf("%s: %s\n%s%s", cmd, Describe(o.Status), o.Stdout, o.Stderr)
	}
	return o.Stdout
}

// WriteFile makes a file, with its folders.
func WriteFile(t *testing.T, path, content string) {
	t.Helper()
	Check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	Check(t, os.WriteFile(path, []byte(content), 0o644))
}

// Check ends the test at an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

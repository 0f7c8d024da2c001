package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// succeed runs a command that has to exit with 0 and returns what it wrote to stdout.
func succeed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	o := run(t, cmd)
	if o.status != 0 {
		t.Fatalf("%s: %s\n%s%s", cmd, describe(o.status), o.stdout, o.stderr)
	}
	return o.stdout
}

// writeFile makes a file, with its folders.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tool finds a program that a test needs, which is part of a Debian package. A test that cannot run
// has not passed, so there is no skipping.
func tool(t *testing.T, name, debianPackage string) string {
	t.Helper()
	// The system's own first: a version manager in $PATH puts scripts in the place of interpreters.
	dirs := []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"}
	versioned, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range append(dirs, versioned...) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs %s: apt-get install %s (.ci/run installs all that tests need)", name, debianPackage)
	}
	return path
}

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

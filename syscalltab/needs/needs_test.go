package needs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// test is a test that writes down how it was ended.
type test struct {
	testing.TB
	ended, line string
}

func (t *test) Helper() {}

func (t *test) Skipf(format string, args ...any) { t.end("skipped", format, args) }

func (t *test) Fatalf(format string, args ...any) { t.end("failed", format, args) }

func (t *test) end(how, format string, args []any) {
	t.ended, t.line = how, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run runs f as a test.
func run(f func(t testing.TB)) *test {
	t, done := new(test), make(chan struct{})
	go func() {
		defer close(done)
		f(t)
	}()
	<-done
	return t
}

func TestPatience(t *testing.T) {
	for value, want := range map[string]time.Duration{"": time.Minute, "10": 10 * time.Minute, "0": time.Minute, "x": time.Minute} {
		t.Setenv(patience, value)
		if got := Patience(); got != want {
			t.Errorf("with %q: %v, want %v", value, got, want)
		}
	}
}

func TestMissingProgramIsSkippedOrFails(t *testing.T) {
	missing := func(t testing.TB) { Program(t, "no-such-program", "no-such-package") }
	for value, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(noSkips, value)
		got := run(missing)
		if got.ended != want || !strings.HasPrefix(got.line, "needs no-such-program: apt-get install no-such-package") {
			t.Errorf("%s=%s: the test has %s with %q", noSkips, value, got.ended, got.line)
		}
		if strings.Contains(got.line, "\n") {
			t.Errorf("more than a line: %q", got.line)
		}
	}
}

func TestProgramIsFound(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "program-of-this-test")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	var found string
	if got := run(func(t testing.TB) { found = Program(t, "program-of-this-test", "") }); got.ended != "" || found != file {
		t.Errorf("found %q, the test has %s %s", found, got.ended, got.line)
	}
}

// A compiler that finds none of the C library's files is as good as none.
func TestCompilerWithoutLibrary(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "gcc")
	for script, want := range map[string]bool{
		`echo "${1#-print-file-name=}"`:          false,
		`echo "/usr/lib/${1#-print-file-name=}"`: true,
		`exit 1`:                                 false,
	} {
		if err := os.WriteFile(fake, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if links(fake) != want {
			t.Errorf("%s: %v, want %v", script, !want, want)
		}
	}
}

// A compiler without an assembler and a linker is as good as none, wherever the compiler itself is.
func TestCompilerWithoutAssembler(t *testing.T) {
	dir := t.TempDir()
	fake, own := filepath.Join(dir, "gcc"), filepath.Join(dir, "ld.own")
	write := func(path, script string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(own, "")
	for script, want := range map[string]bool{
		`echo ld.own`: false,
		`echo ` + own: true,
		`exit 1`:      false,
	} {
		write(fake, script)
		t.Setenv("PATH", "/nonexistent")
		if got := finds(fake, "ld"); got != want {
			t.Errorf("%s: %v, want %v", script, got, want)
		}
	}
	write(fake, "echo ld.own")
	t.Setenv("PATH", dir)
	if !finds(fake, "ld") {
		t.Error("not found in $PATH")
	}
}

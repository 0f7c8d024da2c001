package symbol

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/syscalltab/needs"
)

// packages are the Debian packages of programs that the tests run, but for gcc.
var packages = map[string]string{
	"g++": "g++", "clang++": "clang", "objcopy": "binutils", "addr2line": "binutils", "strip": "binutils", "ldd": "libc-bin",
	"dwp": "binutils", "llvm-dwp": "llvm",
}

// program finds a program, which may be missing if it is one of packages or the compiler.
func program(tb testing.TB, name string) string {
	tb.Helper()
	switch name {
	case "gcc":
		return needs.C(tb)
	case "g++", "clang++":
		needs.C(tb) // for what it assembles and links with
	}
	if debianPackage, ok := packages[name]; ok {
		return needs.Program(tb, name, debianPackage)
	}
	return name
}

// run runs a command and returns what it printed. A test can't go on without it.
func run(tb testing.TB, stdin string, command ...string) string {
	tb.Helper()
	name := program(tb, command[0])
	cmd := exec.Command(name, command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, errs.String())
	}
	return string(out)
}

// source returns the path of a file in testdata/src.
func source(tb testing.TB, name string) string {
	tb.Helper()
	p, err := filepath.Abs(filepath.Join("testdata", "src", name))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// buildC builds testdata/src/prog.c or prog.cc into a directory of the test.
func buildC(tb testing.TB, compiler string, flags ...string) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "prog")
	args := append([]string{compiler, "-Wl,--build-id", "-Wno-trampolines", "-o", out}, flags...)
	if compiler == "g++" {
		args = append(args, source(tb, "prog.cc"))
	} else {
		args = append(args, source(tb, "prog.c"), source(tb, "second.c"))
	}
	run(tb, "", args...)
	return out
}

// fileSource opens a file of this machine, and looks for debug files nowhere but in dir.
func fileSource(name string) Source {
	return Source{Path: name, Open: func() (File, error) { return OpenFile(name) }}
}

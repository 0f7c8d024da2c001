// Package needs is for tests that cannot run everywhere: each function demands one thing that a machine with Go
// alone does not have, such as a program, a C compiler, or a right. Where it is missing the test is skipped, with
// one line that says what to install or to do. If the environment variable SYSPROF_NO_SKIPS is not empty the test
// fails instead, so that nothing is left out where everything is expected to be there.
//
// It also says how long a test may wait.
//
// It is not for what a machine cannot be given, such as another architecture: tests skip that by themselves. Only
// test files import this package. It is below syscalltab because the tests of all packages use it, and syscalltab
// is the one that may not import any other.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noSkips is the environment variable that turns every skip into a failure.
const noSkips = "SYSPROF_NO_SKIPS"

// patience is the environment variable that says how many times as long as elsewhere tests wait.
const patience = "SYSPROF_TEST_PATIENCE"

// Patience is how long a test waits for what has to come: a minute, and so many times that as the environment says
// of an emulated machine, whose time passes while it is given no CPU.
func Patience() time.Duration {
	if times, err := strconv.Atoi(os.Getenv(patience)); err == nil && times > 0 {
		return time.Duration(times) * time.Minute
	}
	return time.Minute
}

// That demands that ok is true. If not, what is missing and remedy how to get it.
func That(t testing.TB, ok bool, what, remedy string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv(noSkips) != "":
		t.Fatalf("needs %s: %s (%s is set)", what, remedy, noSkips)
	default:
		t.Skipf("needs %s: %s", what, remedy)
	}
}

// Program demands a program and returns its path. The system's own directories come before $PATH, in which a
// version manager may have put scripts in the place of interpreters.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	dirs := []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"}
	postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range append(dirs, postgres...) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	That(t, err == nil, name, "apt-get install "+debianPackage)
	return path
}

// Speedscope demands speedscope, a page that shows profiles, and returns the folder that it is in.
func Speedscope(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("speedscope")
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(program)), "dist", "release")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "index.html"))
	}
	That(t, err == nil, "speedscope", "npm install -g speedscope")
	return dir
}

// C demands a C compiler with an assembler, a linker, and the C library's and the kernel's headers. It returns the compiler's
// path.
func C(t testing.TB) string {
	t.Helper()
	gcc := Program(t, "gcc", "gcc libc6-dev")
	for _, name := range []string{"as", "ld"} {
		That(t, finds(gcc, name), "an "+name+" that gcc finds", "apt-get install binutils, and have it in $PATH")
	}
	That(t, links(gcc), "the C library's headers", "apt-get install libc6-dev")
	return gcc
}

// C32 demands a C compiler that also makes programs for 32-bit x86, and a kernel that runs them. It returns the compiler's path.
func C32(t testing.TB) string {
	t.Helper()
	NarrowCalls(t)
	gcc := C(t)
	That(t, links(gcc, "-m32"), "gcc -m32", "apt-get install gcc-multilib")
	return gcc
}

// finds reports whether gcc finds a program that it runs: in a directory of its own, or else in $PATH.
func finds(gcc, name string) bool {
	path, err := exec.Command(gcc, "-print-prog-name="+name).Output()
	if err != nil {
		return false
	}
	_, err = exec.LookPath(strings.TrimSpace(string(path)))
	return err == nil
}

// links reports whether the C library has what gcc links programs with, dynamically and statically.
func links(gcc string, flags ...string) bool {
	for _, file := range []string{"crt1.o", "libc.a"} {
		path, err := exec.Command(gcc, append(flags, "-print-file-name="+file)...).Output()
		// gcc prints the bare name of a file that it does not find.
		if err != nil || !strings.Contains(string(path), "/") {
			return false
		}
	}
	return true
}

// Root demands the right to become another user.
func Root(t testing.TB) {
	t.Helper()
	That(t, os.Geteuid() == 0, "root", "run the tests as root")
}

// SysAdmin demands CAP_SYS_ADMIN, which root has outside of containers.
func SysAdmin(t testing.TB) {
	t.Helper()
	That(t, HasSysAdmin(), "CAP_SYS_ADMIN", "run the tests as root (in a container, with that capability)")
}

// HasSysAdmin reports whether this process has CAP_SYS_ADMIN, for tests that expect something else without it.
func HasSysAdmin() bool {
	const capSysAdmin = 21 // <linux/capability.h>
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return set>>capSysAdmin&1 == 1
		}
	}
	return false
}

package paths

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// The tests are the thread that makes the calls: it reads its own memory.

type ownMemory struct{ reads int }

func (m *ownMemory) ReadMemory(p []byte, addr uint64) int {
	m.reads++
	return readMemory(int32(os.Getpid()), addr, p)
}

var abi = syscalltab.Native()[0]

func choice(t testing.TB, list ...string) *Choice {
	t.Helper()
	p, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// made is a call of this thread's. Its arguments are descriptors, and strings that it is given the addresses of.
func made(t testing.TB, name string, args ...any) *profile.Call {
	t.Helper()
	nr, ok := abi.Number(name)
	if !ok {
		t.Skipf("no %s here", name)
	}
	c := &profile.Call{PID: int32(os.Getpid()), TID: int32(unix.Gettid()), ABI: abi, Nr: nr}
	for i, arg := range args {
		switch arg := arg.(type) {
		case int:
			c.Args[i] = uint64(uint32(int32(arg))) // the upper half of a register is anything
		case *os.File:
			c.Args[i] = 0xdead<<32 | uint64(arg.Fd())
		case string:
			b := []byte(arg + "\x00")
			t.Cleanup(func() { runtime.KeepAlive(b) })
			c.Args[i] = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
		case uintptr:
			c.Args[i] = uint64(arg)
		}
	}
	return c
}

func opened(t testing.TB, name string) *os.File {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestEntered(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{"in/sub", "out", "in2"} {
		os.MkdirAll(name, 0o755)
	}
	for _, name := range []string{"in/file", "in/sub/file", "out/file", "in/gone"} {
		os.WriteFile(name, []byte("x"), 0o644)
	}
	os.Symlink(dir+"/in", dir+"/link")
	in, inFile, out, outFile, gone := opened(t, "in"), opened(t, "in/file"), opened(t, "out"), opened(t, "out/file"), opened(t, "in/gone")
	os.Remove("in/gone")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	poll := func(files ...*os.File) (uintptr, int) {
		list := make([]unix.PollFd, len(files))
		for i, f := range files {
			list[i].Fd = int32(f.Fd())
		}
		t.Cleanup(func() { runtime.KeepAlive(list) })
		return uintptr(unsafe.Pointer(unsafe.SliceData(list))), len(list)
	}
	set := func(f *os.File) uintptr {
		var set unix.FdSet
		set.Set(int(f.Fd()))
		kept := &set
		t.Cleanup(func() { runtime.KeepAlive(kept) })
		return uintptr(unsafe.Pointer(kept))
	}
	polled, many := poll(r, outFile, inFile)
	polledOut, few := poll(r, outFile)
	const here = unix.AT_FDCWD
	long := strings.Repeat("/", 3000) + dir + "/in/file"
	for _, test := range []struct {
		name string
		call *profile.Call
		want Match
	}{
		{"an absolute path", made(t, "openat", here, dir+"/in/file"), Yes},
		{"the directory itself", made(t, "openat", here, dir+"/in"), Yes},
		{"with a slash", made(t, "openat", here, dir+"/in/"), Yes},
		{"a relative path", made(t, "openat", here, "in/file"), Yes},
		{"a path with dots", made(t, "openat", here, "./out/../in/./sub//file"), Yes},
		{"a path out of it", made(t, "newfstatat", here, "in/../out/file"), No},
		{"above the root", made(t, "newfstatat", here, "/../.."+dir+"/in"), Yes},
		{"one that only begins so", made(t, "newfstatat", here, "in2"), No},
		{"another", made(t, "newfstatat", here, "out/file"), No},
		{"what opens another", made(t, "openat", here, "out/file"), Maybe},
		{"a long path", made(t, "newfstatat", here, long), Yes},
		{"a path without an end", made(t, "newfstatat", here, strings.Repeat("/", 5000)), No},
		{"by the directory", made(t, "newfstatat", in, "file"), Yes},
		{"nothing there", made(t, "newfstatat", in, "nosuch"), Yes},
		{"by another directory", made(t, "newfstatat", out, "../in/file"), Yes},
		{"of another directory", made(t, "newfstatat", out, "file"), No},
		{"of no directory", made(t, "newfstatat", -1, "file"), No},
		{"a descriptor and no path", made(t, "newfstatat", inFile, ""), Yes},
		{"a descriptor and no address", made(t, "newfstatat", inFile, uintptr(0)), No},
		{"no address", made(t, "openat", here, uintptr(1)), Maybe},
		{"the second path", made(t, "renameat2", here, "out/file", here, "in/new"), Yes},
		{"neither path", made(t, "renameat2", here, "out/file", here, "out/new"), No},
		{"read", made(t, "read", inFile), Yes},
		{"read of another", made(t, "read", outFile), No},
		{"read of a pipe", made(t, "read", r), No},
		{"read of none", made(t, "read", -1), No},
		{"read of a file that is gone", made(t, "read", gone), Yes},
		{"close", made(t, "close", inFile), Yes},
		{"dup3", made(t, "dup3", outFile, inFile), Yes},
		{"splice", made(t, "splice", r, 0, inFile), Yes},
		{"mmap", made(t, "mmap", 0, 1, 2, 3, inFile), Yes},
		{"mmap of nothing", made(t, "mmap", 0, 1, 2, 3, -1), No},
		{"epoll_ctl", made(t, "epoll_ctl", r, 1, inFile), Yes},
		{"ppoll", made(t, "ppoll", polled, many), Yes},
		{"ppoll of others", made(t, "ppoll", polledOut, few), No},
		{"ppoll of no list", made(t, "ppoll", 0, -1), No},
		{"pselect6", made(t, "pselect6", 1000, 0, set(inFile)), Yes},
		{"pselect6 of others", made(t, "pselect6", 1000, set(outFile), set(r)), No},
		{"pselect6 of fewer", made(t, "pselect6", int(inFile.Fd()), set(inFile)), No},
		{"a call without files", made(t, "getppid", inFile), No},
		{"an unknown call", &profile.Call{ABI: abi, Nr: 5000}, No},
	} {
		if got := choice(t, dir+"/in").Entered(test.call, &ownMemory{}); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	call := made(t, "openat", here, "link/file")
	p := choice(t, "in")
	if got := p.Entered(call, &ownMemory{}); got != Maybe {
		t.Errorf("through a link: %v", got)
	}
	call.Ret = int64(inFile.Fd())
	if !p.Returned(call) {
		t.Error("what was opened through a link is not recognized")
	}
	call.Ret = int64(outFile.Fd())
	if p.Returned(call) {
		t.Error("another file that was opened is taken for a chosen one")
	}
	if call.Ret, call.Errno = -2, 2; p.Returned(call) {
		t.Error("nothing was opened")
	}
	if p := choice(t, "link"); p.Entered(made(t, "read", inFile), &ownMemory{}) != Yes || p.Entered(made(t, "newfstatat", here, "link/x"), &ownMemory{}) != Yes {
		t.Error("a link that was chosen does not stand for what it leads to")
	}
	if p := choice(t, "/"); p.Entered(made(t, "read", outFile), &ownMemory{}) != Yes || p.Entered(made(t, "read", r), &ownMemory{}) != No {
		t.Error("of the root: not all files, or others")
	}
	executed := made(t, "execve", "nosuch")
	if got := p.Entered(executed, &ownMemory{}); got != Maybe || p.Returned(executed) {
		t.Errorf("another program: %v, %v", got, p.Returned(executed))
	}
	if !choice(t, "/proc/self/exe").Returned(executed) {
		t.Error("this program is not recognized")
	}
	flight := profile.InFlight{PID: int32(os.Getpid()), TID: int32(unix.Gettid()), ABI: abi, Nr: made(t, "read", inFile).Nr, Args: [6]uint64{uint64(inFile.Fd())}}
	if !p.Unfinished(&flight) {
		t.Error("a call in flight is not recognized")
	}
	if flight.Args[0] = uint64(r.Fd()); p.Unfinished(&flight) {
		t.Error("a call in flight on a pipe is chosen")
	}
	if got := p.Entered(made(t, "read", inFile), &ownMemory{}); got != Yes {
		t.Errorf("read: %v", got)
	}
	check := func(what string, got, want any) {
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("nothing is unread", p.Unread(), uint64(0))
	var all *Choice
	check("all", all.Entered(made(t, "getppid"), nil), Yes)
	check("all in flight", all.Unfinished(&flight), true)
	if _, err := Parse([]string{"/x", ""}); err == nil {
		t.Error("an empty path is one")
	}
	if err := os.Rename("in/file", "out/renamed"); err != nil {
		t.Fatal(err)
	}
	check("a file that was renamed", p.Entered(made(t, "read", inFile), &ownMemory{}), No)
}

// TestMemoryThatNobodyBrings is memory on userfaultfd(2) whose handler does not answer.
func TestMemoryThatNobodyBrings(t *testing.T) {
	uffd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	needs.That(t, errno == 0, "userfaultfd", "run the tests as root, or set vm.unprivileged_userfaultfd to 1")
	defer unix.Close(int(uffd))
	const api, register, version, missing = 0xc018aa3f, 0xc020aa00, 0xaa, 1
	size := unix.Getpagesize()
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(page)))
	for nr, argument := range map[uintptr][]uint64{api: {version, 0, 0}} {
		unix.Syscall(unix.SYS_IOCTL, uffd, nr, uintptr(unsafe.Pointer(unsafe.SliceData(argument))))
	}
	argument := []uint64{uint64(addr), uint64(size), missing, 0}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uffd, register, uintptr(unsafe.Pointer(unsafe.SliceData(argument)))); errno != 0 {
		t.Fatal(errno)
	}
	begun := time.Now()
	m := &ownMemory{}
	if got := choice(t, "/etc").Entered(made(t, "openat", unix.AT_FDCWD, addr), m); got != Maybe || m.reads != 0 {
		t.Errorf("%v; %d reads that would have waited", got, m.reads)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the program stood still for %v", took)
	}
}

// TestMemoryOfAFileThatDoesNotAnswer, as on FUSE whose server is traced.
func TestMemoryThatComesLate(t *testing.T) {
	l := NewLateReader()
	answer := make(chan struct{})
	l.readMemory = func(int32, uint64, []byte) int { <-answer; return 1 }
	begun := time.Now()
	for range 1000 {
		if _, inTime := l.Read(1, 0, make([]byte, 1)); inTime {
			t.Fatal("it was in time")
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the program stood still for %v", took)
	}
	if l.running > maxRunning {
		t.Errorf("%d goroutines", l.running)
	}
	close(answer)
	for deadline := time.Now().Add(needs.Patience()); ; time.Sleep(time.Millisecond) {
		if n, inTime := l.Read(1, 0, make([]byte, 1)); inTime {
			if n != 1 {
				t.Errorf("read %d", n)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is read any more")
		}
	}
}

// TestCalls demands that every call which strace takes for one on files or descriptors is in the table, or left out by name.
func TestCalls(t *testing.T) {
	left := make(map[string]bool)
	for name := range strings.FieldsSeq(without) {
		left[name] = true
		known := false
		for a := syscalltab.AMD64; a <= syscalltab.LoongArch64; a++ {
			_, ok := a.Number(name)
			known = known || ok
		}
		if !known {
			t.Errorf("there is no call %s", name)
		}
	}
	for nr, name := range abi.Each() {
		is := abi.InClass(nr, "%file") || abi.InClass(nr, "%desc") || abi.InClass(nr, "%network")
		if has := argumentsOf(abi, nr) != nil; has != (is && !left[name]) {
			t.Errorf("%s: in the table: %v", name, has)
		}
	}
	for _, other := range others() {
		for name := range strings.FieldsSeq(other.calls) {
			known := false
			for a := syscalltab.AMD64; a <= syscalltab.LoongArch64; a++ {
				_, ok := a.Number(name)
				known = known || ok
			}
			if !known {
				t.Errorf("there is no call %s", name)
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/../b/./c//d/", "/..", "/a/.", "/.a/..b", "//", "/a/b/../../.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = "/" + s
		if got := string(clean([]byte(s))); got != filepath.Clean(s) {
			t.Errorf("%q: %q, want %q", s, got, filepath.Clean(s))
		}
	})
}

// BenchmarkEntered is what it takes to see what a call is about.
func BenchmarkEntered(b *testing.B) {
	runtime.LockOSThread()
	file := opened(b, "/etc/passwd")
	p := choice(b, "/etc/hostname")
	for name, c := range map[string]*profile.Call{
		"descriptor": made(b, "read", file), "path": made(b, "openat", unix.AT_FDCWD, "/usr/lib/x86_64-linux-gnu/libc.so.6"),
		"relative": made(b, "openat", unix.AT_FDCWD, "a/b/c"), "neither": made(b, "getppid"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := &ownMemory{}
			for b.Loop() {
				p.Entered(c, m)
			}
		})
	}
}

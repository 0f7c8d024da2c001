package symbol

import (
	"bytes"
	"context"
	"debug/elf"
	"debug/gosym"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// goProgram builds the Go target and returns what it printed about itself: its own callers.
func goProgram(t *testing.T, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "prog")
	args := append([]string{"go", "build", "-o", out}, flags...)
	run(t, "", append(args, source(t, "goprog.go"))...)
	return out
}

func TestGoProgramEqualsItsOwnCallers(t *testing.T) {
	for _, flags := range [][]string{nil, {"-ldflags=-s -w"}, {"-buildmode=pie"}, {"-buildmode=pie", "-ldflags=-s -w"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			prog := goProgram(t, flags...)
			o := NewObject(fileSource(prog))
			stacks, inlined := 0, 0
			for line := range strings.Lines(run(t, "", prog)) {
				var addrs []Address
				var want []Frame
				for _, field := range strings.Split(strings.TrimSpace(line), "\t") {
					f := strings.Split(field, "|")
					off, ok := hexNumber([]byte(f[0]))
					if !ok {
						t.Fatalf("the program printed %q", line)
					}
					addrs = append(addrs, Address{Object: o, Offset: off})
					want = append(want, Frame{SystemName: f[1], File: f[2], Line: atoi(f[3])})
				}
				stacks++
				// What is inlined around an address is what follows in the stack.
				for i, frames := range New(Options{}).Resolve(context.Background(), addrs) {
					if n := len(frames); n == 0 || n > len(want)-i || !slices.Equal(asOracle(frames), want[i:i+n]) {
						t.Errorf("%#x: %v, want the beginning of %v", addrs[i].Offset, show(frames), show(want[i:]))
					}
					if len(frames) > 1 {
						inlined++
					}
				}
			}
			if stacks < 3 || inlined < 3 {
				t.Errorf("%d stacks, %d inlined functions: nothing is shown", stacks, inlined)
			}
			if o.Has() != (Has{true, true, true, true}) {
				t.Errorf("Has() = %+v", o.Has())
			}
		})
	}
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestGoToolEqualsGosym(t *testing.T) {
	prog := filepath.Join(t.TempDir(), "prog")
	run(t, "", "go", "build", "-gcflags=all=-l", "-o", prog, source(t, "goprog.go"))
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	var addrs []uint64
	for i := 0; i < len(table.Funcs); i += 7 {
		if !strings.HasPrefix(table.Funcs[i].Name, "go:") { // marks, not functions
			addrs = append(addrs, table.Funcs[i].Entry)
		}
	}
	got, _ := resolveFile(t, Options{}, fileSource(prog), addrs)
	for i, a := range addrs {
		file, line, fn := table.PCToLine(a)
		if fn == nil || len(got[i]) == 0 || got[i][len(got[i])-1].Function != fn.Name || got[i][0].File != file || got[i][0].Line != line {
			t.Errorf("%#x: %v, want %s %s:%d", a, got[i], fn.Name, file, line)
		}
	}
}

// One name is chosen of several for an address: the one that programs use.
func TestAliases(t *testing.T) {
	for _, c := range []struct {
		name string
		syms []pick
		want int
	}{
		{"exported before local", []pick{{bind: bindLocal}, {bind: bindGlob}}, 1},
		{"weak before local", []pick{{bind: bindLocal}, {bind: 2}}, 1},
		{"function before label", []pick{{bind: bindGlob}, {bind: bindLocal, function: true}}, 1},
		{"sized before unsized", []pick{{bind: bindGlob}, {bind: bindLocal, size: 4}}, 1},
		{"nearer before farther", []pick{{value: 1, size: 100}, {value: 2, size: 5}}, 1},
	} {
		for i := range c.syms {
			c.syms[i].found = true
			c.syms[i].strs = &view{mem: []byte("\x00a\x00"), size: 3, b: &budget{work: 1 << 20}}
			c.syms[i].nameOff = 1
		}
		for i := range c.syms {
			if i != c.want && (c.syms[i].betterThan(&c.syms[c.want]) || !c.syms[c.want].betterThan(&c.syms[i])) {
				t.Errorf("%s: chose %d", c.name, i)
			}
		}
	}
}

// libcPath returns the C library that programs of this machine are linked with.
func libcPath(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(run(t, "", "ldd", "/bin/sh")) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[0], "libc.") {
			return f[2]
		}
	}
	t.Fatal("ldd /bin/sh names no libc")
	return ""
}

// glibc has up to six names for a system call wrapper. The name is the one in the manual, with and
// without a debug file, in which read is __libc_read.
func TestLibcNames(t *testing.T) {
	libc := libcPath(t)
	f, err := elf.Open(libc)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"read", "write", "open", "close", "mmap", "nanosleep", "poll", "fork", "sendmsg", "pread", "waitpid",
		"clock_nanosleep", "getpid", "puts", "malloc", "recvfrom", "fsync", "select", "epoll_wait"}
	same := map[string]string{"open": "open64", "mmap": "mmap64", "pread": "pread64"}
	var addrs []uint64
	for _, name := range want {
		i := slices.IndexFunc(syms, func(s elf.Symbol) bool { return s.Name == name && s.Section != elf.SHN_UNDEF })
		if i < 0 {
			t.Fatalf("%s has no %s", libc, name)
		}
		addrs = append(addrs, syms[i].Value+syms[i].Size/2)
	}
	for _, c := range []struct {
		name string
		opt  Options
	}{
		{"no debug file", Options{DebugDirs: []string{}}},
		{"debug file if there is one", Options{}},
	} {
		got, _ := resolveFile(t, c.opt, fileSource(libc), addrs)
		for i, name := range want {
			if len(got[i]) == 0 {
				t.Errorf("%s: no name for %s", c.name, name)
				continue
			}
			if f := got[i][len(got[i])-1]; f.Function != name && f.Function != same[name] {
				t.Errorf("%s: %s is called %s (%s)", c.name, name, f.Function, f.SystemName)
			}
		}
	}
}

func TestStripped(t *testing.T) {
	whole := buildC(t, "gcc", "-O2", "-rdynamic")
	stripped := filepath.Join(t.TempDir(), "stripped")
	run(t, "", "strip", "-o", stripped, whole)
	addrs := codeAddresses(t, stripped, 4, 1000)
	got, o := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(stripped), addrs)
	compare(t, stripped, addrs, got, addr2line(t, stripped, addrs))
	if o.Has() != (Has{Functions: true}) {
		t.Errorf("Has() = %+v", o.Has())
	}
	// main is exported with its aliases; a static function is not, and must not get its neighbour's name.
	f, err := elf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, _ := f.Symbols()
	for _, s := range syms {
		if s.Name == "cold_one" {
			got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(stripped), []uint64{s.Value, s.Value + s.Size/2})
			want := []Frame{{Function: Place(stripped, s.Value), SystemName: Place(stripped, s.Value)}}
			if !slices.Equal(got[0], want) || !slices.Equal(got[1], want) {
				t.Errorf("cold_one is called %v and %v, want %v", got[0], got[1], want)
			}
		}
		if s.Name == "__real_name" {
			got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(stripped), []uint64{s.Value + 1})
			if len(got[0]) != 1 || got[0][0].Function != "api_name" {
				t.Errorf("__real_name is called %v, want its alias api_name", got[0])
			}
		}
	}
}

// The symbols that were stripped are in .gnu_debugdata, as Fedora makes it.
func TestMiniDebugInfo(t *testing.T) {
	prog := filepath.Join("testdata", "minidebug")
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".symtab") != nil || f.Section(".gnu_debugdata") == nil {
		t.Fatal("testdata/minidebug is not what it should be")
	}
	got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(prog), []uint64{f.Entry + 1})
	if len(got[0]) != 1 || got[0][0].Function != "start_here" {
		t.Errorf("entry is called %v, want start_here", got[0])
	}
}

func TestPLT(t *testing.T) {
	kinds := [][]string{{"-O2", "-Wl,-z,lazy"}, {"-O2", "-Wl,-z,now"}, {"-O2", "-no-pie"}}
	if runtime.GOARCH == "amd64" {
		kinds = append(kinds, []string{"-O2", "-Wl,-z,lazy", "-fcf-protection=none"}, []string{"-O2", "-Wl,-z,lazy,-z,ibtplt"})
	}
	for _, flags := range kinds {
		prog := buildC(t, "gcc", flags...)
		f, err := elf.Open(prog)
		if err != nil {
			t.Fatal(err)
		}
		var addrs []uint64
		for _, name := range []string{".plt.sec", ".plt.got", ".plt"} {
			if s := f.Section(name); s != nil {
				for a := s.Addr; a < s.Addr+s.Size; a += 8 {
					addrs = append(addrs, a)
				}
			}
		}
		f.Close()
		slices.Sort(addrs)
		got, _ := resolveFile(t, Options{}, fileSource(prog), addrs)
		names := map[string]bool{}
		for _, frames := range got {
			for _, f := range frames {
				names[f.Function] = true
			}
		}
		for _, want := range []string{"malloc@plt", "rand@plt", "free@plt"} {
			if !names[want] {
				t.Errorf("%v: no %s in %v", flags, want, names)
			}
		}
	}
}

func TestVdso(t *testing.T) {
	image := vdsoImage(t)
	o := NewObject(Source{Path: "[vdso]", Open: func() (File, error) { return Bytes(image), nil }})
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	syms, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syms {
		if s.Name != "__vdso_clock_gettime" && s.Name != "__kernel_clock_gettime" {
			continue
		}
		got := New(Options{}).Resolve(context.Background(), []Address{{Object: o, Offset: s.Value + 1}})
		if len(got[0]) != 1 || !strings.Contains(got[0][0].Function, "clock_gettime") {
			t.Errorf("%v, want clock_gettime", got[0])
		}
		return
	}
	t.Error("the vdso has no clock_gettime")
}

// vdsoImage reads this process's own vdso.
func vdsoImage(t testing.TB) []byte {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		lo, hi, _ := strings.Cut(strings.Fields(line)[0], "-")
		a, _ := hexNumber([]byte(lo))
		b, _ := hexNumber([]byte(hi))
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		image := make([]byte, b-a)
		if _, err := mem.ReadAt(image, int64(a)); err != nil {
			t.Fatal(err)
		}
		return image
	}
	t.Fatal("this process has no vdso")
	return nil
}

func TestOtherFileThanMapped(t *testing.T) {
	prog := buildC(t, "gcc", "-O2")
	src := fileSource(prog)
	src.BuildID = "00112233445566778899aabbccddeeff00112233"
	o := NewObject(src)
	if got := lookup(New(Options{}), o, 0x1100); got != nil || o.Err() == nil {
		t.Errorf("a file with another build-id gave %v, %v", got, o.Err())
	}
	o = NewObject(Source{Open: func() (File, error) { return nil, os.ErrNotExist }})
	if got := lookup(New(Options{}), o, 0x1100); got != nil || !errors.Is(o.Err(), os.ErrNotExist) {
		t.Errorf("a file that is gone gave %v, %v", got, o.Err())
	}
}

// Offsets into the file and link-time addresses give the same, in any order, and twice the same address too.
func TestOffsets(t *testing.T) {
	prog := buildC(t, "gcc", "-g", "-O2", "-no-pie")
	f, err := OpenFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := openELF(f, &budget{work: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	addrs := codeAddresses(t, prog, 9, 100)
	slices.Reverse(addrs)
	o := NewObject(fileSource(prog))
	var list []Address
	for _, a := range addrs {
		if off, _, ok := e.Offset(a); ok {
			list = append(list, Address{Object: o, Offset: off}, Address{Object: o, Offset: a, Vaddr: true})
		}
	}
	got := New(Options{}).Resolve(context.Background(), list)
	for i := 0; i < len(got); i += 2 {
		if len(got[i]) == 0 || !slices.Equal(got[i], got[i+1]) {
			t.Errorf("%#x: %v, but by offset %v", list[i+1].Offset, got[i+1], got[i])
		}
	}
}

// lookup resolves one address.
func lookup(s *Symbolizer, o *Object, offset uint64) []Frame {
	return s.Resolve(context.Background(), []Address{{Object: o, Offset: offset}})[0]
}

func TestDebuginfod(t *testing.T) {
	whole := buildC(t, "gcc", "-g", "-O2")
	dir := t.TempDir()
	stripped := filepath.Join(dir, "stripped")
	run(t, "", "strip", "-o", stripped, whole)
	// A stand-in for debuginfod-find.
	script := "#!/bin/sh\n[ \"$1\" = debuginfo ] && echo " + whole + "\n"
	if err := os.WriteFile(filepath.Join(dir, "debuginfod-find"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	addrs := codeAddresses(t, whole, 7, 200)
	want, _ := resolveFile(t, Options{}, fileSource(whole), addrs)
	opt := Options{DebugDirs: []string{}, Debuginfod: DebuginfodFind(10 * time.Second)}
	if got, _ := resolveFile(t, opt, fileSource(stripped), addrs); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	// One that hangs is waited for once, and nothing is left of it: not the end of a pipe that its child has.
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	script = "#!/bin/sh\nsleep 100 3>" + fifo + "\n:\n"
	if err := os.WriteFile(filepath.Join(dir, "debuginfod-find"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := New(Options{DebugDirs: []string{}, Debuginfod: DebuginfodFind(200 * time.Millisecond)})
	start := time.Now()
	for range 5 {
		lookup(s, NewObject(fileSource(stripped)), 0x1100)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("waited %v for a debuginfod-find that hangs", d)
	}
	reader.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := reader.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("something is left of it: %v", err)
	}
}

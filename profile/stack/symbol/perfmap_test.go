package symbol

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPerfMap(t *testing.T) {
	const text = `7f0000001000 40 LazyCompile:~run /srv/app.js:10
7f0000001040 20 Builtin:Add
0x7f0000002000 0x10 _ZN2v88internal3RunEv
7f0000001000 10 LazyCompile:*later /srv/app.js:10
nonsense
7f0000003000 zz broken
7f0000004000 8
`
	s := New(Options{})
	for _, c := range []struct {
		pc   uint64
		want string
	}{
		{0x7f0000001000, "later"}, // the later line
		{0x7f0000001010, "run"},
		{0x7f000000105f, "Builtin:Add"},
		{0x7f0000001060, ""},
		{0x7f0000002001, "v8::internal::Run"},
		{0x7f0000003000, ""},
		{0x7f0000004000, ""},
	} {
		if got := s.perfMap(strings.NewReader(text), []uint64{c.pc}); got[0].Function != c.want {
			t.Errorf("%#x: %q, want %q", c.pc, got[0].Function, c.want)
		}
	}
	long := "10 10 " + strings.Repeat("x", 1<<20) + "\n20 10 after\n"
	if got := s.perfMap(strings.NewReader(long), []uint64{0x25, 0x15}); got[0].Function != "after" || len(got[1].Function) > maxPerfLine {
		t.Errorf("after an overlong line: %q, %d bytes", got[0].Function, len(got[1].Function))
	}
}

// Only what the process itself or root could have written is believed, and only from inside of its root.
func TestOpenPerfMap(t *testing.T) {
	root := t.TempDir()
	tmp := filepath.Join(root, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(tmp, "perf-7.map")
	uid := uint32(os.Getuid())
	open := func() error {
		f, err := OpenPerfMap(root, 7, uid)
		if err == nil {
			f.Close()
		}
		return err
	}
	if open() == nil {
		t.Error("opened a file that is not there")
	}
	if err := os.WriteFile(name, []byte("10 10 x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error(err)
	}
	if uid == 0 { // whose files are believed, whoever the process is
		if err := os.Chown(name, 12345, 0); err != nil {
			t.Fatal(err)
		}
	} else {
		uid++
	}
	if open() == nil {
		t.Error("opened a stranger's file")
	}
	uid = uint32(os.Getuid())
	os.Remove(name)
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if open() == nil {
		t.Error("opened a pipe")
	}
	os.Remove(name)
	if err := os.WriteFile(filepath.Join(root, "other"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../other", name); err != nil {
		t.Fatal(err)
	}
	if open() == nil {
		t.Error("followed a symbolic link")
	}
}

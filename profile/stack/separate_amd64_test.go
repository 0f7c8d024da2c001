package stack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"sysprof/profile/stack/debugfile"
	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/foreign"
	"sysprof/profile/stack/internal/bounded"
	"sysprof/syscalltab/needs"
)

// bare are flags for code that only .debug_frame describes.
var bare = []string{"-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"}

// A debugPlace is where a debug file is, and what of it.
type debugPlace struct {
	nameless bool                // the program has no build-id
	at       string              // its name; DIR is where the program is
	here     bool                // it is on this machine, and not in the program's file system
	flags    []string            // it was made with
	change   func([]byte) []byte // what was made of it since
	refused  bool                // it is not to be believed
}

// TestSeparateDebugFrame: a program that was stripped of its .debug_frame has whole stacks if that is in a debug file of its own,
// which is looked for once; one that may be another program's is not believed.
func TestSeparateDebugFrame(t *testing.T) {
	program := compile(t, "testdata/endless.c", bare...)
	nameless := compile(t, "testdata/endless.c", append(bare, "-Wl,--build-id=none")...)
	raw, err := hex.DecodeString(buildID(t, program))
	if err != nil || len(raw) == 0 || buildID(t, nameless) != "" {
		t.Fatalf("build-ids %x, %s", raw, buildID(t, nameless))
	}
	byID := debugfile.ByID(debugfile.Dir, buildID(t, program))
	another := func(b []byte) []byte { return bytes.Replace(b, raw, append([]byte{^raw[0]}, raw[1:]...), 1) }
	for name, place := range map[string]debugPlace{
		"beside it":               {at: "DIR/target.debug"},
		"beside it, compressed":   {at: "DIR/target.debug", flags: []string{"--compress-debug-sections=zlib"}},
		"in .debug":               {at: "DIR/.debug/target.debug", flags: []string{"--compress-debug-sections=zstd"}},
		"among debug files":       {at: debugfile.Dir + "DIR/target.debug"},
		"by checksum":             {at: "DIR/target.debug", nameless: true},
		"by build-id":             {at: byID},
		"by build-id, here":       {at: byID, here: true, flags: []string{"--compress-debug-sections=zlib-gnu"}},
		"by name, here":           {at: debugfile.Dir + "DIR/target.debug", here: true, refused: true},
		"another build's":         {at: "DIR/target.debug", change: another, refused: true},
		"another build's, by id":  {at: byID, change: another, refused: true},
		"another checksum":        {at: "DIR/target.debug", nameless: true, change: func(b []byte) []byte { return append(b, 0) }, refused: true},
		"another machine's":       {at: byID, change: func(b []byte) []byte { b[18] = byte(elf.EM_AARCH64); return b }, refused: true},
		"nothing but its headers": {at: byID, flags: []string{"--remove-section=.debug_frame"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			whole := program
			if place.nameless {
				whole = nameless
			}
			stripped, open, looked := place.strip(t, whole)
			objects := NewObjects(openMapping, 0, 0)
			objects.OpenDebug = open
			seen := endedIn(t, objects, stripped)
			for id := 1; id <= 3; id++ {
				got, ok := seen[id]
				// syscall, serve, twice, main, two functions of libc's and _start; or syscall and serve
				if !ok || place.refused != (got.end != Bottom) || place.refused != (len(got.frames) == 2) || !place.refused && len(got.frames) != 7 {
					t.Errorf("mark %d: %#x, %v", id, got.frames, got.end)
				}
			}
			if len(looked) == 0 {
				t.Error("no debug file was looked for")
			}
			for name, times := range looked {
				if times != 1 {
					t.Errorf("%s was looked for %d times", name, times)
				}
			}
		})
	}
}

// strip makes a stripped program and its debug file. open is for Objects, and looked counts what was looked for for that program.
func (p *debugPlace) strip(t *testing.T, whole string) (stripped string, open func(m *Mapping, name string, here bool) (File, error), looked map[string]int) {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir() // root stands for / wherever that is not the program's directory
	stripped = filepath.Join(dir, "target")
	place := func(name string) string {
		if !strings.HasPrefix(name, dir+"/") {
			return filepath.Join(root, name)
		}
		return name
	}
	debug := place(strings.Replace(p.at, "DIR", dir, 1))
	if err := os.MkdirAll(filepath.Dir(debug), 0o700); err != nil {
		t.Fatal(err)
	}
	objcopy := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(needs.Program(t, "objcopy", "binutils"), args...).CombinedOutput(); err != nil {
			t.Fatalf("objcopy %q: %v\n%s", args, err, out)
		}
	}
	objcopy(append(p.flags, "--only-keep-debug", whole, debug)...)
	objcopy("--strip-all", "--add-gnu-debuglink="+debug, whole, stripped)
	if p.change != nil {
		b, err := os.ReadFile(debug)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(debug, p.change(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	looked = map[string]int{}
	return stripped, func(m *Mapping, name string, here bool) (File, error) {
		if m.Path == stripped && !here {
			looked[name]++
		}
		if !strings.HasPrefix(name, dir+"/") && here != p.here {
			return nil, os.ErrNotExist
		}
		found, err := foreign.Here(place(name))
		if err != nil {
			return nil, err
		}
		return found.OpenAndClose()
	}, looked
}

func buildID(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.BuildID()
}

// TestNoDebugFileIsLookedFor: most programs have all that it takes.
func TestNoDebugFileIsLookedFor(t *testing.T) {
	for name, path := range map[string]string{
		"tables":                  compile(t, "testdata/endless.c", "-O2"),
		".debug_frame, not apart": compile(t, "testdata/endless.c", bare...),
	} {
		objects := NewObjects(openMapping, 0, 0)
		objects.OpenDebug = func(m *Mapping, name string, _ bool) (File, error) {
			if m.Path == path {
				t.Errorf("%s: %s was looked for", name, name)
			}
			return nil, os.ErrNotExist
		}
		calls := 0
		everyCallIn(t, objects, path, func(*tracee, *syscall.PtraceRegs, *Space, []uint64, Reason) { calls++ })
		if calls == 0 {
			t.Errorf("%s: no calls", name)
		}
	}
}

// TestHostileDebugFrame: what is kept in memory is bounded, for one file and for all; what is refused takes no room from others.
func TestHostileDebugFrame(t *testing.T) {
	whole := compile(t, "testdata/endless.c", bare...)
	with := func(contents []byte) *elf.File {
		t.Helper()
		section, made := filepath.Join(t.TempDir(), "section"), filepath.Join(t.TempDir(), "debug")
		if err := os.WriteFile(section, contents, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"--only-keep-debug", whole, made},
			{"--update-section=.debug_frame=" + section, made},
			{"--compress-debug-sections=zlib", made},
		} {
			if out, err := exec.Command(needs.Program(t, "objcopy", "binutils"), args...).CombinedOutput(); err != nil {
				t.Fatalf("objcopy %q: %v\n%s", args, err, out)
			}
		}
		b, err := os.ReadFile(made)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.Open(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const kept = 1 << 20
	f := with(make([]byte, kept))
	for name, c := range map[string]struct {
		room   int64
		change func(s *elf.Section)
		loaded bool
	}{
		"fits":      {kept, func(*elf.Section) {}, true},
		"no room":   {kept - 1, func(*elf.Section) {}, false},
		"too large": {kept, func(s *elf.Section) { s.Flags, s.Size = 0, 1<<63 }, false},
		"damaged":   {kept, func(s *elf.Section) { s.Size /= 2 }, false},
	} {
		var unpacked atomic.Int64
		unpacked.Store(maxUnpacked - c.room)
		s, ok := debugFrameOf(f)
		if !ok || !s.IsCompressed() {
			t.Fatalf("%s: the section is %+v", name, s)
		}
		c.change(&s)
		bounded.Run(t, 2*maxUnpacked>>20, func() {
			if d := loadDebugFrame(f, &s, &unpacked); c.loaded != (d != nil) {
				t.Errorf("%s: loaded: %t", name, d != nil)
			}
		})
		if left := maxUnpacked - unpacked.Load(); c.loaded != (left == 0) || !c.loaded && left != c.room {
			t.Errorf("%s: %d bytes are left", name, left)
		}
	}
	// What a CIE has 60 KB of letters for would be read for each of its functions.
	cie := func(letters int) []byte {
		b := append([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 'z'}, bytes.Repeat([]byte{'?'}, letters)...)
		b = append(b, 0, 1, 0x78, 16, 0, 0)
		binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	for letters, want := range map[int]bool{3: true, 60 << 10: false} {
		b := cie(letters)
		e := &ehFrame{f: with(b), debug: &debugSection{size: uint64(len(b)), data: b}}
		if _, err := e.cie(0, make([]byte, maxEntry)); want != (err == nil) {
			t.Errorf("a CIE with %d letters: %v", letters, err)
		}
	}
}

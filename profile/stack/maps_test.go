package stack

import (
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

const someMaps = `55e0c3a00000-55e0c3a02000 r--p 00000000 fe:01 1835021                    /usr/bin/cat
55e0c3a02000-55e0c3a06000 r-xp 00002000 fe:01 1835021                    /usr/bin/cat
55e0c4b5c000-55e0c4b7d000 rw-p 00000000 00:00 0                          [heap]
7f2b1c000000-7f2b1c001000 r-xp 00000000 00:2d 77                         /tmp/with space (deleted)
7f2b1c001000-7f2b1c002000 rw-s 00001000 00:2d 78                         /tmp/new\012line
7f2b1d000000-7f2b1d001000 rwxp 00000000 00:00 0 
7ffd1f7f2000-7ffd1f7f4000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`

// parseMaps reads a /proc/PID/maps file.
func parseMaps(r io.Reader) ([]Mapping, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return AppendMaps(nil, text)
}

func TestParseMaps(t *testing.T) {
	got, err := parseMaps(strings.NewReader(someMaps))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mapping{
		{Start: 0x55e0c3a00000, End: 0x55e0c3a02000, DevMajor: 0xfe, DevMinor: 1, Inode: 1835021, Read: true, Path: "/usr/bin/cat"},
		{Start: 0x55e0c3a02000, End: 0x55e0c3a06000, Offset: 0x2000, DevMajor: 0xfe, DevMinor: 1, Inode: 1835021, Read: true, Exec: true, Path: "/usr/bin/cat"},
		{Start: 0x55e0c4b5c000, End: 0x55e0c4b7d000, Read: true, Write: true, Path: "[heap]"},
		{Start: 0x7f2b1c000000, End: 0x7f2b1c001000, DevMinor: 0x2d, Inode: 77, Read: true, Exec: true, Deleted: true, Path: "/tmp/with space"},
		{Start: 0x7f2b1c001000, End: 0x7f2b1c002000, Offset: 0x1000, DevMinor: 0x2d, Inode: 78, Read: true, Write: true, Shared: true, Path: "/tmp/new\nline"},
		{Start: 0x7f2b1d000000, End: 0x7f2b1d001000, Read: true, Write: true, Exec: true},
		{Start: 0x7ffd1f7f2000, End: 0x7ffd1f7f4000, Read: true, Exec: true, Path: "[vdso]"},
		{Start: 0xffffffffff600000, End: 0xffffffffff601000, Exec: true, Path: "[vsyscall]"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	space := NewSpace(NewObjects(nil, 0, 0), got)
	for addr, path := range map[uint64]string{0x55e0c3a02000: "/usr/bin/cat", 0x7ffd1f7f3fff: "[vdso]"} {
		if m, ok := space.Mapping(addr); !ok || m.Path != path {
			t.Errorf("%#x is in %+v, want %s", addr, m, path)
		}
	}
	for _, addr := range []uint64{0, 0x55e0c3a01fff, 0x55e0c3a06000, 0x55e0c4b5c000, ^uint64(0)} {
		if m, ok := space.Mapping(addr); ok {
			t.Errorf("%#x is in %+v", addr, m)
		}
	}
}

func TestParseMapsOfThisProcess(t *testing.T) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := AppendMaps(nil, text)
	if err != nil || len(maps) != strings.Count(string(text), "\n") {
		t.Fatalf("%d mappings, %v, of\n%s", len(maps), err, text)
	}
}

func TestMalformedMaps(t *testing.T) {
	for _, line := range []string{
		"x", "1000-2000", "1000-2000 r-xp", "2000-1000 r-xp 0 0:0 0 ", "1000-2000 r-xp 0 0:0 ",
		"10000000000000000-2 r-xp 0 0:0 0", "1000 2000 r-xp 0 0:0 0", "-2000 r-xp 0 0:0 0",
	} {
		if m, err := AppendMaps(nil, []byte(line+"\n")); err == nil {
			t.Errorf("%q: %+v", line, m)
		}
	}
}

func FuzzMaps(f *testing.F) {
	f.Add(someMaps)
	f.Fuzz(func(t *testing.T, text string) {
		maps, _ := parseMaps(strings.NewReader(text))
		for _, m := range maps {
			if m.End < m.Start {
				t.Fatalf("%+v", m)
			}
		}
		s := NewSpace(NewObjects(nil, 0, 0), maps)
		for _, m := range maps {
			s.Mapping(m.Start)
		}
	})
}

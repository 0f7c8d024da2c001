package paths

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestText reads strings of this process: at the end of what is mapped, too, and not beyond.
func TestText(t *testing.T) {
	size := os.Getpagesize()
	mapped, err := unix.MmapPtr(-1, 0, nil, uintptr(3*size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.MunmapPtr(mapped, uintptr(2*size))
	if err := unix.MunmapPtr(unsafe.Add(mapped, 2*size), uintptr(size)); err != nil {
		t.Fatal(err)
	}
	pages, base := unsafe.Slice((*byte)(mapped), 2*size), uint64(uintptr(mapped))
	m := NewLateReader()
	pid := int32(os.Getpid())
	long := strings.Repeat("x", 5_000)
	for _, test := range []struct {
		at   int
		text string
		want string
		ok   bool
	}{
		{0, "/etc/passwd\x00rest", "/etc/passwd", true},
		{size - 3, "across\x00", "across", true},
		{2*size - 4, "end\x00", "end", true},
		{2*size - 3, "end", "", false},
		{0, "\x00", "", true},
		{10, long + "\x00", long[:4096], true},
	} {
		clear(pages[:2*size])
		copy(pages[test.at:2*size], test.text)
		if got, ok := m.Text(pid, base+uint64(test.at)); got != test.want || ok != test.ok {
			t.Errorf("%.20q at %d: %.20q, %v", test.text, test.at, got, ok)
		}
	}
	if _, ok := m.Text(pid, 1); ok {
		t.Error("what is not mapped is read")
	}
	if _, ok := m.Text(0x7ffffff0, base); ok {
		t.Error("the memory of no process is read")
	}
}

package symbol

import (
	"bytes"
	"debug/elf"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"sysprof/profile/stack/internal/bounded"
	"sysprof/syscalltab/needs"
)

// testdata/text.xz was made by xz -9e of the C and C++ sources several times over, with random bytes among them.
func TestXZ(t *testing.T) {
	packed, err := os.ReadFile(filepath.Join("testdata", "text.xz"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "text"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := unxz(packed, 1<<20, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if out, err := unxz(packed, len(want)-1, nil); err == nil {
		t.Errorf("%d bytes in spite of a limit of %d", len(out), len(want)-1)
	}
	for i := range packed {
		bad := bytes.Clone(packed)
		bad[i] ^= 0x10
		unxz(bad, 1<<20, nil)
		unxz(bad[:i], 1<<20, nil)
	}
}

// TestXZOfCode unpacks what xz has packed with its filter for x86 code: this program, in one block and in many.
func TestXZOfCode(t *testing.T) {
	program := needs.Program(t, "xz", "xz-utils")
	code, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	code = code[:min(len(code), 1<<18)]
	for i := 0; i+8 < len(code); i += 4099 { // opcodes within each other's operands
		copy(code[i:], []byte{0xe8, 0xe9, 0, 0xe8, 0xff, 0, 0xff, 0})
	}
	for _, size := range []string{"0", "65536", "5000"} {
		cmd := exec.Command(program, "--stdout", "--block-size="+size, "--x86", "--lzma2=preset=1")
		cmd.Stdin = bytes.NewReader(code)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := unxz(packed, len(code), nil)
		if err != nil || !bytes.Equal(got, code) {
			t.Errorf("blocks of %s: %d bytes, %v", size, len(got), err)
		}
	}
}

func TestMiniDebugIsELF(t *testing.T) {
	e, err := elf.Open(filepath.Join("testdata", "minidebug"))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	data, err := e.Section(".gnu_debugdata").Data()
	if err != nil {
		t.Fatal(err)
	}
	out, err := unxz(data, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elf.NewFile(bytes.NewReader(out)); err != nil {
		t.Error(err)
	}
}

// xzHeader begins a stream without checksums of its contents.
var xzHeader = []byte("\xfd7zXZ\x00\x00\x00\xff\x12\xd9\x41")

// xzBlock is a block that asks for a dictionary of nearly 4 GB.
func xzBlock(chunks string) []byte {
	b := append([]byte{2, 0, 0x21, 1, 40, 0, 0, 0, 0, 0, 0, 0}, chunks...)
	return append(b, make([]byte, -len(chunks)&3)...)
}

// Blocks of a stream are one after the other, whatever the order of stored and compressed chunks.
func TestXZBlocks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "text"))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, len(text))
	rand.NewChaCha8([32]byte{}).Read(noise)
	want := slices.Concat(text, noise, text)
	for _, size := range []int64{1 << 30, 5000, int64(len(text)), 1000} {
		var packed bytes.Buffer
		w, err := xz.WriterConfig{BlockSize: size}.NewWriter(&packed)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(want)
		w.Close()
		if got, err := unxz(packed.Bytes(), len(want), nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("blocks of %d: %d bytes, %v", size, len(got), err)
		}
	}
	stored := slices.Concat(xzHeader, xzBlock("\x01\x00\x02abc\x00"), xzBlock("\x00"), xzBlock("\x01\x00\x00d\x00"), []byte{0})
	if got, err := unxz(stored, 4, nil); err != nil || string(got) != "abcd" {
		t.Errorf("%q, %v", got, err)
	}
}

// Each block asks for a dictionary of 4 GB, and they get a small one together.
func TestXZManyBlocks(t *testing.T) {
	const n = maxChunks
	in := slices.Concat(xzHeader, bytes.Repeat(xzBlock("\x01\x00\x00a\x00"), n), []byte{0})
	bounded.Run(t, 256, func() {
		if out, err := unxz(in, n, nil); err != nil || len(out) != n {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
}

// No stream takes more memory or time than what comes out of it explains.
func TestHostileXZ(t *testing.T) {
	// A chunk said to hold 2 MB, of five bytes and properties.
	const large = "\xff\xff\xff\x00\x04\x5d\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"a dictionary of 4 GB", slices.Concat(xzHeader, xzBlock("\xe0\x00\xff\x00\x04\x5d\x00\x00\x00\x00\x00\x00"), []byte{0})},
		{"a dictionary that cannot be", slices.Concat(xzHeader, []byte{2, 0, 0x21, 1, 41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})},
		{"said to hold more than the limit", slices.Concat(xzHeader, xzBlock(strings.Repeat(large, 100)+"\x00"), []byte{0})},
		{"a million blocks", slices.Concat(xzHeader, bytes.Repeat(xzBlock("\x01\x00\x00a\x00"), 1<<20), []byte{0})},
		{"a million chunks", slices.Concat(xzHeader, xzBlock(strings.Repeat("\x01\x00\x00a", 1<<20)+"\x00"), []byte{0})},
		{"a block that goes on with the dictionary before it", slices.Concat(xzHeader, xzBlock("\x01\x00\x00a\x00"), xzBlock("\x02\x00\x00a\x00"), []byte{0})},
		{"no end", slices.Concat(xzHeader, xzBlock("\x01\x00\x00a\x00"))},
		{"chunks without an end", slices.Concat(xzHeader, xzBlock("\x01\x00\x00a"))},
		{"stored bytes that are not there", slices.Concat(xzHeader, xzBlock("\x01\xff\xffa\x00"))},
		{"an unknown chunk", slices.Concat(xzHeader, xzBlock("\x03\x00\x00a\x00"), []byte{0})},
		{"compressed first, without properties", slices.Concat(xzHeader, xzBlock("\x80\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00"), []byte{0})},
	} {
		t.Run(c.name, func(t *testing.T) {
			bounded.Run(t, 80, func() {
				if out, err := unxz(c.in, 1<<24, nil); err == nil {
					t.Errorf("%d bytes", len(out))
				}
			})
		})
	}
}

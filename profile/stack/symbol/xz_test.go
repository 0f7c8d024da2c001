package symbol

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
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
	got, err := unxz(packed, 1<<20)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if out, err := unxz(packed, len(want)-1); err == nil {
		t.Errorf("%d bytes in spite of a limit of %d", len(out), len(want)-1)
	}
	for i := range packed {
		bad := bytes.Clone(packed)
		bad[i] ^= 0x10
		unxz(bad, 1<<20)
		unxz(bad[:i], 1<<20)
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
	out, err := unxz(data, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elf.NewFile(bytes.NewReader(out)); err != nil {
		t.Error(err)
	}
}

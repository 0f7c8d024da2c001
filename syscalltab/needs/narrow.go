package needs

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// NarrowCalls demands a kernel that takes calls of 32-bit x86 programs (ia32_emulation). It skips the test where there is none,
// whatever the environment says: a machine cannot be given another kernel.
func NarrowCalls(t testing.TB) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("there are no 32-bit programs of this architecture")
	}
	file := filepath.Join(t.TempDir(), "narrow")
	if err := os.WriteFile(file, narrowProgram(), 0o700); err != nil {
		t.Fatal(err)
	}
	process, err := os.StartProcess(file, []string{file}, &os.ProcAttr{})
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("needs a kernel that runs 32-bit programs: boot with ia32_emulation=on")
	}
	if err != nil {
		t.Fatal(err)
	}
	if state, err := process.Wait(); err != nil || !state.Success() {
		t.Fatalf("a 32-bit program that exits: %v, %v", state, err)
	}
}

// narrowProgram is a 32-bit ELF file (elf(5)) of nothing but its headers, and the call exit(0).
func narrowProgram() []byte {
	const (
		base, headers    = 0x8048000, 52 + 32
		executable, i386 = 2, 3 // ET_EXEC, EM_386
		load, readRun    = 1, 5 // PT_LOAD, PF_R|PF_X
		page             = 0x1000
	)
	code := []byte{0x31, 0xdb, 0x31, 0xc0, 0x40, 0xcd, 0x80} // xor ebx,ebx; xor eax,eax; inc eax; int 0x80
	size := uint32(headers + len(code))
	le := binary.LittleEndian
	file := append([]byte("\x7fELF\x01\x01\x01"), make([]byte, 9)...)
	for _, half := range []uint16{executable, i386} {
		file = le.AppendUint16(file, half)
	}
	for _, word := range []uint32{1, base + headers, 52, 0, 0} { // version, entry, program headers, sections, flags
		file = le.AppendUint32(file, word)
	}
	for _, half := range []uint16{52, 32, 1, 40, 0, 0} { // sizes and numbers of headers
		file = le.AppendUint16(file, half)
	}
	for _, word := range []uint32{load, 0, base, base, size, size, readRun, page} {
		file = le.AppendUint32(file, word)
	}
	return append(file, code...)
}

package main_test

import (
	"bytes"
	"debug/elf"
	endian "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

// badProgram writes a program that the kernel takes for one until it has done away with the former: the segment that it
// is to be loaded to is none of a process's addresses.
func badProgram(t *testing.T) string {
	t.Helper()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}[runtime.GOARCH]
	const nowhere = 1 << 62
	var program bytes.Buffer
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(machine),
		Version: uint32(elf.EV_CURRENT),
		Entry:   nowhere,
		Phoff:   64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: nowhere, Filesz: 120, Memsz: 120, Align: 4096}
	drive.Must(endian.Write(&program, endian.LittleEndian, header))
	drive.Must(endian.Write(&program, endian.LittleEndian, segment))
	file := filepath.Join(t.TempDir(), "bad")
	drive.Must(os.WriteFile(file, program.Bytes(), 0o755))
	return file
}

// A command that the kernel kills in its execve has died of that signal, for the shell and so for sysprof.
func TestCommandIsKilledInItsExecve(t *testing.T) {
	bad := badProgram(t)
	untraced := drive.Run(t, exec.Command("sh", "-c", `exec "$0"`, bad))
	if !untraced.Status.Signaled() {
		t.Fatalf("untraced: %s\n%s", drive.Describe(untraced.Status), untraced.Stderr)
	}
	other := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	other.Line()
	for _, args := range [][]string{{bad}, {"-e", "trace=read", bad}, {"-p", strconv.Itoa(other.Pid()), bad}} {
		t.Run(strings.Join(args[:len(args)-1], " "), func(t *testing.T) {
			o := drive.Run(t, drive.Sysprof(t, args...))
			drive.Died(t, o.Status, untraced.Status.Signal())
			if last := o.Stderr[strings.LastIndex(strings.TrimSuffix(o.Stderr, "\n"), "\n")+1:]; !strings.HasPrefix(last, "sysprof: launch "+bad+": killed by ") {
				t.Errorf("stderr: %q", o.Stderr)
			}
		})
	}
	other.Alive()
	t.Run("of a traced process", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "sh", "-c", `exec "$0"`, bad))
		drive.Died(t, o.Status, untraced.Status.Signal())
		drive.HasTable(t, o.Stderr, 1)
	})
}

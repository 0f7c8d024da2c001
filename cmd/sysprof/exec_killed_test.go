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
	must(endian.Write(&program, endian.LittleEndian, header))
	must(endian.Write(&program, endian.LittleEndian, segment))
	file := filepath.Join(t.TempDir(), "bad")
	must(os.WriteFile(file, program.Bytes(), 0o755))
	return file
}

// A command that the kernel kills in its execve has died of that signal, for the shell and so for sysprof.
func TestCommandIsKilledInItsExecve(t *testing.T) {
	bad := badProgram(t)
	untraced := run(t, exec.Command("sh", "-c", `exec "$0"`, bad))
	if !untraced.status.Signaled() {
		t.Fatalf("untraced: %s\n%s", describe(untraced.status), untraced.stderr)
	}
	other := start(t, as(exec.Command(self()), "echo"))
	other.line()
	for _, args := range [][]string{{bad}, {"-e", "trace=read", bad}, {"-p", strconv.Itoa(other.pid()), bad}} {
		t.Run(strings.Join(args[:len(args)-1], " "), func(t *testing.T) {
			o := run(t, sysprof(t, args...))
			died(t, o.status, untraced.status.Signal())
			if last := o.stderr[strings.LastIndex(strings.TrimSuffix(o.stderr, "\n"), "\n")+1:]; !strings.HasPrefix(last, "sysprof: launch "+bad+": killed by ") {
				t.Errorf("stderr: %q", o.stderr)
			}
		})
	}
	other.alive()
	t.Run("of a traced process", func(t *testing.T) {
		o := run(t, sysprof(t, "sh", "-c", `exec "$0"`, bad))
		died(t, o.status, untraced.status.Signal())
		hasTable(t, o.stderr, 1)
	})
}

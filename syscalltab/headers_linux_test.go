package syscalltab

import (
	"bufio"
	"bytes"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// The machine's kernel headers are a second source for what the tables say. They may be older or newer
// than x/sys, so only what both have is compared.

// macros gives the #defines after including a header.
func macros(t *testing.T, header string, defines ...string) map[string]string {
	t.Helper()
	gcc := needs.C(t)
	args := []string{"-E", "-dM", "-x", "c", "-"}
	for _, d := range defines {
		args = append(args, "-D"+d)
	}
	cmd := exec.Command(gcc, args...)
	cmd.Stdin = strings.NewReader("#include <" + header + ">\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gcc -E -dM <%s>: %v\n%s", header, err, &stderr)
	}
	m := make(map[string]string)
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.SplitN(s.Text(), " ", 3)
		if len(f) == 3 && f[0] == "#define" {
			m[f[1]] = strings.TrimSpace(f[2])
		}
	}
	return m
}

// value evaluates a macro that is a sum of numbers and such macros.
func value(m map[string]string, expr string, depth int) (v uint64, ok bool) {
	if depth > 8 {
		return 0, false
	}
	for term := range strings.SplitSeq(strings.Trim(expr, "()"), "+") {
		term = strings.TrimSpace(term)
		n, err := strconv.ParseUint(strings.TrimRight(term, "UL"), 0, 64)
		if err != nil {
			if n, ok = value(m, m[term], depth+1); !ok {
				return 0, false
			}
		}
		v += n
	}
	return v, true
}

// numbersIn are the calls in a header.
func numbersIn(t *testing.T, header string, defines ...string) map[string]uint64 {
	t.Helper()
	m := macros(t, header, defines...)
	calls := make(map[string]uint64)
	for macro, expr := range m {
		name, ok := strings.CutPrefix(macro, "__NR_")
		if !ok || name == "syscalls" || name == "arch_specific_syscall" || name == "SYSCALL_BASE" ||
			name == "OABI_SYSCALL_BASE" || name == "SYSCALL_MASK" {
			continue
		}
		if nr, ok := value(m, expr, 0); ok {
			calls[name] = nr
		} else {
			t.Errorf("cannot read #define %s %s", macro, expr)
		}
	}
	return calls
}

func TestNumbersAgainstHeaders(t *testing.T) {
	// What asm-generic/unistd.h leaves to the architecture to want.
	wants := []string{
		"__ARCH_WANT_RENAMEAT", "__ARCH_WANT_NEW_STAT", "__ARCH_WANT_SET_GET_RLIMIT",
		"__ARCH_WANT_TIME32_SYSCALLS", "__ARCH_WANT_SYS_CLONE3", "__ARCH_WANT_MEMFD_SECRET",
	}
	type source struct {
		abi     ABI
		header  string
		defines []string
	}
	sources := []source{
		{ARM64, "asm-generic/unistd.h", wants},
		{RISCV64, "asm-generic/unistd.h", wants},
		{LoongArch64, "asm-generic/unistd.h", wants},
	}
	if runtime.GOARCH == "amd64" {
		sources = append(sources, source{AMD64, "asm/unistd_64.h", nil},
			source{I386, "asm/unistd_32.h", nil},
			source{X32, "asm/unistd_x32.h", []string{"__X32_SYSCALL_BIT=0x40000000"}})
	} else {
		sources = append(sources, source{Native()[0], "asm/unistd.h", nil})
	}
	for _, src := range sources {
		t.Run(src.abi.String()+" "+src.header, func(t *testing.T) {
			a, compared := src.abi, 0
			calls := numbersIn(t, src.header, src.defines...)
			newest := uint64(0)
			for nr := range a.Each() {
				newest = max(newest, a.KernelNumber(nr))
			}
			for name, nr := range calls {
				if nr > newest {
					continue // newer than x/sys
				}
				compared++
				if got := a.Name(nr); got != name {
					t.Errorf("%d is %s, the header says %s", nr, got, name)
				}
			}
			if compared < 300 {
				t.Errorf("only %d calls compared", compared)
			}
		})
	}
}

func TestErrnosAgainstHeaders(t *testing.T) {
	m := macros(t, "asm-generic/errno.h")
	compared := make(map[uint64]bool)
	for macro, expr := range m {
		want, ok := value(m, expr, 0)
		if macro[0] != 'E' || !ok {
			continue
		}
		_, second := m[expr] // a second name, such as EWOULDBLOCK
		if got := Errno(int(want)); got != macro && !second {
			t.Errorf("Errno(%d) = %s, the header says %s", want, got, macro)
		}
		compared[want] = true
	}
	for n, name := range errnos {
		if name != "" && n < 512 && !compared[uint64(n)] {
			t.Errorf("the headers have no %s (%d)", name, n)
		}
	}
}

func TestAuditArchAgainstXSys(t *testing.T) {
	for _, tt := range []struct {
		name       string
		ours, xsys uint32
	}{
		{"x86-64", auditX8664, unix.AUDIT_ARCH_X86_64},
		{"i386", auditI386, unix.AUDIT_ARCH_I386},
		{"arm64", auditAArch64, unix.AUDIT_ARCH_AARCH64},
		{"arm", auditARM, unix.AUDIT_ARCH_ARM},
		{"riscv64", auditRISCV64, unix.AUDIT_ARCH_RISCV64},
		{"loongarch64", auditLoongArch64, unix.AUDIT_ARCH_LOONGARCH64},
	} {
		if tt.ours != tt.xsys {
			t.Errorf("%s: %#x, x/sys says %#x", tt.name, tt.ours, tt.xsys)
		}
	}
}

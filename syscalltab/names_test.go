package syscalltab

import (
	"math"
	"testing"
)

// abis are all ABIs with a table.
var abis = []ABI{AMD64, I386, X32, ARM64, ARM, RISCV64, LoongArch64}

func TestNameNumberRoundTrip(t *testing.T) {
	for _, a := range abis {
		t.Run(a.String(), func(t *testing.T) {
			n, last := 0, uint64(0)
			for nr, name := range a.Each() {
				if got := a.Name(nr); got != name {
					t.Errorf("Name(%#x) = %q, Each says %q", nr, got, name)
				}
				if got, ok := a.Number(name); !ok || got != nr && (!a.isSubcall(nr) || a.isSubcall(got) || a.Name(got) != name) {
					t.Errorf("Number(%q) = %#x, %v; want %#x", name, got, ok, nr)
				}
				if !a.Known(nr) {
					t.Errorf("Known(%#x) = false (%s)", nr, name)
				}
				if n > 0 && nr <= last {
					t.Errorf("Each gives %#x after %#x", nr, last)
				}
				n, last = n+1, nr
			}
			if n < 320 {
				t.Errorf("only %d calls", n)
			}
			if len(tables[a]) > setWords*64 {
				t.Errorf("the table has %d entries, a Set has %d", len(tables[a]), setWords*64)
			}
		})
	}
}

func TestEachStops(t *testing.T) {
	n := 0
	for range AMD64.Each() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d calls walked, want 3", n)
	}
}

func TestName(t *testing.T) {
	tests := []struct {
		abi  ABI
		nr   uint64
		want string
	}{
		{AMD64, 0, "read"},
		{AMD64, 17, "pread64"},
		{AMD64, 156, "_sysctl"},
		{AMD64, 166, "umount2"},
		{AMD64, 231, "exit_group"},
		{AMD64, 262, "newfstatat"},
		{AMD64, 334, "rseq"},
		{I386, 18, "oldstat"},
		{I386, 22, "umount"},
		{I386, 59, "oldolduname"},
		{I386, 82, "select"},
		{I386, 90, "mmap"},
		{I386, 102, "socketcall"},
		{I386, 140, "_llseek"},
		{I386, 142, "_newselect"},
		{I386, 149, "_sysctl"},
		{I386, 191, "ugetrlimit"},
		{I386, 300, "fstatat64"},
		{I386, 403, "clock_gettime64"},
		{I386, 359, "socket"},
		{I386, 1<<32 + 102*256 + 1, "socket"},
		{I386, 1<<32 + 102*256 + 9, "send"},
		{I386, 1<<32 + 102*256 + 20, "sendmmsg"},
		{I386, 1<<32 + 117*256 + 1, "semop"},
		{I386, 1<<32 + 117*256 + 24, "shmctl"},
		{X32, x32Bit + 0, "read"},
		{X32, x32Bit + 13, "rt_sigaction#64"},
		{X32, x32Bit + 512, "rt_sigaction"},
		{X32, x32Bit + 520, "execve"},
		{X32, x32Bit + 547, "pwritev2"},
		{ARM64, 38, "renameat"},
		{ARM64, 79, "newfstatat"},
		{ARM64, 84, "sync_file_range"},
		{ARM, 0, "restart_syscall"},
		{ARM, 90, "mmap"},
		{ARM, 270, "fadvise64_64"},
		{ARM, 341, "sync_file_range2"},
		{ARM, 0xf0001, "breakpoint"},
		{ARM, 0xf0002, "cacheflush"},
		{ARM, 0xf0005, "set_tls"},
		{ARM, 0xf0006, "get_tls"},
		{ARM, 0xffff0, "cmpxchg"},
		{RISCV64, 258, "riscv_hwprobe"},
		{RISCV64, 259, "riscv_flush_icache"},
		{LoongArch64, 163, "getrlimit"},
		{LoongArch64, 220, "clone"},
	}
	for _, tt := range tests {
		t.Run(tt.abi.String()+"/"+tt.want, func(t *testing.T) {
			if got := tt.abi.Name(tt.nr); got != tt.want {
				t.Errorf("Name(%#x) = %q, want %q", tt.nr, got, tt.want)
			}
		})
	}
}

func TestUnknownNumbers(t *testing.T) {
	tests := []struct {
		name string
		abi  ABI
		nr   uint64
		want string
	}{
		{"gap in amd64", AMD64, 400, "syscall_0x190"},
		{"out of range", AMD64, 500, "syscall_0x1f4"},
		{"minus one", AMD64, math.MaxUint64, "syscall_0xffffffffffffffff"},
		{"x32 number asked of amd64", AMD64, x32Bit, "syscall_0x40000000"},
		{"gap in 386", I386, 251, "syscall_0xfb"},
		{"strace's invented subcall numbers", I386, 501, "syscall_0x1f5"},
		{"socketcall's subcalls begin at 1", I386, 1<<32 + 102*256, "syscall_0x100006600"},
		{"after socketcall's subcalls", I386, 1<<32 + 102*256 + 21, "syscall_0x100006615"},
		{"gap in ipc's subcalls", I386, 1<<32 + 117*256 + 5, "syscall_0x100007505"},
		{"after ipc's subcalls", I386, 1<<32 + 117*256 + 25, "syscall_0x100007519"},
		{"subcall of getpid", I386, 1<<32 + 20*256 + 1, "syscall_0x100001401"},
		{"32 bits of a subcall", I386, 102*256 + 1, "syscall_0x6601"},
		{"subcall, further bits", I386, 1<<33 + 1<<32 + 102*256 + 1, "syscall_0x300006601"},
		{"386 minus one", I386, math.MaxUint64, "syscall_0xffffffffffffffff"},
		{"subcall asked of amd64", AMD64, 1<<32 + 102*256 + 1, "syscall_0x100006601"},
		{"x32 without its bit", X32, 5, "syscall_0x5"},
		{"x32 out of range", X32, x32Bit + 1000, "syscall_0x400003e8"},
		{"x32 never got uretprobe", X32, x32Bit + 335, "syscall_0x4000014f"},
		{"x32 minus one", X32, math.MaxUint64, "syscall_0xffffffffffffffff"},
		{"arm64 marker of arch calls", ARM64, 244, "syscall_0xf4"},
		{"arm private base", ARM, 0xf0000, "syscall_0xf0000"},
		{"after arm's private calls", ARM, 0xf0007, "syscall_0xf0007"},
		{"arm's place of a private call", ARM, 514, "syscall_0x202"},
		{"before arm's cmpxchg", ARM, 0xfffef, "syscall_0xfffef"},
		{"unknown ABI", Unknown, 1, "syscall_0x1"},
		{"no ABI at all", ABI(200), 1, "syscall_0x1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.abi.Name(tt.nr); got != tt.want {
				t.Errorf("Name(%#x) = %q, want %q", tt.nr, got, tt.want)
			}
			if tt.abi.Known(tt.nr) {
				t.Errorf("Known(%#x) = true", tt.nr)
			}
			if nr, ok := tt.abi.Number(tt.want); ok {
				t.Errorf("Number(%q) = %#x, true", tt.want, nr)
			}
		})
	}
	for range ABI(200).Each() {
		t.Error("an ABI that does not exist has calls")
	}
}

func TestNoAllocations(t *testing.T) {
	set, err := ParseSet("%file,read", abis...)
	if err != nil {
		t.Fatal(err)
	}
	var (
		length int
		member bool
		abi    ABI
	)
	tests := []struct {
		name string
		f    func()
	}{
		{"Name", func() { length += len(AMD64.Name(262)) + len(X32.Name(x32Bit+512)) + len(ARM.Name(0xf0002)) }},
		{"Known", func() { member = AMD64.Known(400) || ARM64.Known(63) }},
		{"Has", func() { member = set.Has(AMD64, 0) != set.Has(I386, math.MaxUint64) }},
		{"FromAudit", func() { abi = FromAudit(auditX8664, 1) }},
		{"Errno", func() { length += len(Errno(2)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, tt.f); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	_, _, _ = length, member, abi
}

func BenchmarkName(b *testing.B) {
	n := 0
	for i := range b.N {
		n += len(AMD64.Name(uint64(i) & 255))
	}
	if b.N > 256 && n == 0 {
		b.Error("no names")
	}
}

func BenchmarkHas(b *testing.B) {
	set, err := ParseSet("%file", AMD64)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for i := range b.N {
		if set.Has(FromAudit(auditX8664, uint64(i)&255), uint64(i)&255) {
			n++
		}
	}
	if b.N > 256 && n == 0 {
		b.Error("no members")
	}
}

package syscalltab

import (
	"math"
	"runtime"
	"slices"
	"testing"
)

func TestFromAudit(t *testing.T) {
	tests := []struct {
		name string
		arch uint32
		nr   uint64
		want ABI
	}{
		{"amd64", auditX8664, 0, AMD64},
		{"x32", auditX8664, x32Bit, X32},
		{"x32, unknown call", auditX8664, x32Bit + 5000, X32},
		{"suppressed call", auditX8664, math.MaxUint64, AMD64},
		{"another negative number", auditX8664, math.MaxUint64 - 4, AMD64},
		{"386", auditI386, 20, I386},
		{"386, bit 30 means nothing", auditI386, x32Bit, I386},
		{"arm64", auditAArch64, 63, ARM64},
		{"arm", auditARM, 0xf0005, ARM},
		{"riscv64", auditRISCV64, 63, RISCV64},
		{"loong64", auditLoongArch64, 63, LoongArch64},
		{"big-endian arm", 0x28, 1, Unknown},
		{"nothing", 0, 0, Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := FromAudit(tt.arch, tt.nr); got != tt.want {
				t.Errorf("FromAudit(%#x, %#x) = %v, want %v", tt.arch, tt.nr, got, tt.want)
			}
		})
	}
}

func TestABI(t *testing.T) {
	tests := []struct {
		abi              ABI
		str              string
		bits             int
		designator, mode string
	}{
		{AMD64, "amd64", 64, "64", "64 bit"},
		{I386, "386", 32, "32", "32 bit"},
		{X32, "x32", 32, "x32", "x32"},
		{ARM64, "arm64", 64, "64", "64 bit"},
		{ARM, "arm", 32, "32", "32 bit"},
		{RISCV64, "riscv64", 64, "64", "64 bit"},
		{LoongArch64, "loong64", 64, "64", "64 bit"},
		{Unknown, "unknown", 64, "64", "64 bit"},
	}
	for _, tt := range tests {
		t.Run(tt.str, func(t *testing.T) {
			if got := tt.abi.String(); got != tt.str {
				t.Errorf("String() = %q", got)
			}
			if got := tt.abi.Bits(); got != tt.bits {
				t.Errorf("Bits() = %d, want %d", got, tt.bits)
			}
			if got := tt.abi.Designator(); got != tt.designator {
				t.Errorf("Designator() = %q, want %q", got, tt.designator)
			}
			if got := tt.abi.Mode(); got != tt.mode {
				t.Errorf("Mode() = %q, want %q", got, tt.mode)
			}
		})
	}
}

func TestNative(t *testing.T) {
	native := Native()
	if len(native) == 0 || native[0].String() != runtime.GOARCH {
		t.Fatalf("Native() = %v on %s", native, runtime.GOARCH)
	}
	if want := []ABI{AMD64, I386, X32}; runtime.GOARCH == "amd64" && !slices.Equal(native, want) {
		t.Errorf("Native() = %v, want %v", native, want)
	}
}

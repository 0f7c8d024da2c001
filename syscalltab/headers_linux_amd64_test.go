package syscalltab

import (
	"strings"
	"testing"
)

// x32's table is the one that is not in x/sys, so its header is compared both ways.
func TestX32AgainstHeader(t *testing.T) {
	calls := numbersIn(t, "asm/unistd_x32.h", "__X32_SYSCALL_BIT=0x40000000")
	newest := uint64(0)
	for _, nr := range calls {
		if nr < x32Bit+512 {
			newest = max(newest, nr)
		}
	}
	for nr, name := range X32.Each() {
		name64, only64 := strings.CutSuffix(name, "#64")
		in, ok := calls[name64]
		has := ok && in == nr
		switch {
		case nr > newest && nr < x32Bit+512: // newer than the header
		case has == only64:
			t.Errorf("%s (%#x): in the header: %v", name, nr, has)
		}
	}
}

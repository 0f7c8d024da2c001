package syscalltab

import (
	"math"
	"testing"
)

func TestDemultiplex(t *testing.T) {
	const ipc, socketcall, there = 117, 102, 0xffffd000
	tests := []struct {
		name string
		abi  ABI
		nr   uint64
		args [6]uint64
		want string
	}{
		{"ipc", I386, ipc, [6]uint64{1}, "semop"},
		{"last of ipc", I386, ipc, [6]uint64{24}, "shmctl"},
		{"ipc of version 1", I386, ipc, [6]uint64{1<<16 | 12}, "msgrcv"},
		{"ipc of the last version", I386, ipc, [6]uint64{0xffff<<16 | 4}, "semtimedop"},
		{"ipc, more than 32 bits", I386, ipc, [6]uint64{1<<32 | 3}, "semctl"},
		{"ipc 0", I386, ipc, [6]uint64{0}, "ipc"},
		{"gap in ipc", I386, ipc, [6]uint64{5}, "ipc"},
		{"behind ipc", I386, ipc, [6]uint64{25}, "ipc"},
		{"ipc, one byte too much", I386, ipc, [6]uint64{0x101}, "ipc"},
		{"ipc -1", I386, ipc, [6]uint64{math.MaxUint32}, "ipc"},
		{"socketcall", I386, socketcall, [6]uint64{1, there}, "socket"},
		{"a subcall that is no call", I386, socketcall, [6]uint64{10, there}, "recv"},
		{"last of socketcall", I386, socketcall, [6]uint64{20, there}, "sendmmsg"},
		{"lowest address of arguments", I386, socketcall, [6]uint64{2, 4096}, "bind"},
		{"socketcall without arguments", I386, socketcall, [6]uint64{2, 0}, "socketcall"},
		{"socketcall with a bad pointer", I386, socketcall, [6]uint64{2, 4095}, "socketcall"},
		{"socketcall 0", I386, socketcall, [6]uint64{0, there}, "socketcall"},
		{"behind socketcall", I386, socketcall, [6]uint64{21, there}, "socketcall"},
		{"socketcall has no versions", I386, socketcall, [6]uint64{1<<16 | 1, there}, "socketcall"},
		{"socketcall -1", I386, socketcall, [6]uint64{math.MaxUint32, there}, "socketcall"},
		{"another call", I386, 3, [6]uint64{1, there}, "read"},
		{"unknown call", I386, 501, [6]uint64{1, there}, "syscall_0x1f5"},
		{"102 of amd64", AMD64, socketcall, [6]uint64{1, there}, "getuid"},
		{"117 of amd64", AMD64, ipc, [6]uint64{1, there}, "setresuid"},
		{"EABI has no socketcall", ARM, socketcall, [6]uint64{1, there}, "socketcall"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nr := tt.abi.Demultiplex(tt.nr, &tt.args)
			if got := tt.abi.Name(nr); got != tt.want {
				t.Errorf("%s (%#x), want %s", got, nr, tt.want)
			}
			if got := tt.abi.KernelNumber(nr); got != tt.nr {
				t.Errorf("KernelNumber(%#x) = %d, want %d", nr, got, tt.nr)
			}
		})
	}
}

// Every subcall has its number, and no other call has.
func TestSubcallNumbers(t *testing.T) {
	subcalls := map[uint64]bool{}
	for _, nr := range []uint64{i386IPC, i386Socketcall} {
		for call := range uint64(100) {
			if subcall := I386.Demultiplex(nr, &[6]uint64{call, 1 << 20}); subcall != nr {
				if subcall <= math.MaxUint32 {
					t.Errorf("subcall %d of %d is %#x, which a program can call", call, nr, subcall)
				}
				subcalls[subcall] = true
			}
		}
	}
	if len(subcalls) != 20+12 {
		t.Errorf("%d subcalls", len(subcalls))
	}
	for _, a := range abis {
		for nr, name := range a.Each() {
			if got, want := a.isSubcall(nr), a == I386 && subcalls[nr]; got != want {
				t.Errorf("%v: isSubcall(%#x, %s) = %v", a, nr, name, got)
			}
			if a.isSubcall(nr) == (a.KernelNumber(nr) == nr) {
				t.Errorf("%v: KernelNumber(%#x) = %#x (%s)", a, nr, a.KernelNumber(nr), name)
			}
		}
	}
}

func BenchmarkDemultiplex(b *testing.B) {
	args := [6]uint64{1, 1 << 20}
	for _, c := range []struct {
		name string
		abi  ABI
		nr   uint64
	}{{"amd64", AMD64, 102}, {"386", I386, 3}, {"subcall", I386, 102}} {
		b.Run(c.name, func(b *testing.B) {
			sum := uint64(0)
			for range b.N {
				sum += c.abi.Demultiplex(c.nr, &args)
			}
			if sum == 0 {
				b.Error("no number")
			}
		})
	}
}

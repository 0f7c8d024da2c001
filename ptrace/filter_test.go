package ptrace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// machines are the lists of ABIs that programs can use on one machine.
var machines = map[string][]syscalltab.ABI{
	"amd64":   {syscalltab.AMD64, syscalltab.I386, syscalltab.X32},
	"arm64":   {syscalltab.ARM64, syscalltab.ARM},
	"riscv64": {syscalltab.RISCV64},
	"loong64": {syscalltab.LoongArch64},
}

// evaluate runs a filter as the kernel would, and returns its answer and how many instructions that took. It
// knows no instructions but those for which the kernel can tell without running a program that a call is always
// allowed (kernel/seccomp.c, seccomp_is_const_allow).
func evaluate(code []unix.SockFilter, arch, nr uint32) (answer uint32, steps int, err error) {
	var a uint32
	for pc := 0; pc < len(code); pc++ {
		steps++
		switch in := code[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch in.K {
			case 0:
				a = nr
			case 4:
				a = arch
			default:
				return 0, steps, fmt.Errorf("instruction %d loads from %d, neither the number nor the architecture", pc, in.K)
			}
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += taken(a == in.K, in)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			pc += taken(a >= in.K, in)
		case unix.BPF_RET | unix.BPF_K:
			return in.K, steps, nil
		default:
			return 0, steps, fmt.Errorf("instruction %d is %+v", pc, in)
		}
	}
	return 0, steps, fmt.Errorf("it runs off its end")
}

func taken(condition bool, in unix.SockFilter) int {
	if condition {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// numbersToTry are all numbers that any table could have, and others at the ends of ranges.
func numbersToTry(rng *rand.Rand) (numbers []uint32) {
	for _, start := range []uint32{0, 1 << 30, 1 << 31, 3 << 30, 0x0f0000, 0xfff000} {
		for nr := range uint32(700) {
			numbers = append(numbers, start+nr, start-nr)
		}
	}
	for range 500 {
		numbers = append(numbers, rng.Uint32())
	}
	return numbers
}

// randomSet is an expression that chooses some calls of these ABIs.
func randomSet(rng *rand.Rand, abis []syscalltab.ABI) string {
	var items []string
	share := rng.Float64()
	for _, abi := range abis {
		for _, name := range abi.Each() {
			if rng.Float64() < share && !strings.Contains(name, "#") {
				items = append(items, name+"@"+abi.Designator())
			}
		}
	}
	if len(items) == 0 {
		items = append(items, "none")
	}
	not := []string{"", "!"}[rng.IntN(2)]
	return not + strings.Join(items, ",")
}

// multiplexes reports whether a call is many, of which the kernel's filter cannot tell one from the other.
func multiplexes(abi syscalltab.ABI, nr uint64) bool {
	name := abi.Name(nr)
	return abi == syscalltab.I386 && (name == "ipc" || name == "socketcall")
}

// choosesSubcall reports whether a filter is asked for a subcall of the call of i386 with number nr.
func choosesSubcall(f *Filter, nr uint64) bool {
	for call := range uint64(100) {
		subcall := syscalltab.I386.Demultiplex(nr, &[6]uint64{call, 1 << 20})
		name := syscalltab.I386.Name(subcall)
		if subcall != nr && (f.Calls.Has(syscalltab.I386, subcall) || slices.Contains(f.Also, name)) {
			return true
		}
	}
	return false
}

func TestFilterDecidesAsTheSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for machine, abis := range machines {
		sets := []string{"none", "!none", "all", "read", "!read", "%file", "!%file", "%network,%desc", "/^get", "execve", "acct", "ptrace"}
		if slices.Contains(abis, syscalltab.I386) {
			sets = append(sets, "semop", "send", "!semop", "ipc", "!ipc", "%ipc", "socketcall", "!socketcall", "socket@32", "msgget@64")
		}
		for range 25 {
			sets = append(sets, randomSet(rng, abis))
		}
		for _, expr := range sets {
			set, err := syscalltab.ParseSet(expr, abis...)
			if err != nil {
				t.Fatal(err)
			}
			f := &Filter{Calls: set}
			if rng.IntN(2) == 0 {
				f.Also = []string{"mmap", "clone", "nosuchcall", "recv"}
			}
			code, err := f.program(abis)
			if err != nil {
				t.Fatalf("%s: %.60s: %v", machine, expr, err)
			}
			const mostSteps = 4 + 4*3 + 2*11 // the architectures, and a search through 1024 ranges with long jumps
			for _, abi := range abis {
				arch := auditOf[abi]
				for _, nr := range numbersToTry(rng) {
					got, steps, err := evaluate(code, arch, nr)
					if err != nil {
						t.Fatalf("%s: %.60s: number %#x: %v", machine, expr, nr, err)
					}
					seen := uint64(int64(int32(nr))) // as the tracer reads it
					as := syscalltab.FromAudit(arch, seen)
					name := as.Name(seen)
					want := set.Has(as, seen) || slices.Contains(alwaysStopped, name) || slices.Contains(f.Also, name)
					if multiplexes(as, seen) {
						want = want || choosesSubcall(f, seen)
					}
					if stops := got == unix.SECCOMP_RET_TRACE|filterMark; stops != want || !stops && got != unix.SECCOMP_RET_ALLOW {
						t.Fatalf("%s: %.60s: %v call %#x (%s): the filter answers %#x, the set says %v", machine, expr, as, nr, name, got, want)
					}
					if steps > mostSteps {
						t.Fatalf("%s: %.60s: number %#x takes %d instructions", machine, expr, nr, steps)
					}
				}
			}
			if got, _, err := evaluate(code, 0xdeadbeef, 0); err != nil || got != unix.SECCOMP_RET_TRACE|filterMark {
				t.Fatalf("%s: %.60s: an unknown architecture: %#x, %v", machine, expr, got, err)
			}
		}
	}
}

// A set that has every second call takes as many ranges as there can be.
func TestLongestFilter(t *testing.T) {
	for machine, abis := range machines {
		var items []string
		for _, abi := range abis {
			i := 0
			for _, name := range abi.Each() {
				if i++; i%2 == 0 && !strings.Contains(name, "#") {
					items = append(items, name+"@"+abi.Designator())
				}
			}
		}
		set, err := syscalltab.ParseSet(strings.Join(items, ","), abis...)
		if err != nil {
			t.Fatal(err)
		}
		code, err := (&Filter{Calls: set}).program(abis)
		if err != nil {
			t.Errorf("%s: %v", machine, err)
		}
		t.Logf("%s: %d instructions", machine, len(code))
	}
}

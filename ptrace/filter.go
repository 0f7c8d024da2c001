package ptrace

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// Filter is a choice of the calls that a launched command is to be stopped at. The kernel runs all others as
// if the command were not traced, by a seccomp filter that the command is given (seccomp(2)).
//
// It is heeded only where all threads and children are followed and nothing is attached to: a process that has the
// filter and no tracer is refused the calls of the choice, with ENOSYS.
type Filter struct {
	Calls *syscalltab.Set // what is asked for
	Also  []string        // names of calls to stop at besides, in every ABI that has them
}

// alwaysStopped are the calls that the tracer has to see, whatever is asked for: those that make a tracer or a
// filter, and the one in which the thread is that goes on with a call that is asked for.
var alwaysStopped = []string{"ptrace", "seccomp", "prctl", "restart_syscall"}

// auditOf has the kernel's names of ABIs (include/uapi/linux/audit.h), as a filter sees them.
var auditOf = map[syscalltab.ABI]uint32{
	syscalltab.AMD64:       unix.AUDIT_ARCH_X86_64,
	syscalltab.X32:         unix.AUDIT_ARCH_X86_64, // with bit 30 in the number
	syscalltab.I386:        unix.AUDIT_ARCH_I386,
	syscalltab.ARM64:       unix.AUDIT_ARCH_AARCH64,
	syscalltab.ARM:         unix.AUDIT_ARCH_ARM,
	syscalltab.RISCV64:     unix.AUDIT_ARCH_RISCV64,
	syscalltab.LoongArch64: unix.AUDIT_ARCH_LOONGARCH64,
}

// What the filter answers. The data of the one tells it from answers of the program's own filters.
const (
	filterMark   = 0x5953 // "SY"
	answerStop   = unix.SECCOMP_RET_TRACE | filterMark
	answerAllow  = unix.SECCOMP_RET_ALLOW
	mostInFilter = 4096 // BPF_MAXINSNS of <linux/bpf_common.h>
)

// Offsets into struct seccomp_data of <linux/seccomp.h>.
const (
	dataNr   = 0
	dataArch = 4
)

// program makes the filter for the kernel, for programs of the given ABIs.
//
// It decides by architecture and number alone, so that the kernel needs to run it only once for each number that
// is always allowed (kernel/seccomp.c, seccomp_cache_prepare). An architecture that is not known here is stopped
// at every call.
func (f *Filter) program(abis []syscalltab.ABI) ([]unix.SockFilter, error) {
	code := []unix.SockFilter{load(dataArch)}
	var done []uint32
	for _, abi := range abis {
		arch, ok := auditOf[abi]
		if !ok || slices.Contains(done, arch) {
			continue
		}
		done = append(done, arch)
		block := append([]unix.SockFilter{load(dataNr)}, search(f.runs(arch, abis))...)
		code = append(code, jump(unix.BPF_JEQ, arch, 1, 0), skip(len(block)))
		code = append(code, block...)
	}
	code = append(code, answer(true))
	if len(code) > mostInFilter {
		return nil, fmt.Errorf("the filter needs %d instructions, the kernel takes %d", len(code), mostInFilter)
	}
	return code, nil
}

// run is a range of numbers with the same answer: from its first number to the next one's.
type run struct {
	first uint32
	stop  bool
}

// runs divides all numbers of an architecture by the answer, in ascending order.
func (f *Filter) runs(arch uint32, abis []syscalltab.ABI) []run {
	stops := make(map[syscalltab.ABI]map[uint64]bool) // by the number that the kernel knows
	// Between two numbers that some table knows, and the ends of x32's, all numbers have the same answer.
	bounds := []uint32{0, 1 << 30, 1 << 31}
	for _, abi := range abis {
		if auditOf[abi] != arch {
			continue
		}
		stops[abi] = make(map[uint64]bool)
		for nr, name := range abi.Each() {
			entered := abi.KernelNumber(nr) // ipc, for all of its subcalls
			bounds = append(bounds, uint32(entered), uint32(entered)+1)
			if f.Calls.Has(abi, nr) || slices.Contains(alwaysStopped, name) || slices.Contains(f.Also, name) {
				stops[abi][entered] = true
			}
		}
	}
	slices.Sort(bounds)
	var runs []run
	for _, first := range bounds {
		nr := uint64(int64(int32(first))) // as PTRACE_GET_SYSCALL_INFO has it
		abi := syscalltab.FromAudit(arch, nr)
		stop := f.Calls.Has(abi, nr) || stops[abi][nr] // the set alone decides about unknown numbers
		if n := len(runs); n == 0 || runs[n-1].stop != stop {
			runs = append(runs, run{first, stop})
		}
	}
	return runs
}

// search is a binary search through runs for the number that has been loaded.
func search(runs []run) []unix.SockFilter {
	if len(runs) == 1 {
		return []unix.SockFilter{answer(runs[0].stop)}
	}
	middle := len(runs) / 2
	below, above := search(runs[:middle]), search(runs[middle:])
	// A conditional jump reaches 255 instructions further at most.
	const reach = 255
	var code []unix.SockFilter
	if len(below) <= reach {
		code = append(code, jump(unix.BPF_JGE, runs[middle].first, uint8(len(below)), 0))
	} else {
		code = append(code, jump(unix.BPF_JGE, runs[middle].first, 0, 1), skip(len(below)))
	}
	return slices.Concat(code, below, above)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jump compares with k and skips so many instructions then, or else.
func jump(comparison uint16, k uint32, then, otherwise uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | comparison | unix.BPF_K, Jt: then, Jf: otherwise, K: k}
}

func skip(instructions int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(instructions)}
}

func answer(stop bool) unix.SockFilter {
	k := uint32(answerAllow)
	if stop {
		k = answerStop
	}
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

package ptrace

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// Calibration is what a child that makes the cheapest of all calls took for them, by its own clock,
// first untraced and then traced as everything else is. The difference is what tracing costs.
type Calibration struct {
	CrossCPU   bool    // tracer and tracee were not pinned to one CPU
	BatchCalls int     // calls a batch
	UntracedNs []int64 // a batch each
	TracedNs   []int64

	References []Reference
}

// Reference is a kind of work that the calibration child did, by a few calls in turn, besides
// CalibrationCall: traced calls find caches and branch predictors cold, so that tracing costs a
// call the more the more the call does.
type Reference struct {
	Nrs        []uint64 // in each turn, one of each
	BatchCalls int      // of all Nrs together
	UntracedNs []int64  // a batch each
}

// CalibrationCall is the number of the call that the calibration child makes: getppid(2) takes no
// argument, touches no memory of the caller's, and cannot be answered without the kernel.
const CalibrationCall = unix.SYS_GETPPID

const (
	calibrationBatches = 18
	calibrationCalls   = 48 // a batch; all batches together are well under 20 ms of traced calls, on one CPU
	secondBatches      = 4  // of a second calibration, across CPUs, whose calls take several times as long

	// After each batch, a smaller one of one kind of reference call, in turn.
	referenceKinds = 3
	referenceCalls = 20
	referenceSize  = 8 << 10 // bytes to map
)

// referenceNrs are what the kinds of reference calls consist of: a short call that looks a descriptor
// up and writes to the caller's memory, a longer one, and one that allocates memory.
var referenceNrs = [referenceKinds][]uint64{
	{unix.SYS_FSTAT}, {unix.SYS_OPENAT, unix.SYS_CLOSE}, {unix.SYS_MMAP, unix.SYS_MUNMAP},
}

// rootPath is the path of a directory, for the kernel.
var rootPath = [2]byte{'/', 0}

// Arguments that are no descriptor: the path is absolute, the mapping is of no file.
const (
	atRoot = ^uintptr(99) // AT_FDCWD, −100
	noFile = ^uintptr(0)
)

// calibrationPage is what the calibration child shares with the tracer.
type calibrationPage struct {
	gate       gate // with what became of a filter
	batches    int
	untraced   [calibrationBatches]int64
	traced     [calibrationBatches]int64
	references [calibrationBatches]int64 // untraced
	stat       [256]byte                 // what fstat writes
}

// reference returns the reference calls of one kind.
func (p *calibrationPage) reference(kind int) Reference {
	r := Reference{Nrs: referenceNrs[kind], BatchCalls: referenceCalls}
	for batch := kind; batch < p.batches; batch += referenceKinds {
		r.UntracedNs = append(r.UntracedNs, p.references[batch])
	}
	return r
}

// calibrateAll calibrates for where the tracees are going to run: on the tracer's CPU, and, where that
// is so for some of their calls only, elsewhere.
//
// Precondition: the caller is the tracer thread and nothing is traced yet.
func (w *worker) calibrateAll(onCall func(*profile.Call)) error {
	defer func() {
		if w.placement != nil {
			w.releaseAllPlaced()
		}
		w.rest()
	}()
	batches := calibrationBatches
	for _, apart := range []bool{false, true} {
		switch {
		case w.placement == nil && !apart, w.placement != nil && w.placement.guard == nil && apart:
			continue
		}
		c, err := w.calibrate(onCall, apart, batches)
		if err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
		if c != nil {
			w.calibrations = append(w.calibrations, c)
		}
		batches = secondBatches
	}
	return nil
}

// calibrate lets a child make calls, and hands those that are traced to onCall.
//
// The child is forked and executes nothing, so it makes no call but those that are asked of it, and
// it is traced by the very loop that traces everything else.
func (w *worker) calibrate(onCall func(*profile.Call), apart bool, batches int) (*Calibration, error) {
	gate, err := newGate()
	if err != nil {
		return nil, err
	}
	defer gate.close()
	page := (*calibrationPage)(unsafe.Pointer(gate)) // one page has room for it
	page.batches = batches
	pid, err := forkCalibration(page, w.calibrationFilter())
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	kill := func() { unix.Kill(int(pid), unix.SIGKILL) }
	if err := seize(pid, w.seizeOptions()|unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESECCOMP); err != nil {
		why := whyNoSeize(pid, err) // as long as there is a child to ask
		kill()
		unix.Wait4(int(pid), nil, unix.WALL, nil)
		return nil, fmt.Errorf("trace a child: %w%s", err, why)
	}
	tr := w.add(pid, pid)
	if apart {
		tr.place.barred = true
	} else {
		w.settle(tr)
	}
	gate.open(phaseSeized)
	for gate.phase.Load() == phaseSeized {
		gate.await(phaseSeized, lookAgain)
		if got, err := unix.Wait4(int(pid), nil, unix.WALL|unix.WNOHANG, nil); err != nil || got != 0 {
			kill() // somebody interferes with it
			w.forget(tr)
			return nil, fmt.Errorf("the calibration child did not begin")
		}
	}
	interrupt(pid)
	fastestNs := int64(math.MaxInt64)
	var gaps []int64
	counting := w.onCall
	defer func() { w.onCall = counting }()
	w.onCall = func(c *profile.Call) {
		fastestNs = min(fastestNs, c.ExitSeenNs-c.EntryResumedNs)
		if apart && c.GapNs >= 0 {
			gaps = append(gaps, c.GapNs)
		}
		onCall(c)
	}
	for w.step() {
		// Its first stop is over, so all of its calls from now on are traced.
		if gate.phase.Load() == phaseReady && w.tracees[pid] != nil {
			gate.open(phaseGo)
		}
		// It is traced as the command will be.
		w.filtered = w.program != nil && gate.filter.tried != 0 && gate.filter.errno == 0
	}
	w.filtered = false
	if err := w.failed(); err != nil {
		kill()
		return nil, err
	}
	// With one tracee nobody waits in line: this is how soon a stop can follow upon a resumption.
	// Half of it leaves room for a machine that becomes faster.
	if w.queuedBelowNs == 0 || fastestNs/2 < w.queuedBelowNs {
		w.queuedBelowNs = fastestNs / 2
	}
	if slices.Sort(gaps); len(gaps) > 0 {
		w.wakeNs = gaps[len(gaps)/2]
	}
	if page.traced[batches-1] == 0 {
		return nil, nil // somebody ended it, as a ^C at the terminal does
	}
	c := &Calibration{
		CrossCPU:   apart,
		BatchCalls: calibrationCalls,
		UntracedNs: append([]int64(nil), page.untraced[:batches]...),
		TracedNs:   append([]int64(nil), page.traced[:batches]...),
	}
	for kind := range referenceKinds {
		c.References = append(c.References, page.reference(kind))
	}
	return c, nil
}

// forkCalibration forks the calibration child. It returns in the parent only. In the child the
// rules of childPlan.fork hold.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkCalibration(page *calibrationPage, filter *unix.SockFprog) (int32, error) {
	var (
		pid        uintptr
		errno      syscall.Errno
		pass       int // 0: untraced
		batch, i   int
		root, addr uintptr
		tookNs     int64
		start, end unix.Timespec
		word       = unsafe.Pointer(&page.gate.phase)
		phase      = (*uint32)(word)
	)
	syscall.ForkLock.Lock()
	runtimeBeforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		syscall.ForkLock.Unlock()
		if errno != 0 {
			return 0, errno
		}
		return int32(pid), nil
	}

	// The child.
	runtimeAfterForkInChild()
	for *phase == phaseForked {
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWait, phaseForked, 0, 0, 0)
	}
	root, _, _ = syscall.RawSyscall6(unix.SYS_OPENAT, atRoot, uintptr(unsafe.Pointer(&rootPath)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	for pass = 0; pass < 2; pass++ {
		if pass == 1 {
			page.gate.pass()
			if filter != nil {
				page.gate.filter.install(filter)
			}
		}
		for batch = 0; batch < page.batches; batch++ {
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&start)), 0)
			for i = 0; i < calibrationCalls; i++ {
				syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&end)), 0)
			tookNs = (end.Sec-start.Sec)*1e9 + end.Nsec - start.Nsec
			if pass == 0 {
				page.untraced[batch] = tookNs
			} else {
				page.traced[batch] = tookNs
			}
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&start)), 0)
			for i = 0; i < referenceCalls; i++ {
				switch batch % referenceKinds {
				case 0:
					syscall.RawSyscall(unix.SYS_FSTAT, root, uintptr(unsafe.Pointer(&page.stat)), 0)
				case 1:
					addr, _, _ = syscall.RawSyscall6(unix.SYS_OPENAT, atRoot, uintptr(unsafe.Pointer(&rootPath)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
					syscall.RawSyscall(unix.SYS_CLOSE, addr, 0, 0)
					i++
				case 2:
					addr, _, _ = syscall.RawSyscall6(unix.SYS_MMAP, 0, referenceSize, unix.PROT_READ|unix.PROT_WRITE,
						unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE, noFile, 0)
					syscall.RawSyscall(unix.SYS_MUNMAP, addr, referenceSize, 0)
					i++
				}
			}
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&end)), 0)
			if pass == 0 {
				page.references[batch] = (end.Sec-start.Sec)*1e9 + end.Nsec - start.Nsec
			}
		}
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

package inkernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// The test binary starts itself as the program that is counted, which makes calls when it is told to.
const targetEnv = "INKERNEL_TEST_TARGET"

func TestMain(m *testing.M) {
	if what := os.Getenv(targetEnv); what != "" {
		time.AfterFunc(2*needs.Patience(), func() { os.Exit(99) })
		makeCalls(strings.Fields(what))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// makeCalls waits for a line, makes calls, says so, and waits for the end of its input: "getppid THREADS CALLS", or
// "unknown KINDS", "busy MILLISECONDS", "sleeps", "execs CALLS", "ends FAILURES", "errors CALLS", "slow", "rhythm EVERY CALLS", "waits".
// It says how many calls it made where that is not known before, and of "waits" which thread waits.
func makeCalls(what []string) {
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	number := func(i int) int {
		n, _ := strconv.Atoi(what[i])
		return n
	}
	made := 0
	switch what[0] {
	case "getppid":
		var all sync.WaitGroup
		for range number(1) {
			all.Go(func() {
				runtime.LockOSThread() // and never unlock: the thread ends
				for range number(2) {
					unix.Getppid()
				}
			})
		}
		all.Wait()
	case "busy":
		for end := time.Now().Add(time.Duration(number(1)) * time.Millisecond); time.Now().Before(end); {
			for range 1000 {
				unix.Getppid()
			}
			made += 1000
		}
	case "ends":
		for range number(1) {
			unix.Close(-1)
		}
		exec.Command("/bin/true").Run()
		killWhileReading()
	case "execs":
		for range number(1) {
			unix.Exec("/nowhere", []string{""}, nil)
		}
	case "sleeps":
		for ns := int64(1); ns < 500_000_000; ns *= 3 {
			time := unix.NsecToTimespec(ns)
			unix.Nanosleep(&time, nil)
		}
	case "errors":
		for range number(1) {
			unix.Openat(-1, "relative", 0, 0)
			unix.Openat(-1, "/nowhere", 0, 0)
		}
	case "slow":
		short := unix.NsecToTimespec(5_000_000)
		unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &short, nil)
		ends, _ := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		wait := unix.NsecToTimeval(short.Nano())
		unix.SetsockoptTimeval(ends[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
		unix.Recvfrom(ends[0], make([]byte, 1), 0)
		unix.Ppoll(nil, &short, nil)
	case "rhythm":
		zero, _ := os.Open("/dev/zero")
		much := make([]byte, 4<<20)
		for i := range number(2) {
			if i%number(1) == 0 {
				unix.Pread(int(zero.Fd()), much, 0)
			} else {
				unix.Pread(int(zero.Fd()), nil, 0)
			}
		}
	case "waits":
		out, _, _ := os.Pipe()
		thread := make(chan int)
		go func() {
			runtime.LockOSThread()
			thread <- unix.Gettid()
			unix.Read(int(out.Fd()), make([]byte, 1))
		}()
		for made = <-thread; !isReading(os.Getpid(), made); {
		}
	case "unknown":
		for i := range number(1) {
			unix.Syscall(uintptr(5000+i), 0, 0, 0)
			unix.Getppid()
		}
	}
	fmt.Println("done", made)
	io.Copy(io.Discard, in)
}

// killWhileReading starts a program, and ends it when it waits for what it is to read next.
func killWhileReading() {
	child := exec.Command("/bin/cat")
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if child.Start() != nil {
		return
	}
	in.Write([]byte("x"))
	out.Read(make([]byte, 1)) // it has made its first calls
	for !isReading(child.Process.Pid, child.Process.Pid) {
	}
	child.Process.Kill()
	child.Wait()
}

// isReading reports whether a thread reads, and has to wait.
func isReading(pid, tid int) bool {
	call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	return strings.HasPrefix(string(call), fmt.Sprint(unix.SYS_READ, " "))
}

// program is a target that has been started, and waits.
type program struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startTarget(t *testing.T, what string) *program {
	t.Helper()
	p := &program{cmd: exec.Command("/proc/self/exe")}
	p.cmd.Env = append(os.Environ(), targetEnv+"="+what)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

// makesCalls has it make its calls, and returns when they are made.
func (p *program) makesCalls(t *testing.T) (made uint64) {
	t.Helper()
	fmt.Fprintln(p.in)
	line, err := p.out.ReadString('\n')
	if n, _ := fmt.Sscanf(line, "done %d\n", &made); n != 1 {
		t.Fatalf("%q, %v", line, err)
	}
	return made
}

// load demands a kernel that lets programs count.
func load(t *testing.T, o Options) *Counter {
	t.Helper()
	c, err := Load(o)
	var refused *Refused
	needs.That(t, !errors.As(err, &refused), "a kernel that lets programs count", fmt.Sprint(err))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// counted counts what a target does.
func counted(t *testing.T, o Options, what string) (*profile.Snapshot, Losses) {
	t.Helper()
	p := startTarget(t, what)
	c := load(t, o)
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	p.makesCalls(t)
	check(t, c.End())
	raw, err := c.TakeLast()
	check(t, err)
	return raw.Snapshot(), c.Losses()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func callsOf(s *profile.Snapshot, name string) (calls uint64) {
	for i := range s.Rows {
		if r := &s.Rows[i]; r.ABI.Name(r.Nr) == name {
			calls += r.Calls
		}
	}
	return calls
}

// However few threads have a slot of their own, no call is lost.
func TestCountsAreExact(t *testing.T) {
	for _, slots := range []int{0, 64, 8, 1} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			s, losses := counted(t, Options{slots: slots}, "getppid 200 1000")
			if got := callsOf(s, "getppid"); got != 200_000 {
				t.Errorf("%d calls, want 200000", got)
			}
			if losses != (Losses{}) {
				t.Errorf("lost: %+v", losses)
			}
		})
	}
}

// The programs find the buckets that bounds says.
func TestBucketsHoldExtremes(t *testing.T) {
	p := startTarget(t, "sleeps")
	c := load(t, Options{})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	p.makesCalls(t)
	check(t, c.End())
	all, err := c.rows.read()
	check(t, err)
	for _, inc := range all {
		first, last, n := -1, 0, uint64(0)
		for b, count := range inc.bucket {
			if count > 0 {
				last = b
				if first < 0 {
					first = b
				}
			}
			n += uint64(count)
		}
		lowest, _ := bounds(first)
		_, highest := bounds(last)
		if low, high := bounds(first); n != inc.calls || inc.minNs < low || inc.minNs > high || inc.maxNs > highest || inc.maxNs < lowest {
			t.Errorf("%+v: %d calls in buckets from %d to %d ns, and %d calls from %d to %d ns", inc.key, n, lowest, highest, inc.calls, inc.minNs, inc.maxNs)
		}
		if low, _ := bounds(last); inc.maxNs < low {
			t.Errorf("%+v: the longest took %d ns, and the last bucket begins with %d", inc.key, inc.maxNs, low)
		}
	}
}

// Counts stay exact when not all calls are timed, and what is taken in between adds up.
func TestTimedNowAndThen(t *testing.T) {
	p := startTarget(t, "busy 1500")
	c := load(t, Options{Timed: 16})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	var all profile.Raw
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if raw, err := c.Take(); err == nil {
					all.Merge(raw)
				}
			}
		}
	}()
	made := p.makesCalls(t)
	close(stop)
	<-stopped
	check(t, c.End())
	raw, err := c.TakeLast()
	check(t, err)
	all.Merge(raw)
	if got := callsOf(all.Snapshot(), "getppid"); got != made {
		t.Errorf("%d calls, want %d", got, made)
	}
	if len(c.rows.weighed) == 0 {
		t.Error("all calls were timed")
	}
	// Those that are timed stand for all, and their times for theirs.
	for index, key := range c.rows.keys {
		r := c.rows.taken[index]
		if key.Nr != unix.SYS_GETPPID || r == nil {
			continue
		}
		weight := uint64(0)
		for _, n := range r.Bucket {
			weight += uint64(n)
		}
		if share := float64(weight) / float64(r.Calls); share < 0.9 || share > 1.1 {
			t.Errorf("of %d calls those that are timed stand for %d", r.Calls, weight)
		}
		if mean := r.Sum / max(weight, 1); mean < ^r.Below || mean > r.Max {
			t.Errorf("%d ns on average, and %d to %d", mean, ^r.Below, r.Max)
		}
	}
}

// A program that makes up calls takes no rows from others, and what is in no row is said.
func TestMadeUpCalls(t *testing.T) {
	s, losses := counted(t, Options{}, "unknown 1000")
	if got := callsOf(s, "getppid"); got != 1000 {
		t.Errorf("%d calls of getppid, want 1000", got)
	}
	var rows, calls uint64
	for i := range s.Rows {
		if r := &s.Rows[i]; !r.ABI.Known(r.Nr) {
			rows, calls = rows+1, calls+r.Calls
		}
	}
	if rows == 0 || rows > 32 || calls+losses.NoRow != 1000 {
		t.Errorf("%d rows of unknown calls have %d, and %d are in none", rows, calls, losses.NoRow)
	}
}

// Threads that find no room are said, and take nothing from the others.
func TestTooManyThreads(t *testing.T) {
	s, losses := counted(t, Options{slots: 1, spill: 4}, "getppid 100 100")
	got := callsOf(s, "getppid")
	if losses.NoThread == 0 || got == 0 || got%100 != 0 || got > 10_000-100 {
		t.Errorf("%d calls, lost: %+v", got, losses)
	}
}

// Only the calls that are asked for are counted, whether they are in a table or not.
func TestChosenCalls(t *testing.T) {
	for _, tt := range []struct {
		expr             string
		getppid, unknown bool
	}{{"getppid", true, false}, {"!getppid", false, true}, {"all", true, true}, {"none", false, false}} {
		t.Run(tt.expr, func(t *testing.T) {
			set, err := syscalltab.ParseSet(tt.expr, syscalltab.Native()...)
			check(t, err)
			s, _ := counted(t, Options{Calls: set}, "unknown 10")
			if got := callsOf(s, "getppid") == 10; got != tt.getppid {
				t.Errorf("getppid: %v", got)
			}
			if got := callsOf(s, "syscall_0x1388") == 1; got != tt.unknown {
				t.Errorf("unknown calls: %v", got)
			}
			for i := range s.Rows {
				if r := &s.Rows[i]; !set.Has(r.ABI, r.Nr) {
					t.Errorf("%s was not asked for", r.ABI.Name(r.Nr))
				}
			}
		})
	}
}

// A call that is under way at the end, and was at the beginning, is in flight.
func TestInFlight(t *testing.T) {
	p := startTarget(t, "getppid 1 1")
	c := load(t, Options{})
	check(t, c.Add(p.cmd.Process.Pid))
	time.Sleep(50 * time.Millisecond) // if it does not sleep by then it is not in flight for us, and for nobody else
	check(t, c.Begin())
	check(t, c.End())
	flights, err := c.InFlight()
	check(t, err)
	var unseen uint64
	for _, f := range flights {
		if f.Resumed && f.Why == profile.Detached {
			unseen += f.Count
		}
	}
	if unseen == 0 {
		t.Errorf("%+v", flights)
	}
}

// What calls fail with is counted, and so are those that do not return, of children, too.
func TestFailuresAndEnds(t *testing.T) {
	const failures = 300
	c := load(t, Options{})
	counts(t, c, fmt.Sprint("ends ", failures))
	raw, err := c.TakeLast()
	check(t, err)
	failed := uint64(0)
	s := raw.Snapshot()
	for i := range s.Rows {
		for _, f := range s.Rows[i].Failed {
			if s.Rows[i].Nr == unix.SYS_CLOSE && f.Errno == int32(unix.EBADF) {
				failed += f.Latency.Count()
			}
		}
	}
	if failed < failures || failed > failures+10 { // a child closes what it has not
		t.Errorf("%d calls of close have failed, want %d", failed, failures)
	}
	flights, err := c.InFlight()
	check(t, err)
	exits, reads := uint64(0), uint64(0)
	for _, f := range flights {
		switch {
		case f.Nr == unix.SYS_EXIT_GROUP && f.Why == profile.Exited:
			exits += f.Count
		case f.Nr == unix.SYS_READ && f.Why == profile.Killed && !f.Resumed:
			reads += f.Count
		}
	}
	if exits == 0 || reads != 1 { // Go's os/exec has a child of its own, which exits, too
		t.Errorf("%d calls of exit_group and %d of read never returned, want some and one: %+v", exits, reads, flights)
	}
}

// What counting costs is measured, and somewhere near what it is.
func TestPrice(t *testing.T) {
	const tries = 5 // where all CPUs are busy
	var price Price
	for range tries {
		if price = load(t, Options{}).Price(); price.Others.LowNs > 0 && price.Counted.LowNs > price.Others.LowNs {
			return
		}
	}
	t.Errorf("%+v", price)
}

// TestTablesFit: on a machine with two CPUs the tables take 6 MB at most, but for groups, and 14 with the ring for stacks.
func TestTablesFit(t *testing.T) {
	for _, o := range []Options{{}, {Draws: true}} {
		c := load(t, o)
		var sum uint64
		for _, m := range []*ebpf.Map{c.programs.Slots, c.programs.Spill, c.programs.Calls, c.programs.Rows, c.programs.RowOf, c.programs.Tallies, c.programs.Paces,
			c.programs.Records, c.programs.Ring, c.programs.SlowRing, c.programs.Flights, c.programs.Groups, c.programs.Shares, c.programs.Cells, c.programs.Fills} {
			info, err := m.Info()
			check(t, err)
			n, ok := info.Memlock()
			needs.That(t, ok, "a kernel that says what a table takes", "")
			sum += n
		}
		cpus, err := ebpf.PossibleCPU()
		check(t, err)
		t.Logf("%d CPUs, stacks %v: %d bytes", cpus, o.Draws, sum)
		most := uint64(6 << 20)
		if o.Draws {
			most = 14 << 20
		}
		if cpus <= 2 && threadsHere() <= 8192 && sum > most {
			t.Errorf("%d CPUs, stacks %v: the tables take %d bytes", cpus, o.Draws, sum)
		}
	}
	if few, many := slotsFor(1000), slotsFor(20_000); few >= many {
		t.Errorf("%d slots for few threads, %d for many", few, many)
	}
}

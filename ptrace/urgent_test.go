package ptrace

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// TestHurry: all threads get the CPU before others for as long as the process is in haste, and those that are started
// meanwhile; what is started calmly does not; and nothing of it remains. Who may not raise a priority has short slices.
// A process that is nice is left alone.
//
// How a process is scheduled is that of all its threads, so each case is a process of its own.
func TestHurry(t *testing.T) {
	if how := os.Getenv("SYSPROF_TEST_HURRY"); how != "" {
		hurryAs(t, how)
		return
	}
	for _, how := range []string{"allowed", "forbidden", "nice"} {
		t.Run(how, func(t *testing.T) {
			self := exec.Command("/proc/self/exe", "-test.run=^TestHurry$")
			self.Env = append(os.Environ(), "SYSPROF_TEST_HURRY="+how)
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // and never unlocked: the thread ends with this
				if how == "forbidden" {
					unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_NICE, 0, 0, 0)
				}
				if out, err := self.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			}()
			<-done
		})
	}
}

func hurryAs(t *testing.T, how string) {
	want := unix.SchedAttr{Nice: mostUrgent, Runtime: shortNs}
	usually, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if usually.Runtime == 0 {
		want.Runtime = 0 // a kernel without slices
	}
	switch how {
	case "allowed":
		runtime.LockOSThread() // the runtime starts none from a thread like this, so that none inherits this
		allowed := unix.Setpriority(unix.PRIO_PROCESS, 0, -1) == nil
		unix.Setpriority(unix.PRIO_PROCESS, 0, usual)
		runtime.UnlockOSThread()
		if needs.That(t, allowed, "the right to raise a priority", "run the tests as root"); !allowed {
			return
		}
	case "forbidden":
		want.Nice = usual
	case "nice":
		usually.Nice = 5
		eachThread(func(tid int) bool { return nicenessOf(tid) != 5 && unix.Setpriority(unix.PRIO_PROCESS, tid, 5) == nil })
		want = *usually
	}
	h := Hurry()
	allAre(t, "in haste", want)
	h.Calmly(func() {
		child := exec.Command("sleep", "100")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer child.Process.Kill()
		isAs(t, "of a child", child.Process.Pid, *usually)
	})
	allAre(t, "in haste again", want)
	h.Enough()
	allAre(t, "after the haste", *usually)
}

// allAre demands that all threads are scheduled in a way, and a new one, too.
func allAre(t *testing.T, when string, want unix.SchedAttr) {
	begun, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	for range 3 {
		go func() {
			runtime.LockOSThread()
			begun <- struct{}{}
			<-end
		}()
		<-begun
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		isAs(t, when, tid, want)
	}
}

// isAs demands that a thread is scheduled in a way, soon: it may be one that was being started.
func isAs(t *testing.T, when string, tid int, want unix.SchedAttr) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		is, err := unix.SchedGetAttr(tid, 0)
		if err != nil || is.Nice == want.Nice && is.Runtime == want.Runtime && is.Policy == unix.SCHED_NORMAL {
			return
		}
		if time.Now().Before(end) {
			continue
		}
		t.Errorf("thread %d %s has niceness %d, slices of %d ns and policy %d, want %d and %d", tid, when, is.Nice, is.Runtime, is.Policy, want.Nice, want.Runtime)
		return
	}
}

func nicenessOf(tid int) int {
	raw, _ := unix.Getpriority(unix.PRIO_PROCESS, tid) // as the kernel returns it (getpriority(2), C library/kernel differences)
	return 20 - raw
}

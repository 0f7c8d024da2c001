package capture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/stack/symbol"
)

// waiting starts a program that waits in a call, and returns a call of it and where it stands.
func waiting(t testing.TB) (call *profile.Call, at *standing) {
	t.Helper()
	sleep := exec.Command("sleep", "1000")
	check(t, sleep.Start())
	t.Cleanup(func() {
		sleep.Process.Kill()
		sleep.Wait()
	})
	pid := int32(sleep.Process.Pid)
	nr := number(t, "clock_nanosleep")
	at = &standing{tid: pid}
	eventually(t, "the program sleeps", func() bool {
		// proc(5), /proc/PID/syscall: its number, six arguments, the stack pointer, the program counter.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		f := bytes.Fields(text)
		if len(f) != 9 || string(f[0]) != fmt.Sprint(nr) {
			return false
		}
		fmt.Sscanf(string(f[7]), "0x%x", &at.regs[stackPointer])
		fmt.Sscanf(string(f[8]), "0x%x", &at.ip)
		return true
	})
	return &profile.Call{PID: pid, TID: pid, ABI: native, Nr: nr}, at
}

// take captures the stack of a waiting program.
func take(c *Capturer, call *profile.Call, at *standing) uint32 {
	return c.Stack(call, at.ip, at.regs[stackPointer], at)
}

// TestStacksFromManyThreads: each of them traces a process of its own, whose mappings change now and then
// and which ends now and then, while somebody asks for names. All processes run the same program.
func TestStacksFromManyThreads(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	const threads, rounds = 4, 300
	ids := make([][]uint32, threads)
	var tracers sync.WaitGroup
	var running atomic.Int32
	mprotect := number(t, "mprotect")
	for n := range threads {
		call, at := waiting(t)
		running.Add(1)
		tracers.Go(func() {
			defer running.Add(-1)
			for i := range rounds {
				ids[n] = append(ids[n], take(c, call, at))
				switch i % 20 {
				case 5:
					c.Finished(&profile.Call{PID: call.PID, TID: call.TID, ABI: native, Nr: mprotect, Args: [6]uint64{2: unix.PROT_EXEC}})
				case 15:
					c.Ended(call.PID)
				}
			}
		})
	}
	for running.Load() > 0 {
		c.Locate(context.Background(), []uint32{1, 2}, symbol.Options{})
		c.Lost()
	}
	tracers.Wait()
	all := slices.Compact(slices.Concat(ids...))
	if len(all) != 1 || all[0] == 0 {
		t.Fatalf("the stack is numbered %v", all)
	}
	locations := c.Locate(context.Background(), all[:1], symbol.Options{})[all[0]]
	if len(locations) < 3 {
		t.Errorf("a stack of %d frames", len(locations))
	}
	for _, l := range locations {
		if l.Mapping == nil {
			t.Errorf("%+v is in no mapping", l)
		}
	}
}

// TestThreadsOfOneProcess are traced by several threads, and map code.
func TestThreadsOfOneProcess(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(t)
	mprotect := number(t, "mprotect")
	const threads, rounds = 4, 300
	ids := make([][]uint32, threads)
	var tracers sync.WaitGroup
	for n := range threads {
		tracers.Go(func() {
			for range rounds {
				ids[n] = append(ids[n], take(c, call, at))
				c.Finished(&profile.Call{PID: call.PID, TID: call.TID, ABI: native, Nr: mprotect, Args: [6]uint64{2: unix.PROT_EXEC}})
			}
		})
	}
	tracers.Wait()
	if all := slices.Compact(slices.Concat(ids...)); len(all) != 1 || all[0] == 0 {
		t.Errorf("the stack is numbered %v", all)
	}
	if !c.processes[call.PID].stale() {
		t.Error("the last change of the mappings was not noticed")
	}
	if len(c.idle) > threads {
		t.Errorf("memory for %d stacks at once, of %d threads", len(c.idle), threads)
	}
}

func TestAKnownStackDoesNotAllocate(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(t)
	want := take(c, call, at)
	if n := testing.AllocsPerRun(100, func() {
		if got := take(c, call, at); got != want {
			t.Errorf("number %d, then %d", want, got)
		}
	}); n != 0 {
		t.Errorf("a stack allocates %v times", n)
	}
}

func BenchmarkAKnownStack(b *testing.B) {
	if !supported {
		b.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(b)
	b.ReportAllocs()
	for b.Loop() {
		take(c, call, at)
		c.Finished(call)
	}
}

// TestStacksAreNumberedAnewMeanwhile: what one thread has unwound is not taken for what another one has since
// then given that number.
func TestStacksAreNumberedAnewMeanwhile(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	const threads, rounds = 3, 300
	var tracers sync.WaitGroup
	ids := make([][]uint32, threads)
	for n := range threads {
		// In no mapping, so that the maps are read again.
		at := &standing{tid: pid, ip: 0x1000 * uint64(n+1)}
		call := &profile.Call{PID: pid, TID: pid, ABI: native}
		tracers.Go(func() {
			for range rounds {
				c.mu.Lock()
				c.process(pid).skip = 0
				c.mu.Unlock()
				ids[n] = append(ids[n], take(c, call, at))
				c.mu.Lock()
				c.dropAddresses()
				c.mu.Unlock()
			}
		})
	}
	tracers.Wait()
	seen := map[uint32]bool{}
	for n := range threads {
		all := slices.Compact(ids[n])
		if len(all) != 1 || all[0] == 0 || seen[all[0]] {
			t.Errorf("thread %d: the stack is numbered %v", n, all)
		}
		seen[all[0]] = true
	}
}

package engines_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	pprof "github.com/google/pprof/profile"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// stacksByEngine profiles a command with an engine. Calls and errors, and the sums of latencies, have to be those of the rows.
func stacksByEngine(t *testing.T, engine string, flags []string, command ...string) *pprof.Profile {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	_, p, _ := drive.Profiled(t, slices.Concat([]string{"--engine=" + engine, "--json", file, "-o", "/dev/null"}, flags), command...)
	addsUp(t, p, file)
	return p
}

// addsUp demands that the samples of a profile add up to the rows in a file.
func addsUp(t *testing.T, p *pprof.Profile, file string) {
	t.Helper()
	var r struct {
		Rows []struct {
			Name          string
			Calls, Errors int64
			Latency       struct {
				SumNs int64 `json:"sum_ns"`
			}
		}
		InFlight []struct {
			Name, Why string
			Count     int64
		} `json:"in_flight"`
	}
	drive.Check(t, json.Unmarshal([]byte(drive.Read(file)), &r))
	type values struct{ calls, errors, ns int64 }
	got, want := make(map[string]values), make(map[string]values)
	flying, wantFlying := make(map[string]int64), make(map[string]int64)
	calls, errors, latency := drive.ValueOf(t, p, "calls"), drive.ValueOf(t, p, "errors"), drive.ValueOf(t, p, "latency")
	for _, s := range p.Sample {
		name := strings.TrimPrefix(drive.Frames(s)[0], "sys_")
		if slices.Contains(s.Label["state"], "unfinished") {
			flying[name] += s.Value[calls]
			continue
		}
		v := got[name]
		got[name] = values{v.calls + s.Value[calls], v.errors + s.Value[errors], v.ns + s.Value[latency]}
	}
	for _, row := range r.Rows {
		v := want[row.Name]
		want[row.Name] = values{v.calls + row.Calls, v.errors + row.Errors, v.ns + row.Latency.SumNs}
	}
	for _, f := range r.InFlight {
		if f.Why != "exited" {
			wantFlying[f.Name] += f.Count
		}
	}
	if !maps.EqualFunc(got, want, func(a, b values) bool {
		return a.calls == b.calls && a.errors == b.errors && max(a.ns-b.ns, b.ns-a.ns) <= b.ns/1000+1000 // each sample is rounded
	}) {
		t.Errorf("the samples add up to\n%v\nthe rows are\n%v", got, want)
	}
	if !maps.Equal(flying, wantFlying) {
		t.Errorf("in flight: the samples add up to %v, and there are %v", flying, wantFlying)
	}
}

// stacksFrom are the stacks of the calls that the function makes, itself or through others, with some labels.
func stacksFrom(p *pprof.Profile, function string, labels ...string) map[string]int64 {
	all := make(map[string]int64)
	for _, s := range p.Sample {
		names := drive.Frames(s)
		if !slices.Contains(names, function) || s.Value[0] == 0 {
			continue
		}
		key := strings.Join(names, ";")
		for _, name := range labels {
			key += fmt.Sprint(" ", s.Label[name], s.NumLabel[name])
		}
		all[key] += s.Value[0]
	}
	return all
}

// TestStacksInKernel holds the stacks of drawn calls against those of all calls, as ptrace sees them: from everywhere that
// calls come from often, they have to come in both, in numbers that are alike.
func TestStacksInKernel(t *testing.T) {
	drive.CountsInKernel(t)
	build := func(flags ...string) func(t *testing.T) []string {
		return func(t *testing.T) []string {
			target := filepath.Join(t.TempDir(), "stacks")
			cc := needs.C(t)
			if slices.Contains(flags, "-m32") {
				cc = needs.C32(t)
			}
			drive.Succeed(t, exec.Command(cc, slices.Concat(flags, []string{"-g", "-pthread", "-o", target, "testdata/stacks.c"})...))
			return []string{target, "400"}
		}
	}
	for _, tt := range []struct {
		name    string
		command func(t *testing.T) []string
		from    string   // whose calls are compared
		calls   []string // of these
	}{
		{"with frame pointers", build("-O1", "-fno-omit-frame-pointer"), "main", []string{"write", "close"}},
		{"without frame pointers", build("-O2", "-fomit-frame-pointer"), "main", []string{"write", "close"}},
		{"without tables", build("-O2", "-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables"), "main", []string{"write", "close"}},
		{"32 bit", build("-O2", "-m32"), "main", []string{"write", "close"}},
		{"Go", buildGoStacks, "main.main", []string{"write", "close"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command := tt.command(t)
			labels := []string{"--labels=comm,thread_name,errno"}
			counted := stacksByEngine(t, "kernel", labels, command...)
			stopped := stacksByEngine(t, "ptrace", labels, command...)
			got, want := stacksFrom(counted, tt.from, "comm", "thread_name", "errno"), stacksFrom(stopped, tt.from, "comm", "thread_name", "errno")
			of := func(stack string) bool {
				return slices.ContainsFunc(tt.calls, func(call string) bool { return strings.HasPrefix(stack, "sys_"+call+";") })
			}
			frequent := 0
			for stack, n := range want {
				if !of(stack) || n < 100 {
					continue
				}
				frequent++
				if got[stack] < n/3 || got[stack] > 3*n {
					t.Errorf("%d calls, in the kernel %d:\n%s", n, got[stack], stack)
				}
			}
			for stack, n := range got {
				if of(stack) && want[stack] == 0 {
					t.Errorf("%d calls by the kernel alone:\n%s", n, stack)
				}
			}
			if frequent < 4 {
				t.Errorf("only %d stacks of\n%v", frequent, want)
			}
		})
	}
}

const goStacks = `package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

//go:noinline
func put(fd int) { syscall.Write(fd, []byte("x")) }

//go:noinline
func fail() { syscall.Close(-1) }

//go:noinline
func a(fd int) { put(fd); fail() }

//go:noinline
func b(fd int) { put(fd); put(fd) }

//go:noinline
func deep(fd, depth int) {
	if depth == 0 {
		put(fd)
		return
	}
	deep(fd, depth-1)
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	fd, _ := syscall.Open("/dev/null", syscall.O_WRONLY, 0)
	for range n {
		a(fd)
		b(fd)
		deep(fd, 30)
		time.Sleep(time.Millisecond)
	}
}
`

func buildGoStacks(t *testing.T) []string {
	dir := t.TempDir()
	drive.WriteFile(t, filepath.Join(dir, "go.mod"), "module stacks\n\ngo 1.26\n")
	drive.WriteFile(t, filepath.Join(dir, "main.go"), goStacks)
	build := exec.Command("go", "build", "-o", "stacks", ".")
	build.Dir = dir
	build.Env = append(build.Environ(), "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	drive.Succeed(t, build)
	return []string{filepath.Join(dir, "stacks"), "400"}
}

// Calls that leave no stack behind, or do not return, have the one that they were made from.
func TestStacksInKernelOfCallsThatEndOtherwise(t *testing.T) {
	drive.CountsInKernel(t)
	target := filepath.Join(t.TempDir(), "stacks")
	drive.Succeed(t, exec.Command(needs.C(t), "-O1", "-g", "-pthread", "-o", target, "testdata/stacks.c"))
	p := stacksByEngine(t, "kernel", nil, target, "10")
	calls := drive.ValueOf(t, p, "calls")
	if n := drive.MadeBy(p, "sys_execve", "child_execs", calls); n != 10 {
		t.Errorf("%d calls of execve from child_execs, want 10:\n%v", n, stacksFrom(p, "child_execs"))
	}
	if n := drive.MadeBy(p, "sys_read", "blocks", calls); n != 1 {
		t.Errorf("%d calls of read that its process's end breaks off, want 1", n)
	}

	// One that goes on is looked at when the counting ends.
	sleeper := drive.Start(t, exec.Command(target, strconv.Itoa(1<<30)))
	file := filepath.Join(t.TempDir(), "attached.pb.gz")
	drive.Eventually(t, "it blocks", func() bool { return strings.Contains(threadsCalls(sleeper.Pid()), "\n0 0x") })
	drive.Succeed(t, drive.Plain(t, "--engine=kernel", "--pprof", file, "-o", "/dev/null", "--duration=100ms", "-p", strconv.Itoa(sleeper.Pid())))
	p = drive.ParseProfile(t, file)
	found := false
	for _, s := range p.Sample {
		found = found || drive.Frames(s)[0] == "sys_read" && slices.Contains(drive.Frames(s), "blocks") && slices.Contains(s.Label["state"], "unfinished")
	}
	if !found {
		t.Errorf("no read is in flight with its stack:\n%v", p)
	}
}

// threadsCalls are the calls that a process's threads are in, a line each.
func threadsCalls(pid int) (all string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, file := range files {
		all += "\n" + drive.Read(file)
	}
	return all
}

// Processes that are over in a moment have stacks, too: what they had mapped is known when it cannot be asked for any more.
func TestStacksInKernelOfShortLives(t *testing.T) {
	drive.CountsInKernel(t)
	p := stacksByEngine(t, "kernel", nil, "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /bin/true; /bin/ls / >/dev/null; done")
	calls := drive.ValueOf(t, p, "calls")
	all, whole := int64(0), int64(0)
	for _, s := range p.Sample {
		names := drive.Frames(s)
		all += s.Value[calls]
		if len(names) > 1 && !strings.HasPrefix(names[len(names)-1], "[") {
			whole += s.Value[calls]
		}
	}
	if float64(whole) < 0.98*float64(all) {
		t.Errorf("of %d calls %d have a whole stack", all, whole)
	}
}

// Whatever a program has in its registers, its calls are counted, none of its bytes is taken for a stack that it is not, and nothing
// is read that is not the program's own.
func TestStacksInKernelOfOddStacks(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is in amd64's assembly")
	}
	drive.CountsInKernel(t)
	target := filepath.Join(t.TempDir(), "oddstacks")
	drive.Succeed(t, exec.Command(needs.C(t), "-O1", "-g", "-pthread", "-o", target, "testdata/oddstacks.c"))
	alone := drive.Run(t, exec.Command(target, "300"))
	if alone.Status.Signaled() {
		t.Skip("this machine ends a program that makes a call with such a stack pointer") // the hypervisor PVM does
	}
	alone.Exited(t, 0)
	want, _ := strconv.ParseInt(strings.TrimSpace(alone.Stdout), 10, 64)
	p := stacksByEngine(t, "kernel", nil, target, "300")
	got := int64(0)
	for _, s := range p.Sample {
		names := drive.Frames(s)
		if names[0] != "sys_getppid" {
			continue
		}
		got += s.Value[0]
		if !slices.Contains(names, "[incomplete]") && len(names) > 1 {
			t.Errorf("a stack of nothing is %q", names)
		}
	}
	if got != want {
		t.Errorf("%d calls, want %d", got, want)
	}
}

package main_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	pprof "github.com/google/pprof/profile"
	"golang.org/x/sys/unix"
)

// isUnfinished reports whether a sample is of calls that have not returned.
func isUnfinished(s *pprof.Sample) bool {
	return slices.Equal(s.Label["state"], []string{"unfinished"})
}

// hangs are programs that hang, each in a function of that name, and with what.
const hangsC = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
__attribute__((noinline)) static void hang_read(void) { int fds[2]; char c; if (pipe(fds)) abort(); while (read(fds[0], &c, 1) != 1) {} }
__attribute__((noinline)) static void hang_sleep(void) { for (;;) sleep(1000); }
__attribute__((noinline)) static void hang_epoll(void) {
	struct epoll_event e;
	int fd = epoll_create1(0);
	for (;;) epoll_wait(fd, &e, 1, 1000000); /* has a timeout, and no restart block: it is left asleep */
}
static void *hanging(void *name) {
	if (!strcmp(name, "read")) hang_read();
	if (!strcmp(name, "sleep")) hang_sleep();
	if (!strcmp(name, "epoll")) hang_epoll();
	return 0;
}
int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		pthread_t t;
		if (pthread_create(&t, 0, hanging, argv[i])) abort();
	}
	printf("%d\n", getpid());
	fflush(stdout);
	for (;;) sleep(1000);
}
`

// hanging is what hangs where, in a profile.
func hanging(p *pprof.Profile, latency int) map[string]int64 {
	found := map[string]int64{}
	for _, s := range p.Sample {
		if !isUnfinished(s) {
			continue
		}
		names := drive.Frames(s)
		where := slices.IndexFunc(names, func(name string) bool {
			return strings.HasPrefix(name, "hang_") || name == "main" || name == "[not stopped]"
		})
		if where < 0 {
			where = len(names) - 1
		}
		found[names[0]+" "+names[where]] += s.Value[latency]
	}
	return found
}

// TestWhereACommandHangs, until somebody kills it.
func TestWhereACommandHangs(t *testing.T) {
	program := compile(t, hangsC)
	file := filepath.Join(t.TempDir(), "profile")
	s := drive.Start(t, drive.Plain(t, "-q", "-o", "/dev/null", "--labels=fd,latency,tid,thread_name", "--pprof", file, program, "read", "sleep", "epoll"))
	pid, err := strconv.Atoi(s.Line())
	drive.Check(t, err)
	drive.Eventually(t, "all of its threads sleep", func() bool { return asleep(pid) == 4 })
	drive.Check(t, unix.Kill(pid, unix.SIGKILL))
	s.End()
	p := drive.ParseProfile(t, file)
	got := hanging(p, drive.ValueOf(t, p, "latency"))
	for _, where := range []string{"sys_read hang_read", "sys_clock_nanosleep hang_sleep", "sys_epoll_wait hang_epoll", "sys_clock_nanosleep main"} {
		if ns := got[where]; ns <= 0 || ns > int64(time.Minute) {
			t.Errorf("%s for %v; there are %v", where, time.Duration(ns), got)
		}
	}
	if len(got) != 4 {
		t.Errorf("calls that have not returned: %v", got)
	}
	for _, s := range p.Sample {
		if isUnfinished(s) && (s.Value[drive.ValueOf(t, p, "calls")] != 1 || s.NumLabel["latency"][0] > s.Value[drive.ValueOf(t, p, "latency")] ||
			s.Label["thread_name"][0] != "program") {
			t.Errorf("%v has %v, %v and %v", drive.Frames(s), s.Value, s.Label, s.NumLabel)
		}
		if want := map[string]string{"sys_read": "pipe", "sys_epoll_wait": "eventpoll"}[drive.Frames(s)[0]]; isUnfinished(s) && want != strings.Join(s.Label["fd"], "") {
			t.Errorf("%v works on %q, want %q", drive.Frames(s), s.Label["fd"], want)
		}
	}
}

// TestWhereAnAttachedProcessHangs: the stack of who is left asleep is not known. All others have one.
func TestWhereAnAttachedProcessHangs(t *testing.T) {
	program := compile(t, hangsC)
	for _, flags := range [][]string{nil, {"-e", "trace=read,epoll_wait,clock_nanosleep"}} {
		target := drive.Start(t, exec.Command(program, "read", "sleep", "epoll"))
		target.Line()
		drive.Eventually(t, "all of its threads sleep", func() bool { return asleep(target.Pid()) == 4 })
		file := filepath.Join(t.TempDir(), "profile")
		command := slices.Concat([]string{"-q", "-o", "/dev/null", "--duration=0.3", "--labels=fd", "--pprof", file}, flags, []string{"-p", strconv.Itoa(target.Pid())})
		drive.Succeed(t, drive.Plain(t, command...))
		drive.Kill(target.Pid())
		p := drive.ParseProfile(t, file)
		got := hanging(p, drive.ValueOf(t, p, "latency"))
		found := 0
		for _, where := range [][]string{
			{"sys_read hang_read"}, {"sys_clock_nanosleep hang_sleep"}, {"sys_clock_nanosleep main"},
			{"sys_epoll_wait [not stopped]", "sys_epoll_wait hang_epoll"}, // or it could not be left asleep
		} {
			for _, name := range where {
				if ns := got[name]; ns >= int64(100*time.Millisecond) && ns < int64(time.Minute) {
					found++
				}
			}
		}
		if found != 4 || len(got) != 4 {
			t.Errorf("%q: %v", flags, got)
		}
		for _, s := range p.Sample {
			if name := drive.Frames(s)[0]; isUnfinished(s) && name == "sys_epoll_wait" && strings.Join(s.Label["fd"], "") != "eventpoll" {
				t.Errorf("%v works on %q", drive.Frames(s), s.Label["fd"])
			}
		}
	}
}

// TestWhereItHangsSoFar: SIGUSR1 shows where a program hangs that goes on, and what comes after knows nothing of that.
func TestWhereItHangsSoFar(t *testing.T) {
	program := compile(t, hangsC)
	want := []string{"sys_clock_nanosleep hang_sleep", "sys_clock_nanosleep main", "sys_epoll_wait hang_epoll", "sys_read hang_read"}
	for _, attached := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "profile")
		flags := []string{"-q", "-o", "/dev/null", "--labels=fd,state,tid", "--pprof", file}
		var s, target *drive.Talk
		var pid int
		if attached {
			target = drive.Start(t, exec.Command(program, "read", "sleep", "epoll"))
			pid, _ = strconv.Atoi(target.Line())
			drive.Eventually(t, "all of its threads sleep", func() bool { return asleep(pid) == 4 })
			s = drive.Start(t, drive.Plain(t, append(flags, "-p", strconv.Itoa(pid))...))
			drive.Eventually(t, "sysprof has attached", func() bool { return drive.StatusOf(pid, "TracerPid") != "0" })
		} else {
			s = drive.Start(t, drive.Plain(t, append(flags, program, "read", "sleep", "epoll")...))
			pid, _ = strconv.Atoi(s.Line())
		}
		drive.Eventually(t, "all of its threads sleep", func() bool { return asleep(pid) == 4 })
		hangs := func(when string) {
			t.Helper()
			p := drive.ParseProfile(t, file)
			got := hanging(p, drive.ValueOf(t, p, "latency"))
			where := slices.Sorted(maps.Keys(got))
			same := slices.EqualFunc(where, want, func(got, want string) bool {
				call, _, _ := strings.Cut(want, " ")
				return got == want || attached && got == call+" [not stopped]"
			})
			if !same {
				t.Errorf("%s, attached %v: it hangs in %v", when, attached, got)
			}
			for _, s := range p.Sample {
				if isUnfinished(s) && s.Value[drive.ValueOf(t, p, "calls")] != 1 {
					t.Errorf("%s: %v is there %v times", when, drive.Frames(s), s.Value)
				}
			}
		}
		for i := range 3 {
			os.Remove(file)
			s.Signal(unix.SIGUSR1)
			drive.Eventually(t, "there is a profile", func() bool { _, err := os.Stat(file); return err == nil })
			hangs(fmt.Sprintf("SIGUSR1 %d", i+1))
		}
		if attached {
			s.Signal(unix.SIGINT)
			s.End()
			target.Signal(unix.SIGKILL)
		} else {
			drive.Check(t, unix.Kill(pid, unix.SIGKILL))
			s.End()
		}
		hangs("the end")
	}
}

// TestFileOfAnOpenThatHangs: a call that opens a file and has not returned has no descriptor yet.
func TestFileOfAnOpenThatHangs(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "profile"), filepath.Join(dir, "fifo")
	drive.Check(t, unix.Mkfifo(fifo, 0o600))
	s := drive.Start(t, drive.Plain(t, "-q", "-o", "/dev/null", "--labels=fd", "--pprof", file, "sh", "-c", "echo $$; exec cat <"+fifo))
	pid, err := strconv.Atoi(s.Line())
	drive.Check(t, err)
	drive.Eventually(t, "it waits for a writer", func() bool { return asleep(pid) == 1 })
	drive.Check(t, unix.Kill(pid, unix.SIGKILL))
	s.End()
	found := 0
	for _, s := range drive.ParseProfile(t, file).Sample {
		if isUnfinished(s) {
			found++
			if drive.Frames(s)[0] != "sys_openat" || len(s.Label["fd"]) > 0 {
				t.Errorf("%v works on %q", drive.Frames(s), s.Label["fd"])
			}
		}
	}
	if found != 1 {
		t.Errorf("%d samples of calls that have not returned", found)
	}
}

// asleep is how many threads of a process are.
func asleep(pid int) (n int) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, thread := range threads {
		if tid, _ := strconv.Atoi(thread.Name()); strings.HasPrefix(drive.StatusOf(tid, "State"), "S") {
			n++
		}
	}
	return n
}

// statesC sleeps, waits for another thread, and computes, in calls of those names.
const statesC = `
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static int fds[2];
static void *writes(void *arg) {
	for (int i = 0; i < 5; i++) { usleep(40000); if (write(fds[1], "x", 1) != 1) abort(); }
	return arg;
}
int main(void) {
	pthread_t t;
	char c;
	if (pipe(fds) || pthread_create(&t, 0, writes, 0)) abort();
	/* Waits, for so long that no wait for a CPU, which is none for a call, comes near to it. */
	for (int i = 0; i < 5; i++) if (read(fds[0], &c, 1) != 1) abort();
	pthread_join(t, 0);
	size_t size = 8 << 20;
	char *p = malloc(size);
	int zero = open("/dev/zero", O_RDONLY);
	for (int i = 0; i < 20; i++) if (pread(zero, p, size, 0) != (ssize_t)size) abort(); /* computes: a millisecond or more */
	return 0;
}
`

// TestComputingAndWaiting are told apart.
func TestComputingAndWaiting(t *testing.T) {
	program := compile(t, statesC)
	for _, flags := range [][]string{nil, {"--time=cpu"}} {
		file, p, _ := drive.Profiled(t, flags, program)
		ns := map[string]int64{}
		of := func(call string) (all int64) {
			for _, state := range []string{"computing", "waiting", "unfinished", ""} {
				all += ns[call+" "+state]
			}
			return all
		}
		latency := drive.ValueOf(t, p, "latency")
		for _, s := range p.Sample {
			if names := drive.Frames(s); slices.Contains(names, "main") || slices.Contains(names, "writes") {
				ns[strings.TrimPrefix(names[0], "sys_")+" "+strings.Join(s.Label["state"], "")] += s.Value[latency]
			}
		}
		// It is not always known on a busy machine, and sometimes taken for the other where the tracer came late to a stop.
		const wrong = 0.4
		for call, not := range map[string]string{"read": "computing", "clock_nanosleep": "computing", "pread64": "waiting"} {
			if float64(ns[call+" "+not]) > wrong*float64(of(call)) || ns[call+" waiting"]+ns[call+" computing"] == 0 {
				t.Errorf("%q: %s is %s: %v", flags, call, not, ns)
			}
		}
		top := goPprof(t, "-top", "-tagfocus=state=computing", file)
		if !strings.Contains(top, "sys_pread64") {
			t.Errorf("%q: calls that compute:\n%s", flags, top)
		}
	}
}

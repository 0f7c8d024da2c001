package servers_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// attacker attaches sysprof, a copy of its own, to victims.
type attacker struct {
	s       *soak
	victims []*victim
	dir     string // with the copy and all that it writes

	cmd    *exec.Cmd // that runs now
	pids   []int     // that it attaches to
	stderr bytes.Buffer
	ended  chan struct{}
	killed bool // by SIGKILL, since the victims were asked last
}

func (s *soak) attacker(victims ...*victim) *attacker {
	a := &attacker{s: s, victims: victims, dir: s.t.TempDir()}
	live := drive.ProgramWith(s.t, "sysprof-live")
	drive.CopyProgram(s.t, drive.Program(s.t), filepath.Join(a.dir, "sysprof"))
	drive.CopyProgram(s.t, filepath.Join(filepath.Dir(live), "sysprof-live"), filepath.Join(a.dir, "sysprof-live"))
	s.t.Cleanup(func() {
		for _, pid := range drive.RunningFrom(a.dir) {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	return a
}

// start starts sysprof.
func (a *attacker) start(options ...string) {
	a.pids = nil
	for _, v := range a.victims {
		a.pids = append(a.pids, drive.Family(v.pid)...)
	}
	args := slices.Concat([]string{"-c", "-q", "-o", filepath.Join(a.dir, "table")}, options, []string{"-p", commas(a.pids)})
	cmd, ended := exec.Command(filepath.Join(a.dir, "sysprof"), args...), make(chan struct{})
	a.stderr.Reset()
	cmd.Stderr = &a.stderr
	cmd.WaitDelay = drive.Patience
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	closeTerminal := func() {}
	if slices.Contains(options, "--live") {
		closeTerminal = a.onTerminal(cmd)
	}
	a.cmd, a.ended = cmd, ended
	if err := cmd.Start(); err != nil {
		a.s.t.Error(err)
		runtime.Goexit()
	}
	go func() {
		cmd.Wait()
		closeTerminal()
		close(ended)
	}()
	a.s.count(started, 1)
}

// onTerminal gives sysprof a terminal of its own, which nobody looks at.
func (a *attacker) onTerminal(cmd *exec.Cmd) (closed func()) {
	master, terminal := drive.OpenTerminal(a.s.t)
	drive.Check(a.s.t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	cmd.Stdin, cmd.Env = terminal, append(os.Environ(), "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go io.Copy(io.Discard, master)
	return func() {
		terminal.Close()
		master.Close()
	}
}

// end sends sysprof a signal, or none if that is 0, waits for its end, and demands that it leaves nothing behind.
func (a *attacker) end(sig syscall.Signal) {
	if sig != 0 {
		a.cmd.Process.Signal(sig)
	}
	select {
	case <-a.ended:
	case <-time.After(drive.Patience):
		a.s.bad(badEnd, "%s, signal %d: %s", a.cmd, sig, waitsOf(a.cmd.Process.Pid))
		a.cmd.Process.Kill()
		<-a.ended
	}
	a.killed = a.killed || sig == syscall.SIGKILL
	status := a.cmd.ProcessState.Sys().(syscall.WaitStatus)
	wrote := a.stderr.String()
	switch {
	case strings.Contains(wrote, "goroutine ") || strings.Contains(wrote, "panic"):
		a.s.bad(badCrash, "%s\n%s", a.cmd, wrote)
	case sig == 0 && status != 0, sig != 0 && (!status.Signaled() || status.Signal() != sig):
		a.s.bad(badStatus, "%s, signal %d: %s\n%s", a.cmd, sig, drive.Describe(status), wrote)
	}
	if !within(drive.Patience, func() bool { return len(drive.RunningFrom(a.dir)) == 0 }) {
		a.s.bad(badProcess, "%s, signal %d: %v", a.cmd, sig, drive.RunningFrom(a.dir))
	}
	for _, v := range a.victims {
		a.demandUntouched(v)
	}
}

// demandUntouched demands that nothing is left of tracing at a victim.
func (a *attacker) demandUntouched(v *victim) {
	if !within(drive.Patience, func() bool { return drive.Untouched(drive.Family(v.pid)) }) {
		a.s.bad(badTracing, "%s, after %s", v.name, a.cmd)
	}
	isElsewhere := func(list string) bool { return list != "" && !slices.Contains(v.cpus, list) }
	if !within(drive.Patience, func() bool {
		return !slices.ContainsFunc(drive.Family(v.pid), func(pid int) bool { return slices.ContainsFunc(drive.CPUsOf(pid), isElsewhere) })
	}) {
		a.s.bad(badAffinity, "%s, after %s", v.name, a.cmd)
	}
}

// waitsOf tells what the threads of a process wait for.
func waitsOf(pid int) string {
	var b strings.Builder
	for _, tid := range drive.Threads(pid) {
		fmt.Fprintf(&b, " %d:%s", tid, drive.Read(fmt.Sprintf("/proc/%d/wchan", tid)))
	}
	return b.String()
}

// alone does something while nobody else attaches to the victims.
func (a *attacker) alone(do func()) {
	for _, v := range a.victims { // always in the same order
		v.free.Lock()
		defer v.free.Unlock()
	}
	a.killed = false
	do()
	for _, v := range a.victims {
		a.s.ask(v, a.killed)
	}
}

// attachAgain attaches to the victims, again and again, until the soak is over.
func (a *attacker) attachAgain() {
	for !a.s.isOver() {
		a.alone(a.round)
		time.Sleep(rand.N(50 * time.Millisecond))
	}
}

// round attaches once, with options, for a time, and to an end that are left to chance.
func (a *attacker) round() {
	pprof, page := "--pprof="+filepath.Join(a.dir, "pprof"), "--html="+filepath.Join(a.dir, "page")
	options := [][]string{{}, {"--cpu=off"}, {pprof}, {pprof, "--cpu=off"}, {"-e", "trace=%network"}, {"-e", "trace=read,write"},
		{"--raw"}, {"--time=cpu"}, {"--no-follow"}, {pprof, "--labels=tid,latency"},
		{page}, {page, pprof, "--by=tid"}, {"--by=pid,fd", "--json=" + filepath.Join(a.dir, "json"), "-i", "0.05"}, {"--slower=1ms", pprof},
		{"--live"}, {"--live", "--by=tid,fd"}}
	option := options[rand.IntN(len(options))]
	if len(option) > 0 {
		name, _, _ := strings.Cut(option[0], "=")
		a.s.count("attached with "+name, 1)
	}
	// Half of them end while they begin, or soon after it.
	length := rand.N(500 * time.Millisecond)
	if rand.IntN(2) == 0 {
		length = rand.N(60 * time.Millisecond)
	}
	switch rand.IntN(5) {
	case 0:
		a.s.count("ended by --duration", 1)
		a.start(slices.Concat(option, []string{"--duration=" + length.String()})...)
		a.end(0)
	case 1:
		a.endAfter(length, syscall.SIGINT, option)
	case 2:
		a.endAfter(length, syscall.SIGTERM, option)
	case 3:
		a.endAttached(length, option, func() syscall.Signal { return syscall.SIGKILL })
	case 4:
		a.endAttached(length, option, func() syscall.Signal {
			if guard := guardOf(a.cmd.Process.Pid); guard != 0 {
				a.s.count("guards killed", 1)
				unix.Kill(guard, unix.SIGKILL)
				time.Sleep(length)
			}
			return syscall.SIGINT
		})
	}
}

// endAfter attaches for a time, which includes the beginning.
func (a *attacker) endAfter(length time.Duration, sig syscall.Signal, options []string) {
	a.start(options...)
	time.Sleep(length)
	a.s.count("ended by "+unix.SignalName(sig), 1)
	a.end(sig)
}

// endAttached attaches, for a time after that. A thread that is interrupted at the attach, and has not run since, or
// stands at an entry-stop, has its call fail with EINTR if sysprof is killed then. That cannot be helped
// (kernel/ptrace.c, __ptrace_unlink, wakes it as for a signal), so sleepers have to sleep again.
func (a *attacker) endAttached(length time.Duration, options []string, end func() syscall.Signal) {
	a.start(options...)
	tracer, sig := a.cmd.Process.Pid, syscall.SIGINT
	isSettled := func() bool {
		if a.victims[0].talk != nil {
			return drive.Settled(tracer, a.pids)
		}
		return drive.TracedBy(a.pids[0]) == tracer && drive.WaitsForStops(tracer)
	}
	if within(5*time.Second, isSettled) {
		time.Sleep(length)
		if within(5*time.Second, isSettled) {
			sig = end()
		}
	}
	a.s.count("ended by "+unix.SignalName(sig), 1)
	a.end(sig)
}

// guardOf returns the guard of a sysprof, 0 if there is none.
func guardOf(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		for _, child := range strings.Fields(drive.Read(list)) {
			if guard, _ := strconv.Atoi(child); drive.Read("/proc/"+child+"/comm") == "sysp-guard\n" {
				return guard
			}
		}
	}
	return 0
}

// stormAgain attaches to all victims at once, many times in a row, now and then.
func (a *attacker) stormAgain() {
	for !a.s.isOver() {
		a.alone(a.storm)
		select {
		case <-a.s.over:
		case <-time.After(rand.N(10 * time.Second)):
		}
	}
}

// storm attaches ten times in a row, each time for as long as it takes to attach, or a little longer.
func (a *attacker) storm() {
	a.s.count(storms, 1)
	for range 10 {
		length := rand.N(40 * time.Millisecond)
		if rand.IntN(2) == 0 {
			a.start("--duration=" + length.String())
			a.end(0)
		} else {
			a.endAfter(length, syscall.SIGINT, []string{"--pprof=" + filepath.Join(a.dir, "pprof")})
		}
	}
}

package servers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"
)

func TestMain(m *testing.M) { drive.Main(m, 2*soakLength()) }

// TestSoak attaches to servers under load and to sleepers, again and again for as long as $SYSPROF_SOAK says, while
// every CPU is busy: for random times, with random options, ended in every way that there is, and now and then to all
// of them at once. One more sysprof stays attached all the time. No request may fail, no call be interrupted, and
// nothing of the tracing may remain. It is run by .ci/soak.
func TestSoak(t *testing.T) {
	if soakLength() == 0 {
		t.Skip("takes long: bash .ci/soak MINUTES")
	}
	s := &soak{t: t, over: make(chan struct{}), began: time.Now(), counts: map[string]int{}, rss: map[string][]int{}}
	s.startVictims()
	for range runtime.NumCPU() {
		busy := exec.Command("/bin/sh", "-c", "while :; do :; done")
		busy.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		drive.Check(t, busy.Start())
		t.Cleanup(func() { drive.Kill(busy.Process.Pid); busy.Wait() })
	}
	watcher := s.attacker(s.watched)
	watcher.start("--pprof=" + filepath.Join(watcher.dir, "pprof"))

	var work sync.WaitGroup
	for _, v := range append(slices.Clone(s.victims), s.watched) {
		for _, l := range v.loads {
			work.Go(func() { s.keepUp(v, l) })
		}
	}
	for _, v := range s.victims {
		a := s.attacker(v)
		work.Go(func() { a.attachAgain() })
	}
	storm := s.attacker(s.victims...)
	work.Go(func() { storm.stormAgain() })
	s.wait(watcher)
	close(s.over)
	work.Wait()
	watcher.end(syscall.SIGINT)
	s.judge()
}

// soakLength is how long to soak, 0 for not at all.
func soakLength() time.Duration {
	length, _ := time.ParseDuration(os.Getenv("SYSPROF_SOAK"))
	return length
}

type soak struct {
	t       *testing.T
	began   time.Time
	victims []*victim
	watched *victim // that a sysprof is attached to all the time
	over    chan struct{}

	mu     sync.Mutex // guards what follows
	counts map[string]int
	rss    map[string][]int // in kB, every second
}

// victim is a process that is attached to, with its descendants.
type victim struct {
	name  string
	pid   int
	cpus  []string // on which its threads may run
	loads []load
	talk  *drive.Talk // with the sleeper, or nil

	free sync.Mutex // a process has one tracer at a time
}

// What happens, as the table names it.
const (
	started = "sysprofs started"
	storms  = "storms: ten times to all at once"
	atEntry = "calls interrupted by a kill -9 of sysprof while they stood at their entry-stops"
	hungry  = "loads that had no time for a request"
)

// What must not happen.
const (
	badLoad      = "loads with a failed request"
	badCall      = "calls interrupted (EINTR)"
	badEarly     = "waits that ended early"
	badProcess   = "sysprofs and guards left behind"
	badTracing   = "victims left stopped or traced"
	badAffinity  = "victims left on other CPUs"
	badStatus    = "wrong exit statuses"
	badCrash     = "crashes of sysprof"
	badEnd       = "sysprofs that did not end"
	badMemory    = "processes whose memory grew"
	badVictim    = "victims that ended"
	badNoRequest = "victims without a load"
)

var mustBeZero = []string{badLoad, badCall, badEarly, badProcess, badTracing, badAffinity, badStatus, badCrash, badEnd,
	badMemory, badVictim, badNoRequest}

func (s *soak) count(what string, n int) {
	s.mu.Lock()
	s.counts[what] += n
	s.mu.Unlock()
}

// bad counts what must not happen.
func (s *soak) bad(what, format string, args ...any) {
	s.count(what, 1)
	s.t.Errorf("%v: %s: %s", time.Since(s.began).Round(time.Second), what, fmt.Sprintf(format, args...))
}

func (s *soak) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// within waits for a condition, unlike eventually on any goroutine and with an answer.
func within(most time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(most); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func (s *soak) startVictims() {
	t := s.t
	const commands = "set,get,incr" // which need no more memory with time
	victimOf := func(name string, pid int, loads ...load) *victim {
		return &victim{name: name, pid: pid, cpus: drive.CPUsOf(pid), loads: loads}
	}
	redis, redisPort := startRedis(t)
	nginx, nginxPort, _ := startNginx(t, 2)
	postgres, _, connection := startPostgres(t, "shared_buffers=16MB")
	watched, watchedPort := startRedis(t)
	sleeper := drive.As(exec.Command(drive.Self()), "sleeper")
	sleeper.Env = append(sleeper.Env, "GODEBUG=asyncpreemptoff=1") // it is to send itself no signals
	talk := drive.Start(t, sleeper)
	talk.Expect("ready")
	s.victims = []*victim{
		victimOf("redis", redis, redisLoad(t, redisPort, commands)),
		victimOf("nginx", nginx, nginxLoad(t, nginxPort)),
		victimOf("postgres", postgres, postgresLoad(t, connection, "-c", "3"), postgresLoad(t, connection, "-C", "-c", "2")),
		victimOf("sleeper", talk.Pid()),
	}
	s.victims[len(s.victims)-1].talk = talk
	s.watched = victimOf("watched redis", watched, redisLoad(t, watchedPort, commands))
}

// keepUp runs a load over and over.
func (s *soak) keepUp(v *victim, l load) {
	for !s.isOver() {
		wrote, ok := l.run(s.t)
		if !ok {
			s.bad(badLoad, "%s", v.name)
			time.Sleep(time.Second)
			continue
		}
		n := 3 * 3000 // redis-benchmark is told how many
		if m := l.good.FindStringSubmatch(wrote); len(m) > 1 {
			n, _ = strconv.Atoi(m[1])
		}
		if n == 0 {
			s.count(hungry, 1)
		}
		s.count(v.name+": requests", n)
	}
}

// ask asks the sleeper what has become of its calls since the last time, in which a sysprof was killed or was not.
func (s *soak) ask(v *victim, killed bool) {
	if v.talk == nil {
		return
	}
	v.talk.Say("and now?")
	var slept sleptWell
	if line := v.talk.Line(); json.Unmarshal([]byte(line), &slept) != nil {
		s.t.Errorf("the sleeper says %q", line)
		return
	}
	s.count(v.name+": calls that waited", slept.Calls)
	for _, name := range slept.Interrupted {
		if killed { // between the look at where it stands and the kill it went on
			s.count(atEntry, 1)
			continue
		}
		s.bad(badCall, "%s", name)
	}
	for _, name := range slept.Early {
		s.bad(badEarly, "%s", name)
	}
}

// wait waits until it is over, or somebody ends it, and watches memory meanwhile.
func (s *soak) wait(watcher *attacker) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	over := time.After(soakLength())
	const every = time.Second
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case sig := <-interrupted:
			s.t.Logf("ended by %v", sig)
			return
		case <-watcher.ended:
			s.bad(badEnd, "the one that watches has ended: %s", watcher.stderr.String())
			return
		case <-ticks.C:
		}
		s.weigh("sysprof", watcher.cmd.Process.Pid)
		for _, v := range append(slices.Clone(s.victims), s.watched) {
			s.weigh(v.name, v.pid)
		}
		if n%60 == 59 {
			s.mu.Lock()
			s.t.Logf("%d min: %d sysprofs, %d storms", n/60+1, s.counts[started], s.counts[storms])
			s.mu.Unlock()
		}
	}
}

// weigh notes how much memory a process has, or the one of its descendants that has most.
func (s *soak) weigh(name string, pid int) {
	kB := 0
	for _, member := range drive.Family(pid) {
		rss, _ := strconv.Atoi(strings.TrimSuffix(drive.StatusOf(member, "VmRSS"), " kB"))
		kB = max(kB, rss)
	}
	if kB == 0 {
		s.bad(badVictim, "%s", name)
		return
	}
	s.mu.Lock()
	s.rss[name] = append(s.rss[name], kB)
	s.mu.Unlock()
}

// judge demands that memory is level and that there was a load, and prints what happened how often.
func (s *soak) judge() {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%v on %d CPUs\n\n", time.Since(s.began).Round(time.Second), runtime.NumCPU())
	for _, name := range slices.Sorted(maps.Keys(s.counts)) {
		if !slices.Contains(mustBeZero, name) {
			fmt.Fprintf(&b, "%12d  %s\n", s.counts[name], name)
		}
	}
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(s.rss)) {
		// At first caches fill. What grows without end has grown between the second and the last quarter.
		kB := s.rss[name]
		early, late := median(kB[len(kB)/4:len(kB)/2]), median(kB[len(kB)*3/4:])
		fmt.Fprintf(&b, "%9d kB  %s, %d in the end\n", early, name, late)
		if late > early+early/10+2048 {
			s.bad(badMemory, "%s: %d kB, later %d", name, early, late)
		}
	}
	for _, v := range append(slices.Clone(s.victims), s.watched) {
		if len(v.loads) > 0 && s.counts[v.name+": requests"] == 0 {
			s.bad(badNoRequest, "%s", v.name)
		}
	}
	b.WriteString("\n")
	for _, name := range mustBeZero {
		fmt.Fprintf(&b, "%12d  %s\n", s.counts[name], name)
	}
	s.t.Log(b.String())
}

// median is 0 of nothing.
func median(of []int) int {
	if len(of) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(of))[len(of)/2]
}

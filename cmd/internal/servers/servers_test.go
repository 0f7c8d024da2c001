package servers_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// load is a program that sends requests to a server for a short time and says whether all were answered.
type load struct {
	args []string
	bad  *regexp.Regexp // what it prints when a request failed
	good *regexp.Regexp // what it prints when it has done its work
}

// attachUnderLoad attaches sysprof to a server and detaches it 20 times while the load runs, in every
// way there is of ending it. No request may fail, and nothing may remain of the tracing.
func attachUnderLoad(t *testing.T, pid int, l load) {
	const rounds, traced = 20, 40 * time.Millisecond
	requests := l.keepUp(t)
	empty, calls, threadsSeen := 0, 0, 0
	for round := range rounds {
		pids := drive.Family(pid)
		table := filepath.Join(t.TempDir(), "table")
		cmd := drive.Sysprof(t, append([]string{"-q", "-o", table, "-p", commas(pids)}, drive.CountColumns...)...)
		// In turn: its own clock, and the signals; now and then the one that leaves it no time to detach.
		end := []syscall.Signal{0, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[round%4]
		if round%5 == 4 {
			end = syscall.SIGKILL
		}
		if end == 0 {
			cmd.Args = slices.Insert(cmd.Args, 1, "--duration="+traced.String())
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		drive.Check(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() }) // if the test is given up
		if end != 0 {
			drive.Eventually(t, "sysprof has attached", func() bool { return drive.TracedBy(pid) == cmd.Process.Pid })
			begin := drive.Switches(drive.Family(pid))
			time.Sleep(traced)
			// The load pauses now and then, and the CPUs may be busy with something else.
			drive.Eventually(t, "the server makes calls", func() bool {
				for tid, n := range drive.Switches(drive.Family(pid)) {
					if n > begin[tid]+20 { // two for a call
						return true
					}
				}
				return false
			})
			drive.Check(t, cmd.Process.Signal(end))
		}
		status := drive.WaitFor(t, cmd)
		if end == 0 && status != 0 || end != 0 && (!status.Signaled() || status.Signal() != end) {
			t.Errorf("round %d: sysprof was to end with signal %d; %s\n%s", round, end, drive.Describe(status), stderr.String())
		}
		drive.Eventually(t, fmt.Sprintf("round %d: the server runs untraced", round), func() bool { return drive.Untouched(drive.Family(pid)) })
		if end == syscall.SIGKILL {
			continue
		}
		got := drive.ParseCounts(t, drive.Read(table))
		for name, c := range got {
			if c.Calls <= 0 || c.Errors < 0 || c.Errors > c.Calls || strings.HasPrefix(name, "syscall_") {
				t.Errorf("round %d: %s: %v", round, name, c)
			}
		}
		if got.Total().Calls == 0 {
			empty++
		}
		calls += got.Total().Calls
		threadsSeen = max(threadsSeen, len(pids))
	}
	done := requests()
	t.Logf("%d rounds on up to %d processes, %d calls counted, %d rounds without any; the load ran %d times",
		rounds, threadsSeen, calls, empty, done)
	if empty > rounds/4 { // those that ended by themselves, in a pause of the load
		t.Errorf("%d of %d rounds counted nothing", empty, rounds)
	}
	if done == 0 {
		t.Error("there was no load")
	}
}

// keepUp runs the load over and over. The function returned lets it finish, and tells how often it ran.
func (l load) keepUp(t *testing.T) (finish func() int) {
	stop, done, times := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, ok := l.run(t); !ok {
				return
			}
			times++
		}
	}()
	end := sync.OnceValue(func() int {
		close(stop)
		<-done
		return times
	})
	t.Cleanup(func() { end() })
	return end
}

// run runs the load once, and returns what it wrote, and whether all went well.
func (l load) run(t *testing.T) (wrote string, ok bool) {
	cmd := exec.Command(l.args[0], l.args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return "", false
	}
	defer time.AfterFunc(10*drive.Patience, func() { drive.Kill(cmd.Process.Pid) }).Stop() // all CPUs may be busy with other things, too
	err := cmd.Wait()
	if err != nil || l.bad.Match(out.Bytes()) || !l.good.Match(out.Bytes()) {
		t.Errorf("%s: %v\n%s", cmd, err, out.String())
		return out.String(), false
	}
	return out.String(), true
}

func commas(pids []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(pids), " ", ","), "[]")
}

// countAttached attaches a tracer to idle processes, has them do some work, and detaches it when
// they are idle again.
func countAttached(t *testing.T, pids []int, port int, work func(), tracer string, flags ...string) drive.Counts {
	t.Helper()
	table := filepath.Join(t.TempDir(), "table")
	cmd := exec.Command(tracer, slices.Concat(flags, []string{"-f", "-o", table, "-p", commas(pids)}, drive.CountColumns)...)
	drive.Check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() }) // if the test is given up
	idle := func() bool { return !drive.Connected(port) && drive.Settled(cmd.Process.Pid, pids) }
	drive.Eventually(t, tracer+" has attached", func() bool { return idle() && (len(pids) > 1 || nobodyLeftAsleep(cmd.Process.Pid)) })
	work()
	drive.Eventually(t, "the server is idle again", idle) // it notices by and by that connections are closed
	drive.Check(t, cmd.Process.Signal(syscall.SIGINT))
	drive.WaitFor(t, cmd)
	return drive.ParseCounts(t, drive.Read(table))
}

// nobodyLeftAsleep reports whether a tracer has no breakpoint set for a thread that slept when it was attached to. What such
// a thread calls when it wakes up is not counted until it has been interrupted.
func nobodyLeftAsleep(tracer int) bool {
	dir := fmt.Sprintf("/proc/%d/fd", tracer)
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		if what, _ := os.Readlink(filepath.Join(dir, file.Name())); what == "anon_inode:[perf_event]" {
			return false
		}
	}
	return true
}

// equalAttached demands that sysprof and strace count the same when attached to the same work. Before
// the comparison, settle takes out of a table what a server does by the clock, and what depends on which
// of two processes is quicker.
func equalAttached(t *testing.T, pids []int, port int, work func(), settle func(drive.Counts)) {
	t.Helper()
	strace := needs.Program(t, "strace", "strace")
	work() // fills the server's caches
	drive.Eventually(t, "the server is idle", func() bool { return !drive.Connected(port) })
	// What a server does now and then by itself may have been begun when one of them comes, which makes a call less: once more.
	const tries = 4
	for n := 1; ; n++ {
		want := countAttached(t, pids, port, work, strace)
		got := countAttached(t, pids, port, work, drive.Program(t), "-q")
		t.Logf("sysprof: %v\nstrace: %v", got, want)
		settle(got)
		settle(want)
		differing := got.Differing(want)
		if len(differing) > 0 && n < tries {
			continue
		}
		for _, name := range differing {
			t.Errorf("%s: sysprof counted %v; strace %v", name, got[name], want[name])
		}
		return
	}
}

// ledger demands that sysprof, attached to a server for as long as it works, counts what the work says that
// it has done. Each entry of want is a number of calls that did not fail.
func ledger(t *testing.T, got drive.Counts, want map[string]int) {
	t.Helper()
	for name, n := range want {
		if c := got[name]; c.Calls-c.Errors != n {
			t.Errorf("%s: counted %v; the load made %d", name, c, n)
		}
	}
	if t.Failed() {
		t.Logf("counted: %v", got)
	}
}

// number finds what pattern's group matches in a text.
func number(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in:\n%s", pattern, text)
	}
	n, err := strconv.Atoi(m[1])
	drive.Check(t, err)
	return n
}

func startRedis(t *testing.T) (pid, port int) {
	t.Helper()
	port = drive.FreePort(t)
	// Its log of slow commands asks for the client's address; on a busy machine any command may be slow.
	cmd := exec.Command(needs.Program(t, "redis-server", "redis-server"), "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--hz", "1", "--slowlog-log-slower-than", "-1")
	return drive.StartServer(t, cmd, port, syscall.SIGTERM), port
}

// redisLoad is 3000 commands each of some kinds.
func redisLoad(t *testing.T, port int, commands string) load {
	t.Helper()
	last := strings.ToUpper(commands[strings.LastIndexByte(commands, ',')+1:])
	return load{
		args: []string{needs.Program(t, "redis-benchmark", "redis-tools"), "-p", strconv.Itoa(port), "-c", "20", "-n", "3000",
			"-t", commands, "-q"},
		bad:  regexp.MustCompile(`(?i)err|fail|refused|reset|closed`),
		good: regexp.MustCompile(last + `.*requests per second`),
	}
}

func TestServersRedis(t *testing.T) {
	pid, port := startRedis(t)
	benchmark, client := needs.Program(t, "redis-benchmark", "redis-tools"), needs.Program(t, "redis-cli", "redis-tools")
	t.Run("20 times under load", func(t *testing.T) {
		attachUnderLoad(t, pid, redisLoad(t, port, "set,get,lpush,lrange_100"))
	})
	t.Run("equal counts", func(t *testing.T) {
		var script strings.Builder
		for i := range 100 {
			fmt.Fprintf(&script, "SET key%d value\nGET key%d\nINCR key%d\n", i, i, i)
		}
		work := func() {
			t.Helper()
			for range 3 {
				cmd := exec.Command(client, "-p", strconv.Itoa(port))
				cmd.Stdin = strings.NewReader(script.String())
				out := drive.Succeed(t, cmd)
				if ok := strings.Count(out, "OK"); ok != 100 {
					t.Fatalf("%d of 100 keys were set:\n%s", ok, out)
				}
			}
		}
		equalAttached(t, []int{pid}, port, work, func(c drive.Counts) {
			delete(c, "epoll_wait")
			delete(c, "futex") // of the allocator's thread, which is busy when the server is young
			// Once a second, redis reads /proc/self/stat. It opens no other file.
			files := c["openat"].Calls
			c["read"] = drive.Tally{Calls: c["read"].Calls - files, Errors: c["read"].Errors}
			c["close"] = drive.Tally{Calls: c["close"].Calls - files, Errors: c["close"].Errors}
			delete(c, "openat")
		})
	})
	t.Run("the load's own ledger", func(t *testing.T) {
		const clients, requests = 20, 3000
		info := func() string {
			return drive.Succeed(t, exec.Command(client, "-p", strconv.Itoa(port), "info", "stats"))
		}
		served := func(info string) (commands, connections int) {
			return number(t, info, `total_commands_processed:(\d+)`), number(t, info, `total_connections_received:(\d+)`)
		}
		drive.Eventually(t, "the server is idle", func() bool { return !drive.Connected(port) })
		commandsBefore, connectionsBefore := served(info())
		got := countAttached(t, []int{pid}, port, func() {
			out := drive.Succeed(t, exec.Command(benchmark, "-p", strconv.Itoa(port),
				"-c", strconv.Itoa(clients), "-n", strconv.Itoa(requests), "-t", "set,get", "--csv"))
			if strings.Count(out, "\n") != 3 { // a head, and a line a test
				t.Errorf("redis-benchmark says:\n%s", out)
			}
		}, drive.Program(t), "-q")
		commands, connections := served(info())
		// The server counts a command when it has answered it: the first info is in the second's number.
		commands, connections = commands-commandsBefore-1, connections-connectionsBefore-1
		// redis-benchmark first asks for two settings by a connection of its own, both at once.
		if commands != 2*requests+2 || connections != 2*clients+1 {
			t.Errorf("the server says that it served %d commands of %d connections", commands, connections)
		}
		ledger(t, got, map[string]int{"write": commands - 1, "accept4": connections})
	})
}

func startNginx(t *testing.T, workers int) (pid, port int, log string) {
	t.Helper()
	nginx := needs.Program(t, "nginx", "nginx")
	dir, port := drive.SharedDir(t), drive.FreePort(t)
	for _, sub := range []string{"body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		drive.Check(t, os.Mkdir(filepath.Join(dir, sub), 0o777))
	}
	drive.WriteFile(t, filepath.Join(dir, "html/index.html"), strings.Repeat("0123456789", 500))
	drive.WriteFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`
daemon off;
user root;
worker_processes %[3]d;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen 127.0.0.1:%[2]d;
		root %[1]s/html;
		location /moved { return 302 /; }
	}
}
`, dir, port, workers))
	cmd := exec.Command(nginx, "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	pid = drive.StartServer(t, cmd, port, syscall.SIGTERM)
	drive.Eventually(t, "nginx has its workers", func() bool { return len(drive.Family(pid)) == 1+workers })
	return pid, port, filepath.Join(dir, "access.log")
}

// nginxLoad is requests for a second.
func nginxLoad(t *testing.T, port int) load {
	t.Helper()
	return load{
		args: []string{needs.Program(t, "wrk", "wrk"), "-t", "1", "-c", "10", "-d", "1s", "--timeout", "20s",
			fmt.Sprintf("http://127.0.0.1:%d/", port)},
		bad:  regexp.MustCompile(`(?i)error|non-2xx|unable`),
		good: regexp.MustCompile(`(\d+) requests in`),
	}
}

func TestServersNginx(t *testing.T) {
	t.Run("20 times under load", func(t *testing.T) {
		needs.Program(t, "wrk", "wrk")
		pid, port, _ := startNginx(t, 2)
		attachUnderLoad(t, pid, nginxLoad(t, port))
	})
	t.Run("equal counts", func(t *testing.T) {
		python := needs.Program(t, "python3", "python3")
		pid, port, _ := startNginx(t, 1) // of several, it is not certain which wakes up for a connection
		script := filepath.Join(t.TempDir(), "client.py")
		drive.WriteFile(t, script, `
import http.client, sys
def get(c, path, want):
    c.request("GET", path)
    r = c.getresponse()
    r.read()
    assert r.status == want, (path, r.status)
for i in range(40):
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    for path, want in ("/", 200), ("/missing", 404), ("/moved", 302):
        get(c, path, want)
    c.close()
`)
		work := func() {
			t.Helper()
			drive.Succeed(t, exec.Command(python, script, strconv.Itoa(port)))
		}
		equalAttached(t, drive.Family(pid), port, work, func(c drive.Counts) {
			delete(c, "epoll_wait")
		})
	})
	t.Run("the load's own ledger", func(t *testing.T) {
		const clients = 10
		wrk := needs.Program(t, "wrk", "wrk")
		pid, port, log := startNginx(t, 2)
		drive.Eventually(t, "the server is idle", func() bool { return !drive.Connected(port) })
		logged := func() int { return strings.Count(drive.Read(log), "\n") }
		before, answered := logged(), 0
		got := countAttached(t, drive.Family(pid), port, func() {
			out := drive.Succeed(t, exec.Command(wrk, "-t", "1", "-c", strconv.Itoa(clients), "-d", "1s",
				"--timeout", "20s", fmt.Sprintf("http://127.0.0.1:%d/", port)))
			answered = number(t, out, `(\d+) requests in`)
		}, drive.Program(t), "-q")
		requests := logged() - before
		// When its time is over, wrk waits for no answer.
		if answered == 0 || requests < answered || requests > answered+clients {
			t.Errorf("wrk has seen %d answers, nginx has logged %d", answered, requests)
		}
		// An answer is one writev, and a line of the log one write.
		ledger(t, got, map[string]int{"write": requests, "writev": requests})
	})
}

// startPostgres also returns what its clients are told of where it is.
func startPostgres(t *testing.T, settings ...string) (pid, port int, connection []string) {
	t.Helper()
	dir := drive.SharedDir(t)
	port = drive.FreePort(t)
	initdb, postgres := needs.Program(t, "initdb", "postgresql"), needs.Program(t, "postgres", "postgresql")
	pgbench, psql := needs.Program(t, "pgbench", "postgresql-contrib"), needs.Program(t, "psql", "postgresql-client")
	var who *syscall.Credential // postgres refuses to run as root
	if os.Geteuid() == 0 {
		uid, err1 := strconv.Atoi(strings.TrimSpace(drive.Succeed(t, exec.Command("id", "-u", "postgres"))))
		gid, err2 := strconv.Atoi(strings.TrimSpace(drive.Succeed(t, exec.Command("id", "-g", "postgres"))))
		drive.Check(t, errors.Join(err1, err2))
		who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		drive.Check(t, os.Chown(dir, uid, gid))
	}
	owned := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
		return cmd
	}
	data := filepath.Join(dir, "data")
	drive.Succeed(t, owned(initdb, "--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "-D", data))
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-k", dir}
	settings = append(settings, "listen_addresses=127.0.0.1", "fsync=off", "autovacuum=off", "max_parallel_workers=0")
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	pid = drive.StartServer(t, owned(postgres, args...), port, syscall.SIGQUIT)
	connection = []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres"}
	drive.Eventually(t, "postgres is ready", func() bool {
		return drive.Run(t, exec.Command(psql, append(connection, "-c", "select 1")...)).Status == 0
	})
	drive.Succeed(t, exec.Command(pgbench, append(connection, "-i", "-q", "-s", "1", "postgres")...))
	return pid, port, connection
}

func TestServersPostgres(t *testing.T) {
	pid, port, connection := startPostgres(t)
	pgbench, psql := needs.Program(t, "pgbench", "postgresql-contrib"), needs.Program(t, "psql", "postgresql-client")

	// This comes first, because once a minute the postmaster looks into its lock file.
	t.Run("equal counts", func(t *testing.T) {
		work := func() {
			t.Helper()
			for range 3 {
				cmd := exec.Command(psql, append(connection, "-X", "-q", "postgres")...)
				cmd.Stdin = strings.NewReader(strings.Repeat("select abalance from pgbench_accounts where aid = 77;\n", 40))
				drive.Succeed(t, cmd)
			}
		}
		equalAttached(t, []int{pid}, port, work, func(c drive.Counts) {
			// Whether the next query is there when the server looks, or it has to wait.
			delete(c, "epoll_wait")
			delete(c, "epoll_ctl")
			c["recvfrom"] = c["recvfrom"].Successes()
			// Several children may have ended when the postmaster looks, and its wait be over or be
			// interrupted when it learns.
			for _, name := range []string{"pselect6", "wait4", "rt_sigprocmask", "rt_sigreturn", "getpid", "futex", "munmap"} {
				delete(c, name)
			}
		})
	})

	t.Run("the load's own ledger", func(t *testing.T) {
		const clients, each = 4, 150
		drive.Eventually(t, "the server is idle", func() bool { return !drive.Connected(port) })
		got := countAttached(t, []int{pid}, port, func() {
			args := append([]string{"-S", "-n", "-c", strconv.Itoa(clients), "-t", strconv.Itoa(each)}, connection...)
			out := drive.Succeed(t, exec.Command(pgbench, append(args, "postgres")...))
			if n := number(t, out, `number of transactions actually processed: (\d+)`); n != clients*each {
				t.Errorf("pgbench has made %d transactions of %d", n, clients*each)
			}
		}, drive.Program(t), "-q")
		// pgbench itself makes a connection more, and two queries about its tables. A connection begins
		// with two answers: no TLS, and the server's parameters.
		ledger(t, got, map[string]int{
			"accept": clients + 1, "clone": clients + 1, "sendto": clients*each + 2 + 2*(clients+1),
		})
	})

	t.Run("20 times under load", func(t *testing.T) {
		attachUnderLoad(t, pid, postgresLoad(t, connection, "-c", "4"))
	})
	t.Run("20 times while backends come and go", func(t *testing.T) {
		attachUnderLoad(t, pid, postgresLoad(t, connection, "-C", "-c", "3"))
	})
}

// postgresLoad is queries for a second.
func postgresLoad(t *testing.T, connection []string, clients ...string) load {
	t.Helper()
	pgbench := []string{needs.Program(t, "pgbench", "postgresql-contrib"), "-S", "-n", "-T", "1"}
	return load{
		args: slices.Concat(pgbench, clients, connection, []string{"postgres"}),
		bad:  regexp.MustCompile(`(?i)error|fatal|aborted|could not|failed transactions: [1-9]`),
		good: regexp.MustCompile(`(?s)actually processed: (\d+).*number of failed transactions: 0 `),
	}
}

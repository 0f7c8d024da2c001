package workload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sysprof/bench/process"
)

// attached returns the servers that tracers are attached to. The load generators are not traced.
func attached() []Workload {
	redis := []Need{{"redis-server", "redis-server"}, {"redis-benchmark", "redis-tools"}}
	web := Need{"wrk", "wrk"}
	postgres := []Need{{"postgres", "postgresql"}, {"initdb", "postgresql"}, {"pgbench", "postgresql-contrib"}}
	return []Workload{
		{
			Name: "attached/redis", What: "redis, GET from 50 connections", Unit: "request", Needs: redis,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveRedis(ctx, e, 20_000, 1) },
		},
		{
			Name: "attached/redis-P16", What: "the same, 16 requests at a time", Unit: "request", Needs: redis,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return serveRedis(ctx, e, 160_000, 16) },
		},
		{
			Name: "attached/nginx", What: "nginx, a page of 5 kB for wrk's 50 connections", Unit: "request", Needs: []Need{{"nginx", "nginx"}, web},
			Serve: serveNginx,
		},
		{
			Name: "attached/go-http", What: "a server in Go, hundreds of goroutines for wrk's 300 connections", Unit: "request", Needs: []Need{web},
			Serve: serveGo,
		},
		{
			Name: "attached/pgbench-S", What: "postgres, pgbench -S from 4 clients", Unit: "transaction", Needs: postgres, Prepare: (*Env).makeDatabase,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return servePostgres(ctx, e, "-S") },
		},
		{
			Name: "attached/pgbench-S-postmaster", What: "the same, attached to the postmaster alone, so that all backends are born under trace",
			Unit: "transaction", Needs: postgres, Prepare: (*Env).makeDatabase,
			Serve: func(ctx context.Context, e *Env) (Service, error) {
				s, err := servePostgres(ctx, e, "-S")
				return firstOf{s}, err
			},
		},
		{
			Name: "attached/pgbench-TPC-B", What: "postgres, pgbench's transactions like TPC-B's", Unit: "transaction", Needs: postgres, Prepare: (*Env).makeDatabase,
			Serve: func(ctx context.Context, e *Env) (Service, error) { return servePostgres(ctx, e) },
		},
	}
}

func serveRedis(ctx context.Context, e *Env, requests, pipeline int) (Service, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	at := strconv.Itoa(port)
	s, err := startServer(ctx, process.Spec{Words: command("redis-server", "--bind", "127.0.0.1", "--port", at,
		"--save", "", "--appendonly", "no", "--dir", e.Dir)}, port, syscall.SIGTERM, nil)
	if err != nil {
		return nil, err
	}
	requests = e.size(requests)
	s.load = func(ctx context.Context) (Sample, error) {
		out, err := client(ctx, "redis-benchmark", "-h", "127.0.0.1", "-p", at, "-t", "get", "-c", "50",
			"-n", strconv.Itoa(requests), "-P", strconv.Itoa(pipeline), "--csv")
		if err != nil {
			return Sample{}, err
		}
		return redisBenchmark(out, requests)
	}
	return s, nil
}

func serveNginx(ctx context.Context, e *Env) (Service, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	dir := e.file("nginx")
	for _, sub := range []string{"html", "body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	var as string
	if os.Geteuid() == 0 {
		as = "user root;\n" // the directories of nginx belong to root
	}
	conf := fmt.Sprintf(`daemon off;
%[3]sworker_processes 1;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen 127.0.0.1:%[2]d;
		root %[1]s/html;
	}
}
`, dir, port, as)
	err = errors.Join(os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644),
		os.WriteFile(filepath.Join(dir, "html", "index.html"), []byte(strings.Repeat("0123456789", 500)), 0o644))
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, process.Spec{Words: command("nginx", "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", filepath.Join(dir, "conf"))},
		port, syscall.SIGTERM, func(pid int) bool { return len(process.Family(pid)) == 2 && process.Listening(port) })
	if err != nil {
		return nil, err
	}
	s.load = func(ctx context.Context) (Sample, error) { return loadWeb(ctx, port, 50) }
	return s, nil
}

func serveGo(ctx context.Context, e *Env) (Service, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, process.Spec{Words: []string{e.Self, "helper-serve", strconv.Itoa(port)}}, port, syscall.SIGTERM, nil)
	if err != nil {
		return nil, err
	}
	s.load = func(ctx context.Context) (Sample, error) { return loadWeb(ctx, port, 300) }
	return s, nil
}

// loadWeb requests a page with wrk for a second, which is the shortest time that wrk can do.
func loadWeb(ctx context.Context, port, connections int) (Sample, error) {
	out, err := client(ctx, "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", "1s", "--timeout", "20s", "--latency",
		fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		return Sample{}, err
	}
	return wrk(out)
}

// databaseOwner returns the user to run postgres as, since postgres does not run as root. Nil means the
// user of the bench.
func databaseOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, fmt.Errorf("postgres does not run as root, and there is neither a user postgres nor nobody")
}

// makeDatabase makes a database with pgbench's tables, unless it exists.
func (e *Env) makeDatabase() error {
	dir := e.file("postgres")
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		return nil
	}
	ctx := context.Background()
	who, err := databaseOwner()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	_, err = process.Run(ctx, process.Spec{Words: command("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--locale=C",
		"-D", filepath.Join(dir, "data")), Dir: dir, Credential: who}, loadBound)
	if err != nil {
		return err
	}
	s, port, err := startPostgres(ctx, e)
	if err != nil {
		return err
	}
	_, err = client(ctx, slices.Concat([]string{"pgbench", "-i", "-q", "-s", "1"}, database(port))...)
	if err := errors.Join(err, s.Stop()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "ready"), nil, 0o644)
}

// database returns the arguments of pgbench that name the database.
func database(port int) []string {
	return []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres", "postgres"}
}

func startPostgres(ctx context.Context, e *Env) (*server, int, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, 0, err
	}
	who, err := databaseOwner()
	if err != nil {
		return nil, 0, err
	}
	dir := e.file("postgres")
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	s, err := startServer(ctx, process.Spec{Words: command("postgres", "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off"), Dir: dir, Credential: who},
		port, syscall.SIGINT, func(int) bool { // a connection would start a process, which ends soon after
			text, _ := os.ReadFile(pidFile)
			return strings.Contains(string(text), "\nready")
		})
	return s, port, err
}

// servePostgres starts a server. Its load is pgbench with these arguments, for a second.
func servePostgres(ctx context.Context, e *Env, args ...string) (Service, error) {
	s, port, err := startPostgres(ctx, e)
	if err != nil {
		return nil, err
	}
	s.load = func(ctx context.Context) (Sample, error) {
		log := e.file("pgbench_log")
		for _, old := range glob(log + ".*") {
			os.Remove(old)
		}
		out, err := client(ctx, slices.Concat([]string{"pgbench", "-n", "-c", "4", "-T", "1", "-l", "--log-prefix=" + log}, args, database(port))...)
		if err != nil {
			return Sample{}, err
		}
		sample, err := pgbench(out)
		var ns []float64
		for _, file := range glob(log + ".*") {
			text, _ := os.ReadFile(file)
			ns = append(ns, pgbenchLatencies(string(text))...)
		}
		sample.P99Ns = quantile(ns, 0.99)
		return sample, err
	}
	return s, nil
}

// quantile returns the smallest value that is not exceeded by at least that share of all values. It returns
// 0 if there are no values.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

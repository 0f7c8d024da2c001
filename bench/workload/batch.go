package workload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Environment is added to the environment of programs. It keeps them from the user's settings and from the
// network.
var Environment = []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
	"GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local"}

var (
	goTool   = Need{"go", "golang-go"}
	perfTool = Need{"perf", "linux-perf"}
)

// batch returns the programs that run and end.
func batch() []Workload {
	return slices.Concat(loops(), fileTools(), compilersAndScripts(), systemBenchmarks(), compressors())
}

// loops returns programs that do little but make system calls.
func loops() []Workload {
	return []Workload{
		{
			Name: "batch/getppid", What: "the cheapest call, 100,000 times",
			Command: func(e *Env) []string { return e.getppid(100_000) }, Elapsed: printedNs,
		},
		dd("batch/dd-1", "1", 50_000), dd("batch/dd-4k", "4k", 30_000), dd("batch/dd-1M", "1M", 5_000),
	}
}

// fileTools returns programs that search and copy files.
func fileTools() []Workload {
	return []Workload{
		find("batch/find", "find -size, through Go's sources twice", ""),
		{
			Name: "batch/tar", What: "tar of Go's sources, piped into cat", Needs: []Need{{"tar", "tar"}, goTool},
			Command: func(e *Env) []string { return shell("tar -cf - -C %s . | cat >/dev/null", e.sources("cmd")) },
		},
		{
			Name: "batch/git-status", What: "git status, 5 times, in a repository of 1,300 files", Needs: []Need{{"git", "git"}, goTool},
			Prepare: (*Env).makeRepository,
			Command: func(e *Env) []string {
				return shell("for i in 1 2 3 4 5; do git -C %s status --short; done", e.repository())
			},
		},
		{
			Name: "batch/git-grep", What: "git grep in the same", Needs: []Need{{"git", "git"}, goTool},
			Prepare: (*Env).makeRepository,
			Command: func(e *Env) []string {
				return shell("for i in 1 2 3; do git -C %s grep -n 'x.*Sched[a-z]*er' -- . || true; done", e.repository())
			},
		},
		{
			Name: "batch/cp", What: "cp -r of 1,300 files", Needs: []Need{{"cp", "coreutils"}, goTool},
			Before:  func(e *Env) error { return os.RemoveAll(e.file("copy")) },
			Command: func(e *Env) []string { return []string{"cp", "-r", e.sources(repositorySource), e.file("copy")} },
		},
	}
}

// compilersAndScripts returns programs that start other programs.
func compilersAndScripts() []Workload {
	return []Workload{
		{
			Name: "batch/gcc", What: "gcc -O2 of a program of 200 lines", Needs: []Need{{"gcc", "gcc"}},
			Prepare: func(e *Env) error { return os.WriteFile(e.file("program.c"), []byte(e.Source), 0o666) },
			Command: func(e *Env) []string {
				return []string{"gcc", "-O2", "-pthread", "-o", e.file("program"), e.file("program.c")}
			},
		},
		goBuild("batch/go-build", "go build of a small program, the libraries built before", ""),
		{
			Name: "batch/python", What: "10 starts of python3", Needs: []Need{{"python3", "python3"}},
			Command: func(e *Env) []string {
				return shell("for i in 1 2 3 4 5 6 7 8 9 10; do %s -c 'import json'; done", python())
			},
		},
		{
			Name: "batch/shell", What: "a shell loop that runs 500 commands", Needs: []Need{{"true", "coreutils"}},
			Command: func(e *Env) []string {
				return shell("i=0; while [ $i -lt %s ]; do /bin/true; i=$((i+1)); done", strconv.Itoa(e.size(500)))
			},
		},
	}
}

// systemBenchmarks returns benchmarks of the kernel that people run: of scheduling, locks, files and CPUs.
func systemBenchmarks() []Workload {
	return []Workload{
		{
			Name: "batch/sched-pipe", What: "perf bench sched pipe: ping-pong between two processes", Needs: []Need{perfTool},
			Command: func(e *Env) []string {
				return []string{"perf", "bench", "sched", "pipe", "-l", strconv.Itoa(e.size(20_000))}
			}, Elapsed: perfBench,
		},
		{
			Name: "batch/sched-messaging", What: "perf bench sched messaging: 80 processes, all to all", Needs: []Need{perfTool},
			Command: func(e *Env) []string {
				return []string{"perf", "bench", "sched", "messaging", "-g", "2", "-l", strconv.Itoa(e.size(60))}
			}, Elapsed: perfBench,
		},
		{
			Name: "batch/sysbench-threads", What: "sysbench threads: 4 threads and their locks", Needs: []Need{{"sysbench", "sysbench"}},
			Command: func(e *Env) []string {
				return []string{"sysbench", "threads", "--threads=4", "--time=0", "--percentile=99", "--events=" + strconv.Itoa(e.size(100)), "run"}
			}, Elapsed: sysbench,
		},
		{
			Name: "batch/sysbench-fileio", What: "sysbench fileio: random reads and writes of 4 files", Needs: []Need{{"sysbench", "sysbench"}},
			Prepare: func(e *Env) error {
				if err := os.MkdirAll(e.file("fileio"), 0o777); err != nil {
					return err
				}
				cmd := exec.Command("sysbench", fileio("prepare")...)
				cmd.Dir = e.file("fileio")
				return cmd.Run()
			},
			Dir: func(e *Env) string { return e.file("fileio") },
			Command: func(e *Env) []string {
				return append([]string{"sysbench"}, fileio("--events="+strconv.Itoa(e.size(10_000)), "--time=0", "--percentile=99", "run")...)
			}, Elapsed: sysbench,
		},
		{
			Name: "batch/sysbench-cpu", What: "sysbench cpu: it computes on every CPU", Needs: []Need{{"sysbench", "sysbench"}},
			Command: func(e *Env) []string {
				return []string{"sysbench", "cpu", "--threads=" + strconv.Itoa(runtime.NumCPU()), "--time=0", "--percentile=99", "--events=" + strconv.Itoa(e.size(1000)), "run"}
			}, Elapsed: sysbench,
		},
		fioReads("batch/fio-psync", "psync"),
		fioReads("batch/fio-io_uring", "io_uring", "--iodepth=16"),
	}
}

// compressors returns programs that compute more than they make system calls.
func compressors() []Workload {
	return []Workload{
		{
			Name: "batch/xz", What: "xz -1 of 8 MB", Needs: []Need{{"xz", "xz-utils"}, {"tar", "tar"}, goTool},
			Prepare: func(e *Env) error {
				if err := tool("tar", "-cf", e.file("sources.tar"), "-C", e.sources("net"), "."); err != nil {
					return err
				}
				return os.Truncate(e.file("sources.tar"), int64(e.size(8<<20)))
			},
			Command: func(e *Env) []string { return []string{"xz", "-1", "-c", e.file("sources.tar")} },
		},
	}
}

// filtered returns programs that are traced with a filter.
func filtered() []Workload {
	return []Workload{
		{
			Name: "filter/nothing", What: "200,000 × getppid, a filter that matches nothing", Filter: "acct",
			Command: func(e *Env) []string { return e.getppid(200_000) }, Elapsed: printedNs,
		},
		find("filter/openat", "find, openat alone", "openat"),
		goBuild("filter/execve", "go build, execve alone", "execve"),
	}
}

func find(name, what, filter string) Workload {
	return Workload{
		Name: name, What: what, Filter: filter, Needs: []Need{{"find", "findutils"}, goTool},
		Command: func(e *Env) []string { return []string{"find", e.sources(""), e.sources(""), "-size", "+1M"} },
	}
}

func goBuild(name, what, filter string) Workload {
	return Workload{
		Name: name, What: what, Filter: filter, Needs: []Need{goTool},
		Prepare: (*Env).makeModule, Before: (*Env).changeModule, Dir: func(e *Env) string { return e.file("module") },
		Command: func(e *Env) []string { return []string{"go", "build", "-o", e.file("built"), "."} },
	}
}

func dd(name, block string, count int) Workload {
	return Workload{
		Name: name, What: fmt.Sprintf("dd bs=%s from /dev/zero to /dev/null, %d blocks", block, count), Needs: []Need{{"dd", "coreutils"}},
		Command: func(e *Env) []string {
			return []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=" + block, "count=" + strconv.Itoa(e.size(count))}
		}, Elapsed: ddElapsed,
	}
}

func fioReads(name, engine string, more ...string) Workload {
	return Workload{
		Name: name, What: "fio " + engine + ": random reads of 4 KB from a file in the page cache", Needs: []Need{{"fio", "fio"}},
		// Writing the file puts it into the page cache.
		Prepare: func(e *Env) error { return os.WriteFile(e.file("fio"), make([]byte, 64<<20), 0o666) },
		Command: func(e *Env) []string {
			return append([]string{"fio", "--name=reads", "--ioengine=" + engine, "--rw=randread", "--bs=4k", "--size=64m", "--invalidate=0",
				"--io_size=" + strconv.Itoa(4096*e.size(20_000)), "--filename=" + e.file("fio"), "--output-format=json"}, more...)
		}, Elapsed: fio,
	}
}

func fileio(args ...string) []string {
	return append([]string{"fileio", "--file-total-size=16M", "--file-num=4", "--file-test-mode=rndrw"}, args...)
}

// shell returns the command of a script. It puts the quoted words in place of the script's %s.
func shell(script string, words ...string) []string {
	var quoted []any
	for _, w := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return []string{"/bin/sh", "-c", fmt.Sprintf(script, quoted...)}
}

// python returns the path of the interpreter. python3 itself may be a script that looks for it.
func python() string {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3"
	}
	return strings.TrimSpace(string(out))
}

func (e *Env) getppid(n int) []string {
	return append(append([]string{}, e.Getppid...), strconv.Itoa(e.size(n)))
}

// file returns the path of a file or directory of the workloads.
func (e *Env) file(name string) string { return filepath.Join(e.Dir, name) }

// sources returns a directory of Go's own sources. These files exist wherever bench can be built.
func (e *Env) sources(dir string) string { return filepath.Join(e.GoRoot, "src", dir) }

func (e *Env) repository() string { return e.file("repository") }

// repositorySource is the part of Go's sources that is put under version control and copied.
const repositorySource = "cmd/compile"

// makeRepository makes a git repository, unless it exists.
func (e *Env) makeRepository() error {
	if _, err := os.Stat(e.repository()); err == nil {
		return nil
	}
	if err := os.CopyFS(e.repository(), os.DirFS(e.sources(repositorySource))); err != nil {
		return err
	}
	git := func(args ...string) error {
		return tool(append([]string{"env", "GIT_CONFIG_GLOBAL=/dev/null", "git", "-C", e.repository(),
			"-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"}, args...)...)
	}
	return errors.Join(git("init", "-q"), git("add", "."), git("commit", "-q", "-m", "files"))
}

// makeModule makes a Go program and builds it once, so that the libraries are in the build cache.
func (e *Env) makeModule() error {
	if err := os.MkdirAll(e.file("module"), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(e.file("module/go.mod"), []byte("module program\n\ngo 1.21\n"), 0o666); err != nil {
		return err
	}
	if err := e.changeModule(); err != nil {
		return err
	}
	return tool(append(append([]string{"env"}, Environment...), "go", "-C", e.file("module"), "build", "-o", e.file("built"), ".")...)
}

// changeModule changes the Go program, so that the next build has to compile and link it.
func (e *Env) changeModule() error {
	e.modules++
	text := fmt.Sprintf("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"run\", %d, %d) }\n", os.Getpid(), e.modules)
	return os.WriteFile(e.file("module/main.go"), []byte(text), 0o666)
}

func glob(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

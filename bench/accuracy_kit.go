package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sysprof/bench/workload"
)

// accuracyKit has the files that targets use, the programs, and the other tracers.
type accuracyKit struct {
	k            *toolkit
	calls        int
	dir          string
	table, json  string // what a tracer writes, which each run overwrites
	env          *workload.Env
	sysprofs     []version
	strace, perf string // paths; empty: not installed
	programs     []program
	record       string   // directory that recordings are put into; empty: sysprofs and other tracers are run instead
	missing      []string // tracers and programs that are left out, and why
}

// newAccuracyKit makes the files and finds the tracers. The files are removed with those of the toolkit.
func newAccuracyKit(ctx context.Context, k *toolkit, calls int) (*accuracyKit, error) {
	kit := &accuracyKit{k: k, calls: calls, sysprofs: k.sysprofs,
		dir: filepath.Join(k.dir, "accuracy"), table: filepath.Join(k.dir, "table"), json: filepath.Join(k.dir, "json")}
	if err := kit.makeFiles(); err != nil {
		return nil, fmt.Errorf("make the files to work on: %w", err)
	}
	for name, path := range map[string]*string{straceC: &kit.strace, perfName: &kit.perf} {
		found, err := exec.LookPath(name)
		if err == nil && name == perfName {
			err = build(found, "trace", "-s", "-o", kit.table, "true") // perf trace needs root and tracefs
		}
		if err != nil {
			kit.missing = append(kit.missing, fmt.Sprintf("%s is left out: %s", name, firstLineOf(err.Error())))
			continue
		}
		*path = found
	}
	slices.Sort(kit.missing)
	return kit, kit.findPrograms(ctx)
}

func (kit *accuracyKit) sysprofNames() (names []string) {
	for _, s := range kit.sysprofs {
		names = append(names, s.name)
	}
	return names
}

// makeFiles makes a file "data" of 1 MB, a directory "many" with 1,000 small files, and a directory
// "tree" with 3,000 empty files at two levels.
func (kit *accuracyKit) makeFiles() error {
	many := filepath.Join(kit.dir, "many")
	if err := os.MkdirAll(many, 0o777); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(kit.dir, "data"), make([]byte, 1<<20), 0o666)
	for i := range 1000 {
		file := filepath.Join(many, fmt.Sprintf("file-%d", i))
		err = errors.Join(err, os.WriteFile(file, make([]byte, 1000), 0o666))
	}
	for i := range 300 {
		dir := filepath.Join(kit.dir, "tree", strconv.Itoa(i%10), strconv.Itoa(i))
		err = errors.Join(err, os.MkdirAll(dir, 0o777))
		for j := range 10 {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, strconv.Itoa(j)), nil, 0o666))
		}
	}
	return err
}

// spin keeps CPUs busy until the function returned is called.
func (kit *accuracyKit) spin(cpus []int) (end func(), err error) {
	var ends []func()
	end = func() {
		for _, f := range ends {
			f()
		}
	}
	for _, cpu := range cpus {
		load := exec.Command(kit.k.self, "helper-spin", strconv.Itoa(cpu))
		stdin, err := load.StdinPipe()
		if err == nil {
			err = load.Start()
		}
		if err != nil {
			end()
			return nil, fmt.Errorf("start a load: %w", err)
		}
		ends = append(ends, func() {
			stdin.Close()
			load.Wait()
		})
	}
	return end, nil
}

// spinHelper computes on one CPU until its input ends. It has the priority of bench, and so of what is
// measured: with a lower one it would leave the CPU to that.
func spinHelper(args []string, stdin io.Reader, _, stderr io.Writer) int {
	var mask unix.CPUSet
	cpu := -1
	if len(args) == 1 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			cpu = n
		}
	}
	mask.Set(cpu)
	if err := pinThreads(&mask); err != nil || cpu < 0 {
		fmt.Fprintf(stderr, "bench: spin: CPU %v: %v\n", args, err)
		return statusFailure
	}
	var end atomic.Bool
	go func() {
		io.Copy(io.Discard, stdin)
		end.Store(true)
	}()
	for !end.Load() {
	}
	return statusOK
}

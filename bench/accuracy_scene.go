package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// scene is the files that targets use, and the tracers.
type scene struct {
	k            *toolkit
	dir          string
	table        string // overwritten by each run
	strace, perf string // empty: not there
	missing      []string
}

// newScene makes the files. They are removed with the toolkit.
func newScene(k *toolkit) (*scene, error) {
	s := &scene{k: k, dir: filepath.Join(k.dir, "scene"), table: filepath.Join(k.dir, "table")}
	many := filepath.Join(s.dir, "many")
	if err := os.MkdirAll(many, 0o777); err != nil {
		return nil, fmt.Errorf("make the files to work on: %w", err)
	}
	err := os.WriteFile(filepath.Join(s.dir, "data"), make([]byte, 1<<20), 0o666)
	for i := range 1000 {
		file := filepath.Join(many, fmt.Sprintf("file-%d", i))
		err = errors.Join(err, os.WriteFile(file, make([]byte, 1000), 0o666))
	}
	if err != nil {
		return nil, fmt.Errorf("make the files to work on: %w", err)
	}
	for i := range 300 {
		dir := filepath.Join(s.dir, "tree", strconv.Itoa(i%10), strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, fmt.Errorf("make the files to work on: %w", err)
		}
		for j := range 10 {
			os.WriteFile(filepath.Join(dir, strconv.Itoa(j)), nil, 0o666)
		}
	}
	for name, path := range map[string]*string{"strace": &s.strace, "perf": &s.perf} {
		found, err := exec.LookPath(name)
		if err == nil && name == "perf" {
			err = build(found, "trace", "-s", "-o", s.table, "true") // needs root and tracefs
		}
		if err != nil {
			s.missing = append(s.missing, fmt.Sprintf("%s is left out: %s", name, firstOf(err.Error())))
			continue
		}
		*path = found
	}
	slices.Sort(s.missing)
	return s, nil
}

func firstOf(lines string) string {
	line, _, _ := strings.Cut(lines, "\n")
	return line
}

// spin keeps a CPU other than cpu busy until the function returned is called.
func (s *scene) spin(cpu int) (end func(), err error) {
	other := 0
	if cpu == 0 {
		other = 1
	}
	load := exec.Command(s.k.self, "helper-spin", strconv.Itoa(other))
	stdin, err := load.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := load.Start(); err != nil {
		return nil, fmt.Errorf("start a load: %w", err)
	}
	return func() {
		stdin.Close()
		load.Wait()
	}, nil
}

// spinHelper computes on one CPU, without priority over anything else there, until its input ends.
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
	unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	var end atomic.Bool
	go func() {
		io.Copy(io.Discard, stdin)
		end.Store(true)
	}()
	for !end.Load() {
	}
	return statusOK
}

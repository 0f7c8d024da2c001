package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sysprof/bench/workload"
)

// The helpers in C. They are compiled where there is a C compiler.
var (
	//go:embed c/floor.c
	floorSource string
	//go:embed c/getppid.c
	getppidSource string
	//go:embed c/target.c
	targetSource string
	//go:embed c/deep.c
	deepSource string
	//go:embed c/crowd.c
	crowdSource string
	//go:embed c/pauses.c
	pausesSource string
)

// toolkit is what bench has built to measure with. close removes it.
type toolkit struct {
	dir     string
	self    string   // the bench itself
	sysprof string   // the sysprof that is measured, the first of sysprofs
	getppid []string // the getppid loop, in Go where nothing compiles C

	sysprofs []version // those that the accuracy part compares

	// The programs of directory c. They are empty where nothing compiles C.
	floorC, target, deep, crowd, pauses string

	whyNoC string // why nothing compiles C; empty: C was compiled
}

// newToolkit builds sysprof, unless some are given, and the helpers.
func newToolkit(sysprofs []version) (*toolkit, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find myself: %w", err)
	}
	dir, err := os.MkdirTemp("", "sysprof-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to build in: %w", err)
	}
	k := &toolkit{dir: dir, self: self, sysprofs: sysprofs, getppid: []string{self, "helper-getppid"}}
	if len(sysprofs) == 0 {
		built := filepath.Join(dir, "sysprof")
		if err := build("go", "build", "-o", built, "sysprof/cmd/sysprof"); err != nil {
			k.close()
			return nil, err
		}
		k.sysprofs = []version{{sysprofC, built}}
	}
	k.sysprof = k.sysprofs[0].path
	if err := k.compileC(); err != nil {
		k.floorC, k.target, k.deep, k.crowd, k.pauses, k.whyNoC = "", "", "", "", "", err.Error()
	}
	return k, nil
}

func (k *toolkit) close() { os.RemoveAll(k.dir) }

// compileC compiles the helpers in C. A target in C has one thread. A target in Go has idle threads as
// well, and the kernel walks over all threads of a tracee at every wait4.
func (k *toolkit) compileC() error {
	k.floorC = filepath.Join(k.dir, "floor")
	getppid := filepath.Join(k.dir, "getppid")
	k.target = filepath.Join(k.dir, "target")
	k.deep = filepath.Join(k.dir, "deep")
	k.crowd = filepath.Join(k.dir, "crowd")
	k.pauses = filepath.Join(k.dir, "pauses")
	for output, source := range map[string]string{k.floorC: floorSource, getppid: getppidSource, k.target: targetSource,
		k.deep: deepSource, k.crowd: crowdSource, k.pauses: pausesSource} {
		file := output + ".c"
		if err := os.WriteFile(file, []byte(source), 0o666); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
		if err := build("cc", "-O2", "-fomit-frame-pointer", "-pthread", "-o", output, file); err != nil {
			return err
		}
	}
	k.getppid = []string{getppid}
	return nil
}

// workloads returns what the workloads of the matrix work with.
func (k *toolkit) workloads(scale float64) (*workload.Env, error) {
	// A server that does not run as root has to reach its files.
	if err := os.Chmod(k.dir, 0o755); err != nil {
		return nil, err
	}
	return workload.NewEnv(filepath.Join(k.dir, "workloads"), k.self, k.getppid, k.crowd, targetSource, scale)
}

// build runs a compiler. Its output is part of the error.
func build(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

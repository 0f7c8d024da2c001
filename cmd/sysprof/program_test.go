package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

// TestTheProgramIsMappedFirst also where no stack leads through it, and where the command is a script: then the program
// is what the kernel has in /proc/PID/exe.
func TestTheProgramIsMappedFirst(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		drive.Check(t, os.WriteFile(path, []byte(text), 0o755))
		return path
	}
	link := filepath.Join(dir, "link")
	drive.Check(t, os.Symlink("/bin/sh", link))
	const exe = "readlink /proc/$$/exe\n"
	inner := script("inner", "#!/bin/sh\n"+exe)
	for name, path := range map[string]string{
		"shell":              inner,
		"spaces":             script("spaces", "#! \t/bin/sh  -e\n"+exe),
		"script of a script": script("outer", "#!"+inner+"\n"),
		"link":               script("linked", "#!"+link+"\n"+exe),
		"env":                script("env", "#!/usr/bin/env sh\n"+exe),
	} {
		for _, stacks := range []string{"off", "full"} {
			t.Run(name+" "+stacks, func(t *testing.T) {
				out, err := exec.Command(path).Output()
				drive.Check(t, err)
				want := strings.TrimSpace(string(out))
				_, p, _ := drive.Profiled(t, []string{"--stacks=" + stacks}, path)
				if got := p.Mapping[0].File; got != want {
					t.Errorf("the first mapping is %s, want %s", got, want)
				}
			})
		}
	}
}

func TestProgramHasNoCgo(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "sysprof/ptrace") {
		t.Fatalf("no list of dependencies: %q", deps)
	}
	for _, not := range []string{"runtime/cgo", "net", "os/user"} {
		if slices.Contains(deps, not) {
			t.Errorf("sysprof depends on %s, which needs cgo (see package origin)", not)
		}
	}
}

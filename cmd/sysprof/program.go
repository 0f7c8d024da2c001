package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sysprof/ptrace"
)

// program is the file that is profiled, as mappings have it: of a script, that which runs it. Empty: not known.
func (o *options) program(command *ptrace.Command) string {
	if command == nil && len(o.attach) == 0 {
		return ""
	}
	if command == nil {
		program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", o.processes()[0]))
		return strings.TrimSuffix(program, " (deleted)") // proc_pid_exe(5)
	}
	return runningFile(command.Path)
}

// maxInterpreters is how many scripts may run each other (exec_binprm in fs/exec.c).
const maxInterpreters = 5

// runningFile is the ELF file that a process consists of when it has executed a file.
func runningFile(name string) string {
	for range maxInterpreters {
		path, err := filepath.Abs(name)
		if err != nil {
			return ""
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return ""
		}
		line, isScript := scriptLine(path)
		if !isScript {
			return path
		}
		interpreter, argument, _ := strings.Cut(line, " ")
		name = interpreter
		argument = strings.TrimSpace(argument)
		if filepath.Base(interpreter) == "env" && argument != "" && !strings.ContainsAny(argument, " \t-=") {
			if name, err = exec.LookPath(argument); err != nil {
				return ""
			}
		}
	}
	return ""
}

// scriptLine returns what stands behind the #! of a script. Neither a script nor an ELF file is one that something
// else runs, which is not known (binfmt_misc): its line is empty.
func scriptLine(path string) (line string, isScript bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false // it may be executed, and not read
	}
	defer f.Close()
	const most = 256 // BINPRM_BUF_SIZE
	head, _ := io.ReadAll(io.LimitReader(f, most))
	text, isScript := strings.CutPrefix(string(head), "#!")
	if !isScript {
		return "", !strings.HasPrefix(text, "\x7fELF")
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.ReplaceAll(strings.TrimSpace(text), "\t", " "), true
}

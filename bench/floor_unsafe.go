package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// traceFloor runs a command under a tracer that does nothing but wait and resume. No ptrace tracer in Go
// can cost less. It shares no code with package ptrace, since that package is compared with it. It is not
// a tracer for use: it does not support job control, for example. c/floor.c is the same in C.
func traceFloor(argv []string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := setNoCldStop(); err != nil {
		return 0, err
	}

	// The shell waits for a line until it is seized, and then executes the command.
	gateOut, gateIn, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make the gate: %w", err)
	}
	shell := exec.Command("/bin/sh", append([]string{"-c", `read go <&3; exec 3<&-; exec "$@"`, "sh"}, argv...)...)
	shell.Stdin, shell.Stdout, shell.Stderr = stdin, stdout, stderr
	shell.ExtraFiles = []*os.File{gateOut}
	if err := shell.Start(); err != nil {
		return 0, fmt.Errorf("start the command: %w", err)
	}
	gateOut.Close()
	command := shell.Process.Pid
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	if errno := floorRequest(unix.PTRACE_SEIZE, command, options); errno != 0 {
		shell.Process.Kill()
		return 0, fmt.Errorf("seize %d: %w", command, errno)
	}
	gateIn.WriteString("\n") // its execve is the first stop
	gateIn.Close()
	return floorLoop(command), nil
}

// floorLoop waits and resumes until no tracee is left, and returns the command's exit status. It waits by
// a raw system call, without telling the Go scheduler. What the scheduler does around a blocking call is
// a cost of Go, not of ptrace. Only a program with no other goroutines to run can do that.
func floorLoop(command int) (result int) {
	var status unix.WaitStatus
	for {
		pid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)),
			unix.WALL|unix.WNOTHREAD, 0, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		default:
			return result
		}
		if !status.Stopped() {
			if int(pid) == command {
				if result = status.ExitStatus(); status.Signaled() {
					result = 128 + int(status.Signal())
				}
			}
			continue
		}
		const syscallStop = unix.SIGTRAP | 0x80
		sig := status.StopSignal()
		if sig == syscallStop || status>>16 != 0 {
			sig = 0
		}
		floorRequest(unix.PTRACE_SYSCALL, int(pid), uintptr(sig))
	}
}

// floorRequest makes a ptrace request whose address argument is 0.
func floorRequest(request, tid int, data uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0)
	return errno
}

// setNoCldStop sets SA_NOCLDSTOP on the Go runtime's handler for SIGCHLD, as package ptrace does. Without
// that flag the handler runs at every stop, which is a third of the cost of the stop.
func setNoCldStop() error {
	var action [4]uint64 // the kernel's struct sigaction, which begins with the handler and the flags
	const flags, noCldStop, setSize = 1, 1, 8
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD),
		0, uintptr(unsafe.Pointer(&action)), setSize, 0, 0)
	if errno == 0 {
		action[flags] |= noCldStop
		_, _, errno = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD),
			uintptr(unsafe.Pointer(&action)), 0, setSize, 0, 0)
	}
	if errno != 0 {
		return fmt.Errorf("set SA_NOCLDSTOP: %w", errno)
	}
	return nil
}

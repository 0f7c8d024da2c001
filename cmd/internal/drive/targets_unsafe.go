package drive

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The target says its process id, and then whatever it is told; "end" ends it.
var _ = Target("echo", func(args []string) {
	fmt.Println(os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && lines.Text() != "end"; {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		fmt.Println(lines.Text())
	}
})

// Counted is how often each signal came.
type Counted map[string]int

// The target counts signals, and says each. At the one that is its first argument, it prints the
// counts and exits with its second argument.
var _ = Target("signals", func(args []string) {
	got := make(chan os.Signal, 100)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	fmt.Println(os.Getpid())
	counts := Counted{}
	for sig := range got {
		name := unix.SignalName(sig.(syscall.Signal))
		if counts[name]++; name == args[0] {
			break
		}
		fmt.Println(name)
	}
	data, err := json.Marshal(counts)
	Must(err)
	fmt.Println(string(data))
	code, err := strconv.Atoi(args[1])
	Must(err)
	os.Exit(code)
})

// The target is bound by its calls.
var _ = Target("calls", func(args []string) {
	runtime.LockOSThread()
	for fmt.Println("ready"); ; {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
})

// Command compat is a target of package ptrace's tests that is built for 32-bit x86. It prints the
// ledger of its calls.
package main

import (
	"encoding/json"
	"os"
	"syscall"
)

func main() {
	calls, errors := map[uint64]int{}, map[uint64]int{}
	call := func(n int, nr, arg uintptr) {
		for range n {
			_, _, errno := syscall.RawSyscall(nr, arg, 0, 0)
			calls[uint64(nr)]++
			if errno != 0 {
				errors[uint64(nr)]++
			}
		}
	}
	call(200, 64, 0)      // getppid
	call(9, 60, 0o22)     // umask
	call(4, 132, 1<<31-1) // getpgid, ESRCH
	call(3, 7777, 0)      // nothing
	data, _ := json.Marshal(map[string]any{"Calls": calls, "Errors": errors})
	if err := os.WriteFile(os.Getenv("SYSPROF_TEST_LEDGER"), data, 0o666); err != nil {
		panic(err)
	}
}

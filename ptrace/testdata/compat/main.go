// Command compat is a target of package ptrace's tests that is built for 32-bit x86. It prints the
// ledger of its calls. With the argument recvfrom it sleeps in that call until it is told to end.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "recvfrom" {
		recvfrom()
		return
	}
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

// recvfrom goes through socketcall(2), as all sockets of Go's on this architecture.
func recvfrom() {
	sockets, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	returned := make(chan bool)
	go func() {
		n, _, err := syscall.Recvfrom(sockets[0], make([]byte, 1), 0)
		fmt.Println("recvfrom has returned", n, err)
		close(returned)
	}()
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	syscall.Write(sockets[1], []byte{1})
	<-returned
}

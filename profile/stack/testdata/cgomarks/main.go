// Crossings between Go and C. mark is as in gomarks; cmark is its counterpart in C
// and prints what it knows: the address that it returns to.
package main

/*
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void goCallback(int id);

__attribute__((noinline)) static void cmark(int id) {
	printf("%d C %p\n", id, __builtin_return_address(0));
	fflush(stdout);
	syscall(SYS_getpgid, 0x51500000 + id);
	__asm__ volatile("");
}

__attribute__((noinline)) static int crecurse(int n, int id, int back) {
	volatile char pad[100];
	pad[n] = 1;
	if (n > 0)
		return crecurse(n - 1, id, back) + pad[n];
	if (back)
		goCallback(id);
	else
		cmark(id);
	return pad[0];
}

static void *thread(void *arg) {
	crecurse(4, *(int *)arg, 1);
	return 0;
}

static void on_thread(int id) {
	pthread_t t;
	pthread_create(&t, 0, thread, &id);
	pthread_join(t, 0);
}
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

const magic = 0x51500000

//go:noinline
func mark(id int) {
	pcs := make([]uintptr, 400)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d", id)
	for {
		f, more := frames.Next()
		fmt.Fprintf(&out, " %s:%d", f.Function, f.Line)
		if !more {
			break
		}
	}
	out.WriteByte('\n')
	os.Stdout.Write(out.Bytes())
	syscall.RawSyscall(syscall.SYS_GETPGID, uintptr(magic+id), 0, 0)
}

//export goCallback
func goCallback(id C.int) { goRecurse(3, int(id)) }

//go:noinline
func goRecurse(n, id int) int {
	if n > 0 {
		return goRecurse(n-1, id) + 1
	}
	switch id {
	case 3: // Go → C → Go → C → Go
		C.crecurse(2, 4, 1)
	case 5: // Go → C → Go → C
		C.crecurse(2, 6, 0)
	default:
		mark(id)
	}
	return 0
}

func main() {
	C.crecurse(5, 1, 0)
	C.crecurse(5, 2, 1)
	C.crecurse(5, 3, 1)
	C.crecurse(5, 5, 1)
	C.on_thread(7)
	done := make(chan bool)
	go func() {
		C.crecurse(5, 8, 0)
		C.crecurse(5, 9, 1)
		close(done)
	}()
	<-done
}

// A Go program that knows its own stacks: mark prints what runtime.Callers says and makes
// a system call with the same number, at which the test unwinds from outside.
package main

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sort"
	"sync"
	"syscall"
)

const magic = 0x51500000

var lock sync.Mutex

//go:noinline
func mark(id int) {
	lock.Lock()
	defer lock.Unlock()
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

//go:noinline
func recurse(n, id int) int {
	var pad [100]byte
	pad[n%100] = 1
	if n == 0 {
		mark(id)
		return 0
	}
	return recurse(n-1, id) + int(pad[5])
}

// wide needs so much stack that growing it takes memory from the kernel.
//
//go:noinline
func wide(n int) byte {
	var pad [64 << 10]byte
	pad[n] = 1
	if n == 0 {
		return 0
	}
	return wide(n-1) + pad[n/2]
}

type thing struct{ n int }

func (t thing) small(id int)    { inlined(id + t.n) }
func (t *thing) pointer(id int) { mark(id) }
func inlined(id int)            { inlinedToo(id) }
func inlinedToo(id int)         { mark(id) }

type marker interface{ small(id int) }

func generic[T any](v T, id int) T {
	func() { mark(id) }()
	return v
}

//go:noinline
func panics(id int, p *int) (n int) {
	defer func() {
		recover()
		mark(id)
	}()
	return *p // a signal, turned into a panic
}

type byValue []int

func (b byValue) Len() int { return len(b) }
func (b byValue) Less(i, j int) bool {
	if b[i] == 4 && b[j] == 1 || b[i] == 1 && b[j] == 4 {
		once.Do(func() { mark(6) })
	}
	return b[i] < b[j]
}
func (b byValue) Swap(i, j int) { b[i], b[j] = b[j], b[i] }

var once sync.Once

func main() {
	mark(1)
	recurse(50, 2)
	var m marker = &thing{3}
	m.small(0) // 3, through a wrapper
	done := make(chan bool)
	go func() {
		defer close(done)
		recurse(10, 4)
	}()
	<-done
	generic("x", 5)
	sort.Sort(byValue{3, 4, 1, 2})
	panics(7, nil)
	reflect.ValueOf(&thing{}).MethodByName("Pointer")
	reflect.ValueOf(recurse).Call([]reflect.Value{reflect.ValueOf(3), reflect.ValueOf(8)})
	func() {
		defer mark(9)
	}()
	go recurse(5000, 10) // grows its stack; gets signals meanwhile
	for range 3 {
		runtime.GC()
	}
	lock.Lock()
	lock.Unlock()
	(&thing{}).pointer(11)
	recurse(300, 12)
	wide(600)
}

// Command goprog prints its stack as the runtime sees it at a few places, a line each: for every frame the offset of
// its address in the program's file, and function, file and line.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

//go:noinline
func report() {
	var pcs [32]uintptr
	n := runtime.Callers(2, pcs[:])
	var out []string
	for _, pc := range pcs[:n] {
		// The frames of a function inlined in another have an address each.
		f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		out = append(out, fmt.Sprintf("%x|%s|%s|%d", offset(pc-1), f.Function, f.File, f.Line))
	}
	fmt.Println(strings.Join(out, "\t"))
}

// offset finds an address in /proc/self/maps.
func offset(pc uintptr) uintptr {
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	for _, l := range strings.Split(string(data), "\n") {
		var lo, hi, off uintptr
		var perm string
		if n, _ := fmt.Sscanf(l, "%x-%x %s %x", &lo, &hi, &perm, &off); n == 4 && pc >= lo && pc < hi {
			return pc - lo + off
		}
	}
	panic("not mapped")
}

func inlinedOnce() { report() }

func inlinedTwice() { inlinedOnce() }

type walker struct{ depth int }

//go:noinline
func (w *walker) walk(f func()) {
	if w.depth--; w.depth > 0 {
		w.walk(f)
		return
	}
	f()
}

func main() {
	w := &walker{depth: 3}
	w.walk(func() { inlinedTwice() })
	w.walk(inlinedOnce)
	inlinedTwice()
}

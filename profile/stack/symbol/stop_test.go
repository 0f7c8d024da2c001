package symbol

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// TestNamesStopWithTheirContext: neither a file that does not answer nor a perf map keeps anybody.
func TestNamesStopWithTheirContext(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	open := func() (File, error) {
		<-never
		return nil, os.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(Options{}).Resolve(ctx, []Address{{Object: NewObject(Source{Path: "x", Open: open})}})
		New(Options{}).PerfMap(ctx, open, []uint64{1})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("they go on")
	}
}

// TestWorkStopsWithItsContext also where nothing is read any more.
func TestWorkStopsWithItsContext(t *testing.T) {
	stop := make(chan struct{})
	b := budget{work: 1 << 40, stop: stop}
	if !b.spend(1) || !b.goOn() {
		t.Fatal("it stops at once")
	}
	close(stop)
	left := 2 * spendsPerLook
	for ; b.spend(1); left-- {
		if left == 0 {
			t.Fatal("it goes on")
		}
	}
	if b.goOn() {
		t.Error("decompressing goes on")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (stoppable{Bytes([]byte("x")), ctx}).ReadAt(make([]byte, 1), 0); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading goes on: %v", err)
	}
}

// TestAProgramsNamesAreNotThisMachines: what a file of a program names is asked for in the program's files only.
func TestAProgramsNamesAreNotThisMachines(t *testing.T) {
	prog := buildC(t, "gcc", "-g")
	asked := false
	src := fileSource(prog)
	src.OpenPath = func(string) (File, error) { asked = true; return nil, os.ErrNotExist }
	r := &reader{s: New(Options{}), o: NewObject(src), ctx: context.Background(), b: &budget{work: 1 << 30, mem: 1 << 30}}
	if e := r.openDebug(prog, false, func(*elfFile) bool { return true }); e != nil || !asked {
		t.Error("a name was looked for on this machine")
	}
}

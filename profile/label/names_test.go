package label

import (
	"fmt"
	"testing"
	"time"
)

// TestTooManyNames: a program that opens a file after the other gets no more names at some point.
func TestTooManyNames(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n := newNames()
		known := n.number("known")
		for i := range maxNames + 100 {
			n.number(fmt.Sprint(i))
		}
		equal(t, "one too many", n.of(n.number("too many")), "[other]")
		equal(t, "another", n.number("more"), n.number("too many"))
		equal(t, "a known one", n.number("known"), known)
		if len(n.ordered) > maxNames+1 {
			t.Errorf("%d names are kept", len(n.ordered))
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

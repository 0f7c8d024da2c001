package label

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
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

// TestOddNames: names become UTF-8, and not too long for Pyroscope, with the end that tells one file from another.
func TestOddNames(t *testing.T) {
	n := newNames()
	equal(t, "not UTF-8", n.of(n.number("a\xffb")), "a\ufffdb")
	for _, long := range []string{strings.Repeat("/folder", 600) + "/file", strings.Repeat("ü", 2_000) + "/file", strings.Repeat("\xffx", 2_000) + "/file"} {
		got := n.of(n.number(long))
		if len(got) > 2048 || len(got) < 2000 || !utf8.ValidString(got) || !strings.HasPrefix(got, "[…]") || !strings.HasSuffix(got, "/file") {
			t.Errorf("%d bytes: %.20q … %.20q", len(got), got, got[len(got)-20:])
		}
	}
	exact := strings.Repeat("x", 2048)
	equal(t, "just as long as may be", n.of(n.number(exact)), exact)
}

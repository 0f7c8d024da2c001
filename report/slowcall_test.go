package report

import (
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

func TestSlowCalls(t *testing.T) {
	key := func(name string) profile.Key {
		nr, ok := syscalltab.AMD64.Number(name)
		if !ok {
			t.Fatal(name)
		}
		return profile.Key{ABI: syscalltab.AMD64, Nr: nr}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	var out strings.Builder
	for _, c := range []SlowCall{
		{Key: key("fsync"), PID: 812, TID: 812, Process: "redis-server", Args: [6]uint64{7, 8, 9}, Descriptor: "/data/a.aof", Ns: 25_300_000},
		{Key: key("read"), PID: 812, TID: 815, Process: "redis-server", Thread: "bio_aof", Args: [6]uint64{0xffffffff00000003, 0x7ffc12345678, 65536}, Descriptor: "pipe",
			Ns: 1_000_000_000, Ret: -4, Errno: 4},
		{Key: key("openat"), PID: 1, TID: 1, Process: "\x1b[2J", Args: [6]uint64{0xffffffffffffff9c, 1, 524288}, Paths: [6]string{1: "/" + strings.Repeat("d/", 200) + "\xff\n\x1b[31m"}, PathsKnown: 2,
			Ns: 77, Ret: 3},
		{Key: key("renameat2"), PID: 1, TID: 1, Args: [6]uint64{0xffffff9c, 1, 4, 2}, Paths: [6]string{1: "", 3: "b"}, PathsKnown: 10, Ns: 5_000, Errno: 2},
		{Key: key("futex"), PID: 1, TID: 2, Process: "a", Thread: "a", Under: true, Ns: 2_000_000_000, Stack: []string{"main.f f.go:7", "main.\x1bg"}},
		{Key: key("restart_syscall"), PID: 1, TID: 1, Process: "sleep", Resumes: "nanosleep", AtLeast: true, Under: true, Ns: 3_000_000},
		{Key: key("fsync"), PID: 1, TID: 1, Process: "db", Args: [6]uint64{3}, Ns: 98_600, RawNs: 14_700_000},
		{Key: key("wait4"), PID: 1, TID: 1, Process: "sh", Why: profile.Killed, Args: [6]uint64{0xffffffff}, Ns: 3_000_000},
		{Key: profile.Key{ABI: syscalltab.I386, Nr: 3}, PID: 1, TID: 1, Process: "old", Ns: 9_000, Ret: 5},
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 5_000}, PID: 1, TID: 1, Process: "new", Ns: 9_000, Ret: 1 << 40},
	} {
		c.At = at
		out.WriteString(c.Line())
	}
	out.WriteString(MoreSlowCalls(at, 1_234, time.Second))
	out.WriteString(MoreSlowCalls(at, 1, 61*time.Second))
	golden(t, "slow calls", out.String())
}

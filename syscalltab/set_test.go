package syscalltab

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var x86 = []ABI{AMD64, I386, X32}

// members are the known calls of a set: "read" in the first ABI, "read@32" in others.
func members(s *Set, abis []ABI) string {
	var m []string
	for i, a := range abis {
		for nr, name := range a.Each() {
			if !s.Has(a, nr) {
				continue
			}
			if i > 0 {
				name += "@" + a.Designator()
			}
			m = append(m, name)
		}
	}
	return strings.Join(m, " ")
}

func TestParseSet(t *testing.T) {
	tests := []struct {
		expr string
		abis []ABI
		want string
		rest bool // unknown numbers are members
	}{
		{"read", x86, "read read@32 read@x32", false},
		{"read,write", []ABI{AMD64}, "read write", false},
		{"read,,write,", []ABI{AMD64}, "read write", false},
		{"read@32", x86, "read@32", false},
		{"read@64,write@x32", x86, "read write@x32", false},
		{"waitpid", x86, "waitpid@32", false},
		{"open", []ABI{ARM64, ARM}, "open@32", false},
		{"ioctl", []ABI{X32}, "ioctl", false},
		{"none", x86, "", false},
		{"!all", x86, "", false},
		{"!!none", x86, "", false},
		{"?nosuch", x86, "", false},
		{"??nosuch,read@64", x86, "read", false},
		{"?", x86, "", false},
		{"?read@32", x86, "read@32", false},
		{"39", []ABI{AMD64}, "getpid", false},
		{"59", x86, "execve oldolduname@32 execve#64@x32", false},
		{"1073742344", x86, "execve@x32", false},
		{"?400@64", x86, "", false},
		{"983042", []ABI{ARM64, ARM}, "cacheflush@32", false},
		{"/^get.?pid$", []ABI{AMD64}, "getpid getppid", false},
		{"/pwritev2", x86, "pwritev2 pwritev2@32 pwritev2#64@x32 pwritev2@x32", false},
		{"/^timer_c@32", x86, "timer_create@32", false},
		{"/^(exit|fork)$,brk", []ABI{AMD64}, "brk fork exit", false},
		{"%lstat", x86, "lstat oldlstat@32 lstat@32 lstat64@32 lstat@x32", false},
		{"%stat", []ABI{RISCV64}, "", false}, // a class without members is no error
		{"%%statfs@64", x86, "ustat statfs fstatfs", false},
		{"ipc", []ABI{I386}, "ipc semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl semtimedop_time64 " +
			"semop semget semctl semtimedop msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl", false},
		{"semop", x86, "semop semop@32 semop@x32", false},
		{"socket@32", x86, "socket@32 socket@32", false}, // the call and the subcall
		{"socketcall", x86, "socketcall@32", false},
		{"/^(send|recv)$", x86, "send@32 recv@32", false},
		{"?501@32", x86, "", false}, // where the table has socket
		{"359,102", []ABI{I386}, "socketcall socket", false},
		{"stat@64", x86, "stat", false}, // a call; the class needs its %
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			s, err := ParseSet(tt.expr, tt.abis...)
			if err != nil {
				t.Fatal(err)
			}
			if got := members(s, tt.abis); got != tt.want {
				t.Errorf("members: %s\nwant     %s", got, tt.want)
			}
			if got := s.Has(tt.abis[0], 5000); got != tt.rest {
				t.Errorf("Has(unknown number) = %v", got)
			}
		})
	}
}

func TestParseSetNegated(t *testing.T) {
	for _, tt := range []struct{ expr, out string }{
		{"!read", "read read@32 read@x32"},
		{"!!!read", "read read@32 read@x32"},
		{"!%lstat,read@64", "read lstat oldlstat@32 lstat@32 lstat64@32 lstat@x32"},
		{"!socketcall,semop", "semop socketcall@32 semop@32 semop@x32"},
		{"!none", ""},
		{"all", ""},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			s, err := ParseSet(tt.expr, x86...)
			if err != nil {
				t.Fatal(err)
			}
			c := *s
			c.not = !c.not
			if got := members(&c, x86); got != tt.out {
				t.Errorf("not members: %s\nwant         %s", got, tt.out)
			}
			for _, nr := range []uint64{400, 5000, math.MaxUint64} {
				if !s.Has(AMD64, nr) {
					t.Errorf("Has(%#x) = false", nr)
				}
			}
			if got := s.All(); got != (tt.out == "") {
				t.Errorf("All() = %v", got)
			}
		})
	}
}

// "all" as an item has the known calls only; strace makes the same difference.
func TestParseSetAllAsItem(t *testing.T) {
	s, err := ParseSet("all,read", AMD64)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Has(AMD64, 39) || s.Has(AMD64, 400) || s.All() {
		t.Errorf("getpid %v, 400 %v, All %v", s.Has(AMD64, 39), s.Has(AMD64, 400), s.All())
	}
}

func TestParseSetNative(t *testing.T) {
	s, err := ParseSet("read")
	if err != nil {
		t.Fatal(err)
	}
	nr, _ := Native()[0].Number("read")
	if !s.Has(Native()[0], nr) || s.Has(Native()[0], nr+1) {
		t.Error("read is not what was chosen")
	}
}

func TestSetZero(t *testing.T) {
	var s Set
	if s.Has(AMD64, 0) || s.Has(Unknown, 0) || s.Has(ABI(200), math.MaxUint64) || s.All() {
		t.Error("the zero Set has members")
	}
}

func TestParseSetErrors(t *testing.T) {
	tests := []struct {
		expr string
		abis []ABI
		want string
	}{
		{"opne", x86, `unknown system call "opne" (did you mean open?)`},
		{"read,wirte", x86, `unknown system call "wirte" (did you mean write?)`},
		{"!raed", x86, `unknown system call "raed" (did you mean read?)`},
		{"procces", x86, `unknown system call "procces" (did you mean process?)`},
		{"getpidd@32", x86, `unknown system call "getpidd" (did you mean getpid?)`},
		{"xyzzy", x86, `unknown system call "xyzzy"`},
		{"READ", x86, `unknown system call "READ"`},
		{"open", []ABI{ARM64}, `no system call "open" on arm64`},
		{"set_tls", x86, `no system call "set_tls" on amd64, 386 or x32`},
		{"waitpid@64", x86, `no system call "waitpid" on amd64`},
		{"%fil", x86, `unknown class of system calls "%fil" (did you mean %file?)`},
		{"%", x86, `unknown class of system calls "%"`},
		{"400@64", x86, `unknown system call number "400"`},
		{"4294993409@32", x86, `unknown system call number "4294993409"`}, // a subcall's
		{"0x10", x86, `unknown system call number "0x10"`},
		{"99999999999999999999", x86, `unknown system call number "99999999999999999999"`},
		{"/^nosuch", x86, `no system call's name matches "^nosuch"`},
		{"/a(", x86, `bad pattern "a(": missing closing )`},
		{"read@33", x86, `unknown ABI "@33" in "read@33" (known here: @64, @32, @x32)`},
		{"?read@x32", []ABI{ARM64, ARM}, `unknown ABI "@x32" in "?read@x32" (known here: @64, @32)`},
		{"read,none", x86, `unknown system call "none"`},
		{"read,!write", x86, `"!write": ! can stand only before the whole list`},
		{"", x86, `no system call in ""`},
		{"!,", x86, `no system call in "!,"`},
		{"@32", x86, `empty system call name`},
		{"read", []ABI{Unknown}, `no system call table for ABI unknown`},
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			s, err := ParseSet(tt.expr, tt.abis...)
			if err == nil {
				t.Fatalf("no error; members: %s", members(s, tt.abis))
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("error %s\nwant  %s", got, tt.want)
			}
		})
	}
}

// FuzzParseSet: whatever is parsed, ! gives exactly the rest; whatever is refused, in one line.
func FuzzParseSet(f *testing.F) {
	for _, seed := range []string{
		"read", "!read,write", "%file@32", "%%stat", "/^get", "/[", "/(?i)READ|\n(", "?nosuch", "59", "4294967296",
		"all,none", "!", "@", "a@b@64", "@x32", ",,,", "?,!", "ioctl#64", "\xff\n", "none", "!all",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		s, err := ParseSet(expr, abis...)
		n, nerr := ParseSet("!"+expr, abis...)
		if (err == nil) != (nerr == nil) {
			t.Fatalf("%q: %v, but with !: %v", expr, err, nerr)
		}
		if err != nil {
			if msg := err.Error(); strings.ContainsAny(msg, "\n\r") || msg == "" {
				t.Fatalf("%q: error %q", expr, msg)
			}
			return
		}
		for _, a := range append(slices.Clone(abis), Unknown) {
			for nr := range a.Each() {
				if s.Has(a, nr) == n.Has(a, nr) {
					t.Fatalf("%q: %v %d: both in the set and in its negation, or in neither", expr, a, nr)
				}
			}
			if s.Has(a, math.MaxUint64) == n.Has(a, math.MaxUint64) {
				t.Fatalf("%q: %v: unknown numbers", expr, a)
			}
		}
		if s.All() && n.All() {
			t.Fatalf("%q: all calls in both", expr)
		}
	})
}

func ExampleParseSet() {
	set, err := ParseSet("!%file,read", AMD64)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"open", "read", "write"} {
		nr, _ := AMD64.Number(name)
		fmt.Println(name, set.Has(AMD64, nr))
	}
	// Output:
	// open false
	// read false
	// write true
}

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

func TestBadUsage(t *testing.T) {
	for _, test := range []struct {
		args string // separated by blanks; "''" is an empty one
		says string // what the one line has to contain
	}{
		{"", "nothing to trace"},
		{"-c", "nothing to trace"},
		{"--", "nothing to trace"},
		{"-f -o /dev/null", "nothing to trace"},
		{"-p", "-p"},
		{"-p ''", "-p"},
		{"-p ,", "-p"},
		{"-p 0", `"0"`},
		{"-p -1", `"-1"`},
		{"-p 1x", `"1x"`},
		{"-p 99999999999", "99999999999"},
		{"--attach=x", `"x"`},
		{"--attach", "--attach"},
		{"--no-such-option true", "--no-such-option"},
		{"-? true", "-?"},
		{"-c? true", "-?"},
		{"--follow-forks=yes true", "--follow-forks"},
		{"-S bogus true", `"bogus"`},
		{"--summary-sort-by= true", "--summary-sort-by"},
		{"-S", "-S"},
		{"-U bogus true", `"bogus"`},
		{"-U '' true", "-U"},
		{"-U calls,name true", "-c"},
		{"-A true", "-o"},
		{"-A -o |cat true", "-A"},
		{"-E", "-E"},
		{"-E '' true", "-E"},
		{"-E =x true", "-E"},
		{"-E X=1 -p 1", "-E"},
		{"-u nobody -p 1", "-u"},
		{"--argv0=x -p 1", "--argv0"},
		{"--kill-on-exit -p 1", "--kill-on-exit"},
		{"--kill-on-exit -p 1 true", "--kill-on-exit"},
		{"--duration=0 true", "--duration"},
		{"--duration=-1s true", "--duration"},
		{"--duration=soon true", `"soon"`},
		{"--duration true", `"true"`},
		{"-e", "-e"},
		{"-e '' true", "-e"},
		{"-e trace=nosuchcall true", `"nosuchcall"`},
		{"-e nosuchcall true", `"nosuchcall"`},
		{"-e trace=%nosuch true", "nosuch"},
		{"-e trace=/[ true", "["},
		{"--trace=read,nosuch true", `"nosuch"`},
		{"-e status=bogus true", `"bogus"`},
		{"--status= true", "--status"},
		{"-e bogus=1 true", `"bogus"`},
		{"-O -1 true", `"-1"`},
		{"-O nan true", `"nan"`},
		{"-O 1h true", `"1h"`},
		{"-O 10% true", `"10%"`},
		{"-O us true", `"us"`},
		{"-O 1e10s true", `"1e10s"`},
		{"-O '' true", `""`},
		{"--raw -O 5 true", "--raw"},
	} {
		t.Run(test.args, func(t *testing.T) {
			o := badUsage(t, words(test.args))
			if !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stderr does not name %s: %q", test.says, o.Stderr)
			}
		})
	}
}

// words splits at blanks.
func words(line string) []string {
	list := strings.Fields(line)
	for i := range list {
		if list[i] == "''" {
			list[i] = ""
		}
	}
	return list
}

// badUsage demands status 2 and one line on stderr.
func badUsage(t *testing.T, args []string) drive.Outcome {
	t.Helper()
	o := drive.Run(t, drive.Plain(t, args...))
	o.Exited(t, 2)
	if o.Stdout != "" || strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") {
		t.Errorf("want one line of sysprof's on stderr; stdout %q, stderr %q", o.Stdout, o.Stderr)
	}
	return o
}

// strace's options that sysprof does not have are refused by name, whatever their argument.
func TestRefusedOptions(t *testing.T) {
	options := strings.Fields(`--columns=40 -b execve --detach-on=execve -d --debug -D -DD --daemonize
		--daemonize=pgroup -F --output-separately --instruction-pointer -I3 --interruptible=never -k --stack-trace
		--stack-trace=symbol --stack-trace-frame-limit=3 --syscall-limit=10 -n --syscall-number -N --arg-names
		-r --relative-timestamps --relative-timestamps=s -s100
		--string-limit=100 -t -tt --absolute-timestamps --absolute-timestamps=ms --timestamps -T --syscall-times
		--syscall-times=ns --no-abbrev -x -xx --strings-in-hex --strings-in-hex=all -X raw --const-print-style=raw -y -yy
		--decode-fds --decode-fds=all -Y --decode-pids=comm --pidns-translation --tips --always-show-pid
		--color=always --trace-fds=1 --abbrev=all  --signal=none --signals=none --read=0 --write=1
		--fault=open --inject=open:error=EIO --kvm=vcpu --namespace=new --secontext=full`)
	for _, option := range options {
		if !strings.HasPrefix(option, "-") {
			continue // an argument of the option before it
		}
		t.Run(option, func(t *testing.T) {
			name, _, _ := strings.Cut(option, "=")
			if !strings.HasPrefix(name, "--") {
				name = name[:2]
			}
			o := badUsage(t, []string{option, "true"})
			if !strings.Contains(o.Stderr, name+" is strace's") {
				t.Errorf("the option is not refused by name: %q", o.Stderr)
			}
		})
	}
	for _, qualifier := range strings.Fields("abbrev=all a=all verbose=none v=none raw=all x=all signal=none signals=none s=none read=3 reads=3 r=3 write=3 writes=3 w=3 fault=open inject=open:retval=1 kvm=vcpu decode-fds=all decode-pids=comm trace-fds=1 fd=1 fds=1 secontext=full namespace=new") {
		t.Run("-e "+qualifier, func(t *testing.T) {
			name, _, _ := strings.Cut(qualifier, "=")
			o := badUsage(t, []string{"-e", qualifier, "true"})
			if !strings.Contains(o.Stderr, name+"= is strace's") {
				t.Errorf("the qualifier is not refused by name: %q", o.Stderr)
			}
		})
	}
}

// What follows the command's name belongs to the command.
func TestOptionsOfTheCommand(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"its options", []string{"echo", "-c", "-p", "1", "--help"}, "-c -p 1 --help\n"},
		{"with --", []string{"--", "echo", "-V"}, "-V\n"},
		{"options before --", []string{"-c", "-f", "--", "echo", "--", "x"}, "-- x\n"},
		{"a cluster", []string{"-cfw", "echo", "-Z"}, "-Z\n"},
		{"a cluster that ends with an argument", []string{"-cfwSname", "echo", "x"}, "x\n"},
		{"a cluster whose argument follows", []string{"-cfwS", "calls", "echo", "x"}, "x\n"},
		{"long names of strace's", []string{"--summary-only", "--summary-wall-clock", "--summary-sort-by=calls", "--summary-columns=calls,name", "--follow-forks", "echo", "x"}, "x\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.Plain(t, test.args...))
			o.Exited(t, 0)
			if o.Stdout != test.want {
				t.Errorf("the command says %q, want %q", o.Stdout, test.want)
			}
		})
	}
}

// -p takes lists, may be repeated, and goes with a command.
func TestAttachForms(t *testing.T) {
	a := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	a.Line()
	b := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	b.Line()
	pidA, pidB := strconv.Itoa(a.Pid()), strconv.Itoa(b.Pid())
	for _, test := range []struct {
		name string
		args []string
	}{
		{"repeated", []string{"-p", pidA, "-p", pidB}},
		{"with a comma", []string{"-p", pidA + "," + pidB}},
		{"with a blank", []string{"-p", pidA + " " + pidB}},
		{"as pidof and pgrep print them", []string{"-p", pidA + "\n" + pidB + "\n"}},
		{"a cluster", []string{"-cfp", pidA, "-cwp" + pidB}},
		{"long", []string{"--attach=" + pidA, "--attach", pidB}},
		{"twice the same", []string{"-p", pidA + "," + pidB + "," + pidA}},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := filepath.Join(t.TempDir(), "table")
			s := drive.Start(t, drive.Sysprof(t, append(test.args, "-o", table)...))
			drive.Eventually(t, "both are traced", func() bool { return drive.Settled(s.Pid(), []int{a.Pid(), b.Pid()}) })
			a.Alive()
			b.Alive()
			s.Signal(2)
			drive.Died(t, s.End(), 2)
			drive.HasTable(t, drive.Read(table), 1)
			if calls, _, _ := drive.Row(drive.Read(table), "getppid"); calls != 2 {
				t.Errorf("counted %d getppid, want 2\n%s", calls, drive.Read(table))
			}
			if strings.Contains(drive.Read(table), "attach ") {
				t.Errorf("a warning: %s", drive.Read(table))
			}
		})
	}
	t.Run("with a command", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, "-p", pidA, drive.Self()), "echo"))
		s.Line()
		drive.Eventually(t, "the process is traced", func() bool { return drive.Settled(s.Pid(), []int{a.Pid()}) })
		a.Alive()
		s.Alive()
		a.Alive()
		s.Say("end")
		// The attached process is still there, so sysprof is, too.
		drive.Eventually(t, "the command has been waited for", func() bool {
			lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.Pid()))
			return len(lists) > 0 && !slices.ContainsFunc(lists, func(list string) bool {
				text, _ := os.ReadFile(list)
				return slices.ContainsFunc(strings.Fields(string(text)), func(pid string) bool {
					comm, _ := os.ReadFile("/proc/" + pid + "/comm")
					return string(comm) != "sysp-guard\n"
				})
			})
		})
		a.Alive()
		s.Signal(2)
		drive.Died(t, s.End(), 2)
		if calls, _, _ := drive.Row(s.Written(), "getppid"); calls != 4 {
			t.Errorf("counted %d getppid, want 4\n%s", calls, s.Written())
		}
		a.Alive()
	})
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"--help", "-h", "-ch", "--help true", "--version", "-V"} {
		t.Run(args, func(t *testing.T) {
			o := drive.Run(t, drive.Plain(t, strings.Fields(args)...))
			o.Exited(t, 0)
			want := "Usage: sysprof"
			if strings.Contains(strings.ToLower(args), "v") {
				want = "sysprof "
			}
			if !strings.HasPrefix(o.Stdout, want) || o.Stderr != "" {
				t.Errorf("stdout %q, stderr %q", o.Stdout, o.Stderr)
			}
		})
	}
}

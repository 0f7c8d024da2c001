package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// tools makes a folder with the programs of these names, for a PATH without strace and perf, and with the scripts.
func tools(t *testing.T, scripts map[string]string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(filepath.Join("/bin", name))
		drive.Check(t, err)
		drive.Check(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	for name, text := range scripts {
		drive.Check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755))
	}
	return dir
}

// withPath gives a command a PATH of one folder, and other variables.
func withPath(cmd *exec.Cmd, dir string, more ...string) *exec.Cmd {
	cmd.Env = append(append(os.Environ(), "PATH="+dir), more...)
	return cmd
}

// Stubs of other tracers: they write down how they were called and what the real ones would write of 1,234 calls, and
// run the command.
const (
	toCommand  = `while [ "$1" != -- ]; do [ "$1" = -o ] && out=$2; shift; done; shift` + "\n"
	stubStrace = `echo strace "$@" >> "$LOG"
` + toCommand + `cat > "$out" <<'END'
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.000000           0      1234        56 total
END
exec "$@"
`
	stubPerf = `echo perf "$@" >> "$LOG"
` + toCommand + `cat > "$out" <<'END'

 Summary of events:

 sh (1), 2000 events, 93.4%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                1000      2     9.194     2.048     4.597     7.147     55.46%
   execve                 1      0     0.000     0.000     0.000     0.000      0.00%


 sleep (2), 468 events, 93.4%

   wait4                233      0     2.788     0.014     0.697     1.415     56.49%
END
"$@"
exit 0
`
)

// rowOf finds the line of a tracer in a table of --bench, after its name.
func rowOf(t *testing.T, table, tracer string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if rest, ok := strings.CutPrefix(line, tracer+"  "); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("there is no line of %s in\n%s", tracer, table)
	return nil
}

// Every round runs the command once under each tracer, and one round is not counted.
func TestBenchRunsAll(t *testing.T) {
	log, runs := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "runs")
	bin := tools(t, map[string]string{"strace": stubStrace, "perf": stubPerf}, "sh", "cat", "ls")
	cmd := withPath(drive.Plain(t, "--bench=3", "--", "sh", "-c", "echo x >> "+runs+"; ls /; exit 3"), bin, "LOG="+log)
	o := drive.Run(t, cmd)
	o.Exited(t, 0)
	if n := strings.Count(drive.Read(runs), "x"); n != 4*4 {
		t.Errorf("the command ran %d times, want 16", n)
	}
	for name, calls := range map[string]string{"strace -f -c": "1,234", "perf trace -s": "1,234"} {
		if got := rowOf(t, o.Stdout, name); got[0] != calls {
			t.Errorf("%s: %q, want %s calls", name, got, calls)
		}
	}
	for _, name := range []string{"untraced", "  estimated", "sysprof"} {
		rowOf(t, o.Stdout, name)
	}
	for _, want := range []string{
		"medians of 3 runs each", "the command failed in every run: exit status 3\n",
		"before and after tracing", "strace -f -c counted 1,234 calls, where sysprof counted ",
	} {
		if !strings.Contains(o.Stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, o.Stdout)
		}
	}
	if strings.Contains(o.Stdout, "bin\n") || o.Stderr != "" {
		t.Errorf("what the command writes is not thrown away: %q, %q", o.Stdout, o.Stderr)
	}
	for name, want := range map[string]string{"strace": "strace -f -c -o * -- sh -c ", "perf": "perf trace -s -o * -- sh -c "} {
		n := 0
		for line := range strings.Lines(drive.Read(log)) {
			if !strings.HasPrefix(line, name+" ") {
				continue
			}
			n++
			if got := regexp.MustCompile(`-o \S+`).ReplaceAllString(line, "-o *"); !strings.HasPrefix(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if n != 4 {
			t.Errorf("%s was called %d times, want 4:\n%s", name, n, drive.Read(log))
		}
	}
}

// What sysprof is told is told to sysprof, and what the others understand to them.
func TestBenchPassesOptionsOn(t *testing.T) {
	dir := t.TempDir()
	log, profile := filepath.Join(dir, "log"), filepath.Join(dir, "profile")
	bin := tools(t, map[string]string{"strace": stubStrace, "perf": stubPerf}, "sh", "cat")
	for _, test := range []struct {
		name string
		args []string
	}{
		{"one word", []string{"--bench=1", "-e", "trace=openat", "--no-follow", "--pprof", profile, "--"}},
		{"two words", []string{"-e", "trace=read", "--bench", "9", "-e", "trace=openat", "--pprof=" + profile, "--no-follow", "--bench", "1"}},
		{"between", []string{"--pprof=" + profile, "-qe", "openat", "--no-follow", "--bench=1", "--cpu=off", "--"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			os.Remove(log)
			os.Remove(profile)
			o := drive.Run(t, withPath(drive.Plain(t, append(test.args, "cat", "/etc/passwd")...), bin, "LOG="+log, "LC_ALL=C"))
			o.Exited(t, 0)
			if calls, err := strconv.Atoi(rowOf(t, o.Stdout, "sysprof")[0]); err != nil || calls < 1 || calls > 20 {
				t.Errorf("sysprof counted %v calls, want the few openat:\n%s", calls, o.Stdout)
			}
			if drive.Read(profile) == "" {
				t.Error("there is no profile")
			}
			for _, want := range []string{" -e trace=openat -- cat /etc/passwd", " --no-inherit -e openat -- cat /etc/passwd", "strace -c -o"} {
				if strings.Count(drive.Read(log), want) != 2 {
					t.Errorf("%q is not there twice in\n%s", want, drive.Read(log))
				}
			}
		})
	}
}

// A tracer that cannot trace is left out, and the line says why.
func TestBenchLeavesOut(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, test := range []struct {
		name    string
		scripts map[string]string
		says    string
	}{
		{"without rights", map[string]string{"strace": stubStrace, "perf": `echo perf >> "$LOG"; printf 'Error:\tNo permissions to read x\nHint:\tTry\n' >&2; exit 255`},
			"perf trace -s is left out: No permissions to read x\n"},
		{"without rights, as perf says it", map[string]string{"strace": stubStrace, "perf": `echo perf >> "$LOG"; printf 'Error:\tNo permissions to read y\nHint:\tTry\n' > "$4"; exit 255`},
			"perf trace -s is left out: No permissions to read y\n"},
		{"in the tracer's own words", map[string]string{"strace": `echo strace >> "$LOG"; echo "oh dear" >&2; echo "strace: not here" >&2; exit 1`, "perf": stubPerf},
			"strace -f -c is left out: not here\n"},
		{"without a word", map[string]string{"strace": `echo strace >> "$LOG"; exit 7`, "perf": stubPerf},
			"strace -f -c is left out: exit status 7\n"},
		{"not a program", map[string]string{"perf": stubPerf}, "not installed, and left out: strace\n"},
		{"neither", nil, "not installed, and left out: strace, perf\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			os.Remove(log)
			o := drive.Run(t, withPath(drive.Plain(t, "--bench=2", "sh", "-c", ":"), tools(t, test.scripts, "sh", "cat"), "LOG="+log))
			o.Exited(t, 0)
			if !strings.Contains(o.Stdout, test.says) {
				t.Errorf("it does not say %q:\n%s", test.says, o.Stdout)
			}
			rowOf(t, o.Stdout, "sysprof")
			name, _, _ := strings.Cut(test.says, " ")
			if n := strings.Count(drive.Read(log), name); len(test.scripts) == 2 && n != 1 {
				t.Errorf("%s was tried %d times:\n%s", name, n, drive.Read(log))
			}
		})
	}
}

// Runs that are not alike are not compared in silence.
func TestBenchSaysWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	for _, test := range []struct {
		name, script, says string
	}{
		{"under a tracer", `grep -q 'TracerPid:.*[1-9]' /proc/self/status && exit 4; exit 0`,
			"exit status 0 (runs: untraced 2); exit status 4 (runs: sysprof 2)"},
		{"by a signal", `kill -SEGV $$`, "the command failed in every run: died of SIGSEGV"},
		{"the number of calls", `echo x >> ` + count + `; cat ` + count + `; [ $(wc -l < ` + count + `) -lt 5 ] || for i in 1 2 3; do cat /etc/passwd; done`,
			"under sysprof, runs had "},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, withPath(drive.Plain(t, "--bench=2", "sh", "-c", test.script), tools(t, nil, "sh", "grep", "cat", "wc")))
			o.Exited(t, 0)
			if !strings.Contains(o.Stdout, test.says) {
				t.Errorf("it does not say %q:\n%s", test.says, o.Stdout)
			}
		})
	}
}

// A file on standard input is read from the same place by every run; a pipe is not read.
func TestBenchStdin(t *testing.T) {
	dir := t.TempDir()
	bin := tools(t, nil, "sh", "cat")
	seen, input := filepath.Join(dir, "seen"), filepath.Join(dir, "input")
	drive.WriteFile(t, input, "one\ntwo\n")
	file, err := os.Open(input)
	drive.Check(t, err)
	defer file.Close()
	_, err = file.Seek(4, 0)
	drive.Check(t, err)
	cmd := withPath(drive.Plain(t, "--bench=2", "sh", "-c", "cat >> "+seen+"; echo . >> "+seen), bin)
	cmd.Stdin = file
	drive.Run(t, cmd).Exited(t, 0)
	if got := drive.Read(seen); got != strings.Repeat("two\n.\n", 6) {
		t.Errorf("the command read %q", got)
	}
	os.Remove(seen)
	cmd = withPath(drive.Plain(t, "--bench=2", "sh", "-c", "cat >> "+seen+"; echo . >> "+seen), bin)
	cmd.Stdin = strings.NewReader("piped\n")
	drive.Run(t, cmd).Exited(t, 0)
	if got := drive.Read(seen); got != strings.Repeat(".\n", 6) {
		t.Errorf("the command read %q", got)
	}
}

// The command finds what it would find if a shell had started it, alone as well as under a tracer.
func TestBenchInherits(t *testing.T) {
	dir := t.TempDir()
	show := "cat /proc/self/status /proc/self/limits /proc/self/environ > " + dir + "/$$; ls -l --time-style=+ /proc/self/fd/ >> " + dir + "/$$"
	see := func(tracer ...string) (seen []string) {
		args := append(strings.Fields("ignore=13 ignore=10 ignore=2 ignore=40 block=12 nofile=123 umask=23 open=60 env=A=1 env=B --"), tracer...)
		cmd := prepared(append(args, "/bin/sh", "-c", show)...)
		cmd.Env = append(cmd.Env, "PATH=/no/such/folder:"+tools(t, nil, "cat", "ls"))
		drive.Run(t, cmd).Exited(t, 0)
		files, _ := filepath.Glob(dir + "/[0-9]*")
		for _, file := range files {
			text := byChance.ReplaceAllString(drive.Read(file), "")
			text = regexp.MustCompile(`PATH=[^\x00]*|PWD=[^\x00]*|_=[^\x00]*|/proc/\d+|Groups:.*`).ReplaceAllString(text, "")
			text = regexp.MustCompile(`(?m)^.* [012] -> .*$`).ReplaceAllString(text, "") // /dev/null
			seen = append(seen, text)
			os.Remove(file)
		}
		return seen
	}
	alone := see()
	if len(alone) != 1 || !strings.Contains(alone[0], "SigIgn:\t0000008000001202") {
		t.Fatalf("that is no test: %q", alone)
	}
	runs := see(drive.Program(t), "--bench=1", "--")
	if len(runs) != 4 {
		t.Errorf("the command ran %d times, want 4", len(runs))
	}
	for i, seen := range runs {
		if seen != alone[0] {
			t.Errorf("run %d sees something else:\n%s", i, differing(alone[0], seen))
		}
	}
}

func TestBenchWithRealTracers(t *testing.T) {
	needs.Program(t, "strace", "strace")
	o := drive.Run(t, drive.Plain(t, "--bench=2", "--", "ls", "/"))
	o.Exited(t, 0)
	sysprof, strace := rowOf(t, o.Stdout, "sysprof"), rowOf(t, o.Stdout, "strace -f -c")
	if sysprof[0] != strace[0] || len(strace) < 6 {
		t.Errorf("sysprof %q, strace %q\n%s", sysprof, strace, o.Stdout)
	}
	o = drive.Run(t, drive.Plain(t, "--bench=1", "-e", "trace=openat", "--", "ls", "/"))
	o.Exited(t, 0)
	sysprof, strace = rowOf(t, o.Stdout, "sysprof"), rowOf(t, o.Stdout, "strace --seccomp-bpf")
	if sysprof[0] != strace[0] {
		t.Errorf("sysprof %q, strace %q\n%s", sysprof, strace, o.Stdout)
	}
}

func TestBenchExitStatus(t *testing.T) {
	dir := t.TempDir()
	drive.WriteFile(t, filepath.Join(dir, "plain"), "hello")
	drive.Check(t, os.WriteFile(filepath.Join(dir, "noexec"), []byte("hello"), 0o755))
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"not in PATH", []string{"--bench=2", "no-such-command-anywhere"}, 127, "command not found"},
		{"not executable", []string{"--bench=2", filepath.Join(dir, "plain")}, 126, "cannot be executed"},
		{"neither binary nor script", []string{"--bench=2", filepath.Join(dir, "noexec")}, 126, "neither"},
		{"sysprof cannot", []string{"--bench=2", "--pprof=/no/such/folder/file", "true"}, 1, "the run under sysprof failed: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.Plain(t, test.args...))
			o.Exited(t, test.status)
			if o.Stdout != "" || strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stdout %q, stderr %q, want one line with %q", o.Stdout, o.Stderr, test.says)
			}
		})
	}
}

func TestBenchBadUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--bench", "--bench"},
		{"--bench=0 true", `"0"`},
		{"--bench=-1 true", `"-1"`},
		{"--bench=1.5 true", `"1.5"`},
		{"--bench=10001 true", `"10001"`},
		{"--bench= true", `""`},
		{"--bench true", `"true"`},
		{"--bench=2", "needs a command"},
		{"--bench=2 -p 1", "--attach"},
		{"--bench=2 -p 1 true", "--attach"},
		{"--bench=2 -E X=1 true", "--env"},
		{"--bench=2 -u nobody true", "--user"},
		{"--bench=2 --argv0=x true", "--argv0"},
		{"--bench=2 --duration=1 true", "--duration"},
		{"--bench=2 --json=x true", "--json"},
		{"--bench=2 -o x true", "--output"},
		{"--bench=2 -A -o x true", "--output"},
		{"--bench=2 --from-json=x", "--from-json"},
		{"--raw -O 5 --bench=2 true", "--raw"},
		{"-U calls --bench=2 true", "-c"},
	} {
		t.Run(test.args, func(t *testing.T) {
			if o := badUsage(t, words(test.args)); !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stderr does not name %s: %q", test.says, o.Stderr)
			}
		})
	}
}

// leftFolders lists the folders of runs in a folder for temporary files.
func leftFolders(dir string) []string {
	list, _ := filepath.Glob(filepath.Join(dir, "sysprof-bench-*"))
	return list
}

// marked lists the processes whose environment has a mark.
func marked(mark string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if slices.Contains(strings.Split(drive.Read(file), "\x00"), mark) {
			pids = append(pids, fmt.Sprint(filepath.Base(filepath.Dir(file)), " ", drive.Read(filepath.Dir(file)+"/comm")))
		}
	}
	return pids
}

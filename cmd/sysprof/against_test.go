package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// savedReads writes a run of so many reads, each of so many nanoseconds, and returns the name of its file.
func savedReads(t *testing.T, dir, name string, calls, ns int64) string {
	t.Helper()
	p := profile.New()
	for i := range calls {
		p.Add(&profile.Call{ABI: syscalltab.AMD64, ExitSeenNs: ns + i, CPUNs: -1, GapNs: -1})
	}
	path := filepath.Join(dir, name)
	file, err := os.Create(path)
	drive.Check(t, err)
	defer file.Close()
	drive.Check(t, report.WriteJSON(file, p.Raw().Snapshot(), report.Meta{Duration: 1e9}))
	return path
}

func TestAgainst(t *testing.T) {
	dir := t.TempDir()
	slow, fast, comma := savedReads(t, dir, "slow.json", 1000, 50_000), savedReads(t, dir, "fast.json", 1000, 20_000), savedReads(t, dir, "a,b.json", 1000, 20_000)
	for _, test := range []struct {
		name   string
		args   []string
		status int
		out    string // in stdout
		err    string // in stderr; "": that is empty
	}{
		{"slower", []string{"--from-json", slow, "--against", fast}, 0, "%", ""},
		{"the same", []string{"--from-json", fast, "--against", fast, "--fail-on", "p99:+0%,total:+0%,count:+0%"}, 0, "~", ""},
		{"a comma in the name", []string{"--from-json", comma, "--against", slow}, 0, "%", ""},
		{"several", []string{"--from-json", slow + "," + slow, "--from-json", slow, "--from-json", slow, "--against", strings.Repeat(fast+",", 3) + fast}, 0, "4 runs against 4", ""},
		{"too slow", []string{"--from-json", slow, "--against", fast, "--fail-on=p50:+20%,p99(write):+20%"}, 1, "%", "sysprof: --fail-on: p50:+20%: read: +1"},
		{"not that slow", []string{"--from-json", slow, "--against", fast, "--fail-on=p50:+500%"}, 0, "%", ""},
		{"faster is not slower", []string{"--from-json", fast, "--against", slow, "--fail-on=p50:+20%"}, 0, "%", ""},
		{"nothing of it", []string{"--from-json", slow, "--against", fast, "-e", "write", "--fail-on=p50:+20%"}, 0, "no system calls", ""},
		{"as JSON", []string{"--from-json", slow, "--against", fast, "--json=-", "-o", "/dev/null"}, 0, `"sysprof-difference"`, ""},
		{"no file", []string{"--from-json", slow, "--against", filepath.Join(dir, "nosuch")}, 1, "", "nosuch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.Plain(t, test.args...))
			o.Exited(t, test.status)
			if !strings.Contains(o.Stdout, test.out) || !strings.Contains(o.Stderr, test.err) || test.err == "" && o.Stderr != "" {
				t.Errorf("stdout %s\nstderr %s", o.Stdout, o.Stderr)
			}
			if strings.Count(o.Stderr, "\n") > 1 {
				t.Errorf("more than a line: %q", o.Stderr)
			}
			if test.name == "as JSON" && !json.Valid([]byte(o.Stdout)) {
				t.Errorf("no JSON: %s", o.Stdout)
			}
		})
	}
	for _, args := range [][]string{
		{"--against", fast, "true"},
		{"--fail-on=p99:+1%", "true"},
		{"--from-json", slow, "--fail-on=p99:+1%"},
		{"--from-json", slow, "--from-json", fast},
		{"--from-json", slow, "--against", fast, "--fail-on=p98:+1%"},
		{"--from-json", slow, "--against", fast, "--fail-on="},
		{"--from-json", slow, "--against", fast, "-c"},
		{"--from-json", slow, "--against", fast, "-S", "name"},
		{"--from-json", slow, "--against", fast, "--histogram"},
		{"--from-json", slow, "--against", ""},
		{"--from-json", slow + ",", "--against", fast},
		{"--from-json", "-", "--against", "-"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(args, " "), dir+"/", ""), func(t *testing.T) { badUsage(t, args) })
	}
}

// TestAgainstOnTerminals: on a terminal there are as many columns as it has room for, what has changed stands out, and what is
// said besides is broken between words.
func TestAgainstOnTerminals(t *testing.T) {
	dir := t.TempDir()
	savedReads(t, dir, "slow.json", 1000, 50_000)
	savedReads(t, dir, "fast.json", 1000, 20_000)
	for _, test := range []struct {
		width        int
		env          string
		table, below string
		changed      string // how the change of p50 is drawn
	}{
		{60, "COLOR=1", "  total change calls change     p50 change    p99 call", "1 run against 1: judged by how the calls of each run vary", "\x1b[1m+146 %\x1b["},
		{80, "NO_COLOR=1", "  total     was change calls change     p50     was change     p99 change call",
			"1 run against 1: judged by how the calls of each run vary and by how uncertain", " 20.5 µs +146 % 51.0 µs "},
	} {
		t.Run(fmt.Sprint(test.width), func(t *testing.T) {
			m := drive.StartTmux(t, test.width, 24, test.env)
			m.Types("cd " + dir + "; clear; sysprof --from-json slow.json --against fast.json --fail-on=p50:+20%; echo status $?")
			m.Shows("\nstatus 1\n")
			m.Shows("slow.json against fast.json (was): + is more than it was\n"+test.table+"\n", "\n"+test.below+"\n", "sysprof: --fail-on: p50:+20%: read: +146 %")
			if drawn := m.Do("capture-pane", "-p", "-e"); !strings.Contains(drawn, test.changed) {
				t.Errorf("%q is not in\n%q", test.changed, drawn)
			}
		})
	}
}

// TestLocale: in a locale that is not UTF-8, tables and messages are ASCII, wherever they go.
func TestLocale(t *testing.T) {
	dir := t.TempDir()
	saved := savedReads(t, dir, "naïve.json", 1000, 50_000)
	for _, test := range []struct {
		env   []string
		ascii bool
	}{
		{[]string{"LC_ALL=C"}, true},
		{[]string{"LC_ALL=", "LC_CTYPE=POSIX", "LANG=de_DE.UTF-8"}, true},
		{[]string{"LC_ALL=", "LC_CTYPE=", "LANG="}, true},
		{[]string{"LC_ALL=", "LC_CTYPE=", "LANG=de_DE@euro"}, true},
		{[]string{"LC_ALL=C.UTF-8", "LANG=C"}, false},
		{[]string{"LC_ALL=", "LC_CTYPE=en_US.utf8", "LANG=C"}, false},
		{[]string{"LC_ALL=", "LC_CTYPE=", "LANG=de_DE.UTF-8@euro"}, false},
	} {
		t.Run(strings.Join(test.env, " "), func(t *testing.T) {
			for _, args := range [][]string{{"--from-json", saved}, {"--from-json", saved, "--against", saved}, {"--from-json", filepath.Join(dir, "fehlt ü")}} {
				cmd := drive.Plain(t, args...)
				cmd.Env = append(os.Environ(), test.env...)
				o := drive.Run(t, cmd)
				text := o.Stdout + o.Stderr
				if ascii := !strings.ContainsFunc(text, func(r rune) bool { return r > 0x7f }); ascii != test.ascii || text == "" {
					t.Errorf("%v: ASCII is %v in %s", args, ascii, text)
				}
			}
		})
	}
}

func TestSuggestions(t *testing.T) {
	for line, want := range map[string]string{
		"--histgram true": "--histogram", "--from-jsn x": "--from-json", "-e opn true": "open", "-e %netwrok true": "%network",
		"--labels=pdi --pprof x true": "pid", "-S p59 true": "p50", "-c -U cals true": "calls", "-e status=faild true": "failed", "-e trcae=read true": "trace",
	} {
		if o := badUsage(t, strings.Fields(line)); !strings.Contains(o.Stderr, "(did you mean "+want+"?)") {
			t.Errorf("%s: %q", line, o.Stderr)
		}
	}
	if o := badUsage(t, []string{"--injct=x", "true"}); strings.Contains(o.Stderr, "inject") {
		t.Errorf("an option that is refused is suggested: %q", o.Stderr)
	}
}

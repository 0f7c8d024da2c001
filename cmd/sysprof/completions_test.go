package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// TestCompletionsNameEveryOption compares the scripts with what --help has.
func TestCompletionsNameEveryOption(t *testing.T) {
	help := drive.Run(t, drive.Plain(t, "--help")).Stdout
	options := regexp.MustCompile(`(?m)^  +(?:(-\w), )?(--[\w-]+)|^  +(-\w) `).FindAllStringSubmatch(help, -1)
	if len(options) < 30 {
		t.Fatalf("found %d options only in --help", len(options))
	}
	for _, shell := range []string{"bash", "fish", "zsh"} {
		o := drive.Run(t, drive.Plain(t, "--completions="+shell))
		o.Exited(t, 0)
		if o.Stderr != "" {
			t.Errorf("%s: stderr %q", shell, o.Stderr)
		}
		for _, names := range options {
			for _, name := range names[1:] {
				inFish := " -" + "l " + strings.TrimPrefix(name, "--")
				if len(name) == 2 {
					inFish = " -s '" + name[1:] + "'"
				}
				if name != "" && !regexp.MustCompile(`(?m)(^|[ '*|])`+name+`($|[] '|=+[])`).MatchString(o.Stdout) && !(shell == "fish" && strings.Contains(o.Stdout, inFish)) {
					t.Errorf("%s: there is no %s", shell, name)
				}
			}
		}
		for _, refused := range []string{"--inject", "string-limit"} {
			if strings.Contains(o.Stdout, refused) {
				t.Errorf("%s: %s is offered, which is refused", shell, refused)
			}
		}
	}
	badUsage(t, []string{"--completions=csh"})
}

// TestShellsTakeCompletions has each shell read its script.
func TestShellsTakeCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "fish", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			path := needs.Program(t, shell, shell)
			file := filepath.Join(t.TempDir(), "completions")
			drive.Check(t, os.WriteFile(file, []byte(drive.Run(t, drive.Plain(t, "--completions="+shell)).Stdout), 0o644))
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestBashCompletes asks bash what it would offer.
func TestBashCompletes(t *testing.T) {
	bash := needs.Program(t, "bash", "bash")
	script := filepath.Join(t.TempDir(), "sysprof.bash")
	drive.Check(t, os.WriteFile(script, []byte(drive.Run(t, drive.Plain(t, "--completions=bash")).Stdout), 0o644))
	dir := t.TempDir()
	drive.Check(t, os.WriteFile(filepath.Join(dir, "saved run.json"), nil, 0o644))
	for _, test := range []struct {
		line string // split as bash splits; the last word is completed, and is empty behind a blank
		want string // all that is offered; with a trailing + this and more
	}{
		{"sysprof --hist", "--histogram"},
		{"sysprof -c --ver", "--verbose --version"},
		{"sysprof --time = c", "cpu"},
		{"sysprof --time =", "wall cpu"},
		{"sysprof --time c", "cpu"},
		{"sysprof --stacks = f", "fp full"},
		{"sysprof -S p", "p50 p99"},
		{"sysprof --labels = pid,la", "pid,latency"},
		{"sysprof -e opena", "openat openat2 +"},
		{"sysprof -e trace = read,opena", "read,openat read,openat2 +"},
		{"sysprof -e status = f", "failed"},
		{"sysprof -e %netw", "%network"},
		{"sysprof --from-json = sav", "saved run.json"},
		{"sysprof --from-json sav", "saved run.json"},
		{"sysprof --against = sav", "saved run.json"},
		{"sysprof --fail-on = p99,to", "p99,total"},
		{"sysprof -cS p9", "p99"},
		{"sysprof --duration ", ""},
		{"sysprof -c bas", "bash +"},
		{"sysprof -c -- bas", "bash +"},
		{"sysprof -o out -c bash sav", "saved run.json"},
		{"sysprof bash --ver", ""},
		{"sysprof -u roo", "root"},
	} {
		t.Run(test.line, func(t *testing.T) {
			words := strings.Split(test.line, " ")
			quoted := "'" + strings.Join(words, "' '") + "'"
			cmd := exec.Command(bash, "--norc", "-c", `. "$1"; COMP_WORDS=(`+quoted+`); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); IFS=$'\n'; _sysprof; printf '%s\n' "${COMPREPLY[@]}"`, "bash", script)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			drive.Check(t, err)
			got := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
			want, more := strings.CutSuffix(test.want, "+")
			var wanted []string
			if test.want == "saved run.json" {
				wanted = []string{test.want}
			} else {
				wanted = strings.Fields(want)
			}
			if more {
				got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(wanted, s) })
				got = slices.Compact(slices.Sorted(slices.Values(got)))
			}
			if !slices.Equal(got, wanted) {
				t.Errorf("offered %q, want %q", got, wanted)
			}
		})
	}
}

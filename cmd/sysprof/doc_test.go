package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"
	"sysprof/profile/label"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// TestDocumentedExamples runs every "$ …" line of the README and of the manual page, in order, and holds
// the words of what it prints first against the words that the document shows.
func TestDocumentedExamples(t *testing.T) {
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })

	// The examples' own words: sysprof is the program under test, the server is a process of ours, and
	// nobody waits for ten seconds, or runs.
	bin := t.TempDir()
	if err := os.Symlink(drive.Program(t), filepath.Join(bin, "sysprof")); err != nil {
		t.Fatal(err)
	}
	pidof := fmt.Sprintf("#!/bin/sh\necho %d\n", sleeper.Process.Pid)
	if err := os.WriteFile(filepath.Join(bin, "pidof"), []byte(pidof), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, doc := range []string{"../../README.md", "sysprof.1"} {
		text := drive.Read(doc)
		if doc == "sysprof.1" {
			text = strings.ReplaceAll(text, `\-`, "-")
		}
		examples := examplesOf(text)
		if len(examples) < 3 {
			t.Errorf("%s: found %d examples only", doc, len(examples))
		}
		for _, e := range examples {
			t.Run(filepath.Base(doc)+"/"+e.command, func(t *testing.T) {
				for _, name := range strings.Fields(e.command) {
					if name == "git" {
						needs.Program(t, name, name)
					}
				}
				command := strings.ReplaceAll(strings.ReplaceAll(e.command, "10s", "200ms"), "--bench=10", "--bench=1")
				sh := exec.Command("sh", "-c", command)
				sh.Dir = dir
				sh.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8")
				sh.WaitDelay = time.Second // for the children that an example leaves behind
				timer := time.AfterFunc(drive.Patience, func() { sh.Process.Kill() })
				out, err := sh.CombinedOutput()
				timer.Stop()
				if code := sh.ProcessState.ExitCode(); code == 126 || code == 127 || code < 0 {
					t.Fatalf("%v\n%s", err, out)
				}
				if strings.Contains(string(out), "sysprof: ") {
					t.Errorf("it complains:\n%s", out)
				}
				if e.first != "" && !hasLine(string(out), e.first) {
					t.Errorf("there is no line like %q in\n%s", e.first, out)
				}
			})
		}
	}
}

// example is a documented command with the first line that it is said to print.
type example struct{ command, first string }

func examplesOf(text string) []example {
	var examples []example
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		e := example{command: command}
		if next := lines[i+1]; next != "" && !strings.HasPrefix(next, "$ ") && next != "```" && next[0] != '.' {
			e.first = next
		}
		examples = append(examples, e)
	}
	return examples
}

var notWords = regexp.MustCompile(`[^\pL%/ ]+|\b\S*\d\S*\b|\b[nm]?s\b|µs\b`)

// hasLine reports whether text has a line with the same words as want, whatever the numbers.
func hasLine(text, want string) bool {
	words := func(s string) string { return strings.Join(strings.Fields(notWords.ReplaceAllString(s, " ")), " ") }
	for line := range strings.Lines(text) {
		if words(line) == words(want) {
			return true
		}
	}
	return false
}

// TestDocumentedLists holds what the help and the manual page list against the tables that they are lists of.
func TestDocumentedLists(t *testing.T) {
	help, man := drive.Run(t, drive.Plain(t, "--help")).Stdout, strings.ReplaceAll(drive.Read("sysprof.1"), `\-`, "-")
	for _, test := range []struct {
		name, text  string
		begin, end  string // what the list stands between
		want        []string
		parentheses bool // have to do with one of the list, and are not of it
	}{
		{"the labels of the help", help, "tell samples apart by ", "--", label.Names(), true},
		{"the fields of the help", help, "tell calls apart by ", "too:", label.GroupNames(), true},
		{"the fields of the manual page", man, "worked on, too:\n", "See\n", label.GroupNames(), true},
		{"the labels of the manual page", man, "tell samples apart by\n", "The last", label.Names(), false},
		{"the classes of the manual page", man, "names, numbers, classes\n", "regular expressions", syscalltab.Classes(), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, list, ok := strings.Cut(test.text, test.begin)
			list, _, ends := strings.Cut(list, test.end)
			if !ok || !ends {
				t.Fatalf("there is no list between %q and %q", test.begin, test.end)
			}
			if test.parentheses {
				list = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(list, "")
			}
			got := regexp.MustCompile(`%{0,2}[a-z_]+\b`).FindAllString(list, -1)
			slices.Sort(got)
			want := slices.Sorted(slices.Values(test.want))
			if !slices.Equal(got, want) {
				t.Errorf("it lists %q, want %q", got, want)
			}
		})
	}
}

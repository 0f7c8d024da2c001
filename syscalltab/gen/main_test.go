package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTablesAreCurrent(t *testing.T) {
	var stderr bytes.Buffer
	if status := run([]string{"-check"}, &stderr); status != 0 {
		t.Errorf("status %d: %s", status, &stderr)
	}
}

func TestCheckFindsStaleFile(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	if status := run([]string{"-dir", dir}, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	if status := run([]string{"-check", "-dir", dir}, &stderr); status != 0 {
		t.Fatalf("just written, and status %d: %s", status, &stderr)
	}
	path := filepath.Join(dir, "zarm64_syscalls.go")
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(code, []byte("openat"), []byte("opentat"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "zarm_syscalls.go")); err != nil {
		t.Fatal(err)
	}
	if status := run([]string{"-check", "-dir", dir}, &stderr); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	for _, want := range []string{"zarm64_syscalls.go is stale", "zarm_syscalls.go: no such file"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in:\n%s", want, &stderr)
		}
	}
}

// source is an x/sys file with 300 calls and then some.
func source(more string) []byte {
	var b strings.Builder
	b.WriteString("package unix\n\nconst (\n")
	for i := range 300 {
		fmt.Fprintf(&b, "\tSYS_%s = %d\n", strings.Repeat("A", i+1), i)
	}
	b.WriteString(more + ")\n")
	return []byte(b.String())
}

func TestBuildErrors(t *testing.T) {
	tests := []struct {
		name string
		t    table
		code string
		want string
	}{
		{"number given twice", table{}, "SYS_X = 7\n", "7 is both aaaaaaaa and x"},
		{"name given twice", table{}, "SYS_A = 300\n", "a is both 0 and 300"},
		{"number out of range", table{}, "SYS_X = 983041\n", "no index of a table"},
		{"not a number", table{}, "SYS_X = SYS_A\n", "not a plain number"},
		{"not a call", table{}, "X = 300\n", "not a SYS_ constant"},
		{"drop that is gone", table{drop: map[string]string{"SYS_X": "why"}}, "", "no SYS_X any more"},
		{"rename that is gone", table{names: map[string]string{"SYS_X": "y"}}, "", "no SYS_X any more"},
		{"addition that x/sys has", table{add: []entry{{5, "aaaaaa"}}}, "", "5 is both aaaaaa and aaaaaa"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.t.build(source(tt.code))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := (table{}).build(source("")); err != nil {
		t.Errorf("the source itself is wrong: %v", err)
	}
	if _, err := (table{}).build([]byte("package unix\n")); err == nil {
		t.Error("an empty file is taken")
	}
}

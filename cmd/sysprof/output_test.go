package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// The target makes calls that succeed and calls that fail.
var _ = drive.Target("outcomes", func(args []string) {
	for range 30 {
		unix.Getpgid(0)
	}
	for range 12 {
		unix.Getpgid(1<<31 - 1)
	}
	for range 4 {
		unix.Umask(0o22)
	}
	for range 5 {
		unix.Getppid()
	}
})

func TestFilters(t *testing.T) {
	type want struct{ getpgid, errors, umask, getppid int } // -1: no row
	all := want{42, 12, 4, 5}
	for _, test := range []struct {
		name string
		args []string
		want want
	}{
		{"none", nil, all},
		{"-e trace=", []string{"-e", "trace=getpgid,umask"}, want{42, 12, 4, -1}},
		{"-e t=", []string{"-et=umask"}, want{-1, 0, 4, -1}},
		{"-e alone", []string{"-e", "umask"}, want{-1, 0, 4, -1}},
		{"-e with !", []string{"-e", "!umask"}, want{42, 12, -1, 5}},
		{"-e trace=!", []string{"-e", "trace=!getpgid,umask"}, want{-1, 0, -1, 5}},
		{"--trace", []string{"--trace=getppid"}, want{-1, 0, -1, 5}},
		{"a regular expression", []string{"-e", "/^getp[gp]id$"}, want{42, 12, -1, 5}},
		{"a class", []string{"-e", "%process"}, want{-1, 0, -1, -1}},
		{"numbers", []string{"-e", fmt.Sprintf("%d,%d", unix.SYS_UMASK, unix.SYS_GETPPID)}, want{-1, 0, 4, 5}},
		{"@64", []string{"-e", "umask@64"}, want{-1, 0, 4, -1}},
		{"@32", []string{"-e", "umask@32"}, want{-1, 0, -1, -1}},
		{"?unknown", []string{"-e", "?nosuch,umask"}, want{-1, 0, 4, -1}},
		{"all", []string{"-e", "trace=all"}, all},
		{"none of them", []string{"-e", "trace=none"}, want{-1, 0, -1, -1}},
		{"successful", []string{"-e", "status=successful"}, want{30, 0, 4, 5}},
		{"failed", []string{"-e", "status=failed"}, want{12, 12, -1, -1}},
		{"both", []string{"--status=successful,failed"}, all},
		{"not successful", []string{"-e", "status=!successful"}, want{12, 12, -1, -1}},
		{"-z", []string{"-z"}, want{30, 0, 4, 5}},
		{"-Z", []string{"-Z"}, want{12, 12, -1, -1}},
		{"--successful-only", []string{"--successful-only"}, want{30, 0, 4, 5}},
		{"--failed-only", []string{"--failed-only"}, want{12, 12, -1, -1}},
		{"-Z and -e", []string{"-Ze", "getpgid"}, want{12, 12, -1, -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.As(drive.Sysprof(t, append(test.args, drive.Self())...), "outcomes"))
			o.Exited(t, 0)
			var got want
			get := func(call string, calls, errs *int) {
				var ok bool
				if *calls, *errs, ok = drive.Row(o.Stderr, call); !ok {
					*calls, *errs = -1, 0
				}
			}
			var none int
			get("getpgid", &got.getpgid, &got.errors)
			get("umask", &got.umask, &none)
			get("getppid", &got.getppid, &none)
			if got != test.want {
				t.Errorf("counted %+v, want %+v\n%s", got, test.want, o.Stderr)
			}
			if o.Stderr == "" {
				t.Error("nothing is written")
			}
		})
	}
}

func TestOutput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "table")
	drive.Must(os.WriteFile(file, []byte("what was here\n"), 0o600))
	command := []string{"sh", "-c", "echo out; echo err >&2"}
	clean := func(o drive.Outcome) {
		t.Helper()
		o.Exited(t, 0)
		if o.Stdout != "out\n" || o.Stderr != "err\n" {
			t.Errorf("stdout %q, stderr %q: want only what the command writes", o.Stdout, o.Stderr)
		}
	}

	clean(drive.Run(t, drive.Sysprof(t, append([]string{"-c", "-o", file}, command...)...)))
	drive.HasTable(t, drive.Read(file), 1)
	if strings.Contains(drive.Read(file), "what was here") {
		t.Error("-o FILE has kept what was in the file")
	}
	clean(drive.Run(t, drive.Sysprof(t, append([]string{"-Ao", file}, command...)...)))
	clean(drive.Run(t, drive.Sysprof(t, append([]string{"--output=" + file, "--output-append-mode"}, command...)...)))
	drive.HasTable(t, drive.Read(file), 3)
	clean(drive.Run(t, drive.Sysprof(t, append([]string{"-o" + file}, command...)...)))
	drive.HasTable(t, drive.Read(file), 1)

	for _, mark := range []string{"|", "!"} {
		os.Remove(file)
		clean(drive.Run(t, drive.Sysprof(t, append([]string{"-o", mark + "cat > " + file}, command...)...)))
		drive.HasTable(t, drive.Read(file), 1)
	}

	t.Run("tables go to stderr", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, command...))
		o.Exited(t, 0)
		if o.Stdout != "out\n" || !strings.HasPrefix(o.Stderr, "err\n") {
			t.Errorf("stdout %q, stderr %q", o.Stdout, o.Stderr)
		}
		drive.HasTable(t, o.Stderr, 1)
	})
	for _, test := range []struct {
		name, output, says string
		tables             int // on stderr
	}{
		{"a reader that fails", "|cat >/dev/null; exit 3", "exit status 3", 0},
		{"a reader that reads nothing and fails", "|exec <&-; exit 3", "exit status 3", 0},
		{"a full device", "/dev/full", "no space left", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.Sysprof(t, "-q", "-o", test.output, "true"))
			o.Exited(t, 1)
			said, _, _ := strings.Cut(o.Stderr, "\n")
			if !strings.HasPrefix(said, "sysprof: ") || !strings.Contains(said, test.says) {
				t.Errorf("stderr: %q, want a line with %q", o.Stderr, test.says)
			}
			drive.HasTable(t, o.Stderr, test.tables)
		})
	}
	t.Run("a reader that has read enough", func(t *testing.T) {
		mark := filepath.Join(dir, "closed")
		wait := "while [ ! -e " + mark + " ]; do sleep 0.01; done"
		clean(drive.Run(t, drive.Sysprof(t, "-o", "|exec <&-; touch "+mark, "sh", "-c", wait+"; echo out; echo err >&2")))
	})
	t.Run("an unwritable file keeps the command from running", func(t *testing.T) {
		mark := filepath.Join(dir, "mark")
		o := drive.Run(t, drive.Sysprof(t, "-o", filepath.Join(dir, "missing", "file"), "touch", mark))
		o.Exited(t, 1)
		if _, err := os.Stat(mark); err == nil {
			t.Error("the command has run")
		}
	})
	t.Run("quiet", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "-q", "true"))
		o.Exited(t, 0)
		if !strings.HasSuffix(o.Stderr, " total\n") {
			t.Errorf("something stands under the table:\n%s", o.Stderr)
		}
	})
}

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

// The pages themselves are tested in cmd/sysprof-view.

// oneLine demands a status and one line of sysprof's on stderr.
func oneLine(t *testing.T, cmd *exec.Cmd, status int, says string) {
	t.Helper()
	o := drive.Run(t, cmd)
	o.Exited(t, status)
	if o.Stdout != "" || strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") || !strings.Contains(o.Stderr, says) {
		t.Errorf("%q: want one line with %q on stderr; stdout %q, stderr %q", cmd.Args, says, o.Stdout, o.Stderr)
	}
}

// TestViewFindsTheViewer beside sysprof, then in $PATH. sysprof may have been copied alone.
func TestViewFindsTheViewer(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	copied := filepath.Join(dir, "sysprof")
	drive.Check(t, os.WriteFile(copied, []byte(drive.Read(drive.Program(t))), 0o755))
	view := []string{"--view", "-c d"}

	oneLine(t, withPath(exec.Command(copied, view...), empty), 1, "sysprof-view, which is neither beside sysprof nor in $PATH")
	stub := func(name string) map[string]string {
		return map[string]string{"sysprof-view": `echo "sysprof: ` + name + `, $# arguments, $*" >&2; exit 5`}
	}
	inPath := tools(t, stub("in PATH"))
	oneLine(t, withPath(exec.Command(copied, view...), inPath), 5, "in PATH, 2 arguments, -- -c d")
	drive.Check(t, os.Symlink(filepath.Join(tools(t, stub("beside")), "sysprof-view"), filepath.Join(dir, "sysprof-view")))
	oneLine(t, withPath(exec.Command(copied, view...), inPath), 5, "beside, 2 arguments, -- -c d")
	linked := filepath.Join(empty, "linked")
	drive.Check(t, os.Symlink(copied, linked))
	oneLine(t, withPath(exec.Command(linked, view...), empty), 5, "beside")
}

func TestViewGoesWithNothing(t *testing.T) {
	for _, args := range []string{
		"--view x true", "--view x -p 1", "--view x -c", "--view x -e read", "-o y --view x", "--view x --from-json y", "--view",
		"--view ''", "--view x --bench=3 true", "--view x --pprof y", "--view x --no-controls",
	} {
		t.Run(args, func(t *testing.T) { badUsage(t, words(args)) })
	}
}

package ptrace_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
	"sysprof/syscalltab/needs"
)

// TestAttachDuringAClone attaches to a process when a clone has begun, before a run and during one: the thread that comes of it
// is neither traced by itself nor listed yet. The clone is at work, or waits for a lock of the kernel that another one holds.
func TestAttachDuringAClone(t *testing.T) {
	needs.SysAdmin(t)
	dir := t.TempDir()
	slow := filepath.Join(dir, "slowclone")
	if out, err := exec.Command(needs.C(t), "-o", slow, "testdata/slowclone.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	cloning := func(t *testing.T, waits bool) *peer {
		p := startCommand(t, exec.Command(slow, dir))
		p.line()
		if waits {
			holder := startCommand(t, exec.Command(slow, dir))
			holder.line()
			holder.ask("go")
		}
		p.ask("go")
		return p
	}
	allTraced := func(t *testing.T, p *peer) {
		if p.line(); !isTraced(p.pid) {
			t.Errorf("a thread is not traced\n%s", processes(p.pid))
		}
		unix.Kill(p.pid, unix.SIGKILL)
	}
	for name, waits := range map[string]bool{"at work": false, "waiting": true} {
		t.Run("before a run, "+name, func(t *testing.T) {
			for range 4 {
				p := cloning(t, waits)
				tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
				allTraced(t, p)
				stop(t, tracer)
			}
		})
		t.Run("during a run, "+name, func(t *testing.T) {
			first := start(t, "server")
			first.line()
			tracer, _ := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
			for range 4 {
				p := cloning(t, waits)
				attachLater(t, tracer, p.pid)
				allTraced(t, p)
			}
			if result := stop(t, tracer); len(result.Warnings) > 0 {
				t.Errorf("warnings: %+v", result.Warnings)
			}
		})
	}
}

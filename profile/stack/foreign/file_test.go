package foreign

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinksStayBelowTheRoot: a program's links name files of its own root, with openat2(2) and without.
func TestLinksStayBelowTheRoot(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("x"), 0o600))
	must(t, os.WriteFile(root+"/own", []byte("own"), 0o600))
	must(t, os.Symlink(outside+"/secret", root+"/absolute"))
	must(t, os.Symlink("../../../../../.."+outside+"/secret", root+"/relative"))
	must(t, os.Symlink(outside, root+"/folder"))
	must(t, os.Symlink("/own", root+"/link"))
	for name, want := range map[string]bool{
		"/own": true, "/link": true, "/absolute": false, "/relative": false, "/folder/secret": false,
		"/../../../../.." + outside + "/secret": false,
	} {
		found, err := In(root, name)
		if (err == nil) != want {
			t.Errorf("%s: found is %v: %v", name, err == nil, err)
		}
		if err == nil {
			found.Close()
		}
		dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		if fd, err := walk(dir, name); err == nil {
			var st unix.Stat_t
			must(t, unix.Fstat(fd, &st))
			if name != "/own" && st.Mode&unix.S_IFMT == unix.S_IFREG {
				t.Errorf("%s is found by a walk", name)
			}
			unix.Close(fd)
		} else if name == "/own" {
			t.Error(err)
		}
		unix.Close(dir)
	}
	if _, err := InUnlinked(root, "/link"); err == nil {
		t.Error("a link is taken")
	}
}

// TestNothingButRegularFilesIsOpened: who waits for a reader of a FIFO goes on waiting.
func TestNothingButRegularFilesIsOpened(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	// inotify(7) tells of every open, also of one that is closed at once.
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	must(t, err)
	defer unix.Close(watch)
	_, err = unix.InotifyAddWatch(watch, fifo, unix.IN_OPEN)
	must(t, err)
	if _, err := Here(fifo); err == nil {
		t.Error("it is found")
	}
	if _, err := In(filepath.Dir(fifo), "/fifo"); err == nil {
		t.Error("it is found below a root")
	}
	if n, err := unix.Read(watch, make([]byte, 4096)); n > 0 || err != unix.EAGAIN {
		t.Errorf("it was opened: %d, %v", n, err)
	}
}

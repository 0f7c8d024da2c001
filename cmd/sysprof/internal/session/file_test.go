package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened is an output that is at a path.
func opened(t *testing.T, path string) *file {
	t.Helper()
	f, err := openFile(path, os.Stdout)
	check(t, err)
	t.Cleanup(f.close)
	return f
}

// holds demands what a file holds.
func holds(t *testing.T, path, want string) {
	t.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		t.Errorf("%s holds %q, %v; want %q", path, data, err, want)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestNothingChangesBeforeItIsWritten: opening an output neither makes nor empties a file.
func TestNothingChangesBeforeItIsWritten(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	check(t, os.WriteFile(old, []byte("what was here"), 0o600))
	opened(t, old)
	opened(t, filepath.Join(dir, "new"))
	holds(t, old, "what was here")
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("the folder has %q", names)
	}
	for _, path := range []string{dir, dir + "/new/", dir + "/missing/file", old + "/x"} {
		if f, err := openFile(path, os.Stdout); err == nil {
			f.close()
			t.Errorf("%s can be written to", path)
		}
	}
}

// TestReplacedFileKeepsWhoseItIs: mode, owner, and links that lead to it.
func TestReplacedFileKeepsWhoseItIs(t *testing.T) {
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
		check(t, os.WriteFile(path, []byte("a longer text that was here"), 0o640))
		check(t, os.Chmod(path, 0o606))
		owner := os.Getuid()
		if owner == 0 {
			owner = 65534
			check(t, os.Chown(path, owner, owner))
		}
		check(t, os.Symlink("file", link))
		f := opened(t, link)
		if err := f.exchange(text("new"), named); err != nil {
			t.Fatal(err)
		}
		check(t, f.replace(t.Context(), text("newer")))
		holds(t, path, "newer")
		var stat unix.Stat_t
		check(t, unix.Lstat(path, &stat))
		if stat.Mode != unix.S_IFREG|0o606 || int(stat.Uid) != owner {
			t.Errorf("mode %o, owner %d", stat.Mode, stat.Uid)
		}
		if target, _ := os.Readlink(link); target != "file" || len(entries(t, dir)) != 2 {
			t.Errorf("the link leads to %q, the folder has %q", target, entries(t, dir))
		}
	}
}

// TestLinkToNothing makes the file that the link names.
func TestLinkToNothing(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	check(t, os.Symlink("file", link))
	f := opened(t, link)
	check(t, f.replace(t.Context(), text("new")))
	check(t, f.replace(t.Context(), text("newer")))
	holds(t, filepath.Join(dir, "file"), "newer")
}

// TestLinksThatAreFollowed: one's own, that of the folder's owner, and any where not everybody may write.
func TestLinksThatAreFollowed(t *testing.T) {
	needs.Root(t)
	const nobody = 65534
	for _, one := range []struct {
		mode         os.FileMode
		folder, link int
		refused      bool
	}{
		{0o777 | os.ModeSticky, nobody, 0, false},
		{0o777 | os.ModeSticky, nobody, nobody, false},
		{0o777 | os.ModeSticky, 0, nobody, true},
		{0o755, 0, nobody, false},
		{0o770 | os.ModeSticky, 0, nobody, false},
	} {
		dir := t.TempDir()
		folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file")
		link := filepath.Join(folder, "link")
		check(t, os.Mkdir(folder, 0o700))
		check(t, os.Symlink(file, link))
		check(t, os.Lchown(link, one.link, -1))
		check(t, os.Chown(folder, one.folder, -1))
		check(t, os.Chmod(folder, one.mode))
		for _, content := range []string{"made", "replaced"} { // by a link to nothing, and to a file
			f, err := openFile(link, os.Stdout)
			if one.refused {
				if !errors.Is(err, unix.EACCES) {
					t.Errorf("%v: %v", one, err)
				}
				break
			}
			if err != nil {
				t.Errorf("%v: %v", one, err)
				break
			}
			check(t, f.replace(t.Context(), text(content)))
			f.close()
			holds(t, file, content)
			if _, err := os.Readlink(link); err != nil {
				t.Errorf("%v: %v", one, err)
			}
		}
	}
}

// TestPlantedLink: what the kernel does not let anybody open through a folder for everybody is not replaced either, and
// a link that is planted after the opening is not followed.
func TestPlantedLink(t *testing.T) {
	needs.Root(t)
	const sysctl = "/proc/sys/fs/protected_symlinks"
	if was, err := os.ReadFile(sysctl); err == nil && string(was) != "1\n" {
		check(t, os.WriteFile(sysctl, []byte("1"), 0))
		t.Cleanup(func() { os.WriteFile(sysctl, was, 0) })
	}
	dir := t.TempDir()
	tmp, victim := filepath.Join(dir, "tmp"), filepath.Join(dir, "victim")
	check(t, os.Mkdir(tmp, 0o777))
	check(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	check(t, os.WriteFile(victim, []byte("root's"), 0o600))
	plant := func(name string) string {
		path := filepath.Join(tmp, name)
		check(t, os.Symlink(victim, path))
		check(t, os.Lchown(path, 65534, 65534))
		return path
	}
	if _, err := openFile(plant("before"), os.Stdout); !errors.Is(err, unix.EACCES) {
		t.Errorf("a planted link: %v", err)
	}
	f := opened(t, filepath.Join(tmp, "after"))
	plant("after")
	f.replace(t.Context(), text("new")) // whatever becomes of it
	f = opened(t, filepath.Join(tmp, "table"))
	plant("table")
	f.put(t.Context(), text("new"), false)
	holds(t, victim, "root's")
}

// TestNoNameBeforeItIsWhole: a file that is being written cannot be left behind, where the file system can do that.
func TestNoNameBeforeItIsWhole(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	needs.That(t, err == nil, "a file system with O_TMPFILE", "set TMPDIR to a folder of one")
	unix.Close(fd)
	f := opened(t, filepath.Join(dir, "file"))
	made, _, err := f.create(false)
	check(t, err)
	defer made.Close()
	if names := entries(t, dir); len(names) > 0 {
		t.Errorf("the folder has %q", names)
	}
}

// TestFailedWriteLeavesWhatWasThere, and no other file beside it.
func TestFailedWriteLeavesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	check(t, os.WriteFile(path, []byte("what was here"), 0o600))
	f := opened(t, path)
	f.base = "no/such/place"
	for _, named := range []bool{false, true} {
		if err := f.exchange(text("new"), named); err == nil {
			t.Error("it was written")
		}
	}
	holds(t, path, "what was here")
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("the folder has %q", names)
	}
}

// TestPutKeepsWhatItHasWritten: the second table stands behind the first one.
func TestPutKeepsWhatItHasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		before    string
		appending bool
		want      string
	}{{"", false, "1\n2\n"}, {"what was here\n", false, "1\n2\n"}, {"what was here\n", true, "what was here\n1\n2\n"}} {
		os.Remove(path)
		if test.before != "" {
			check(t, os.WriteFile(path, []byte(test.before), 0o600))
		}
		f := opened(t, path)
		check(t, f.put(t.Context(), text("1\n"), test.appending))
		check(t, f.put(t.Context(), text("2\n"), test.appending))
		holds(t, path, test.want)
	}
}

// TestFIFOIsOpenedOnce for its reader, who waits for somebody to write, and must not come to the end before.
func TestFIFOIsOpenedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	check(t, unix.Mkfifo(path, 0o600))
	for round := range 300 {
		got := make(chan string, 1)
		go func() {
			text, _ := os.ReadFile(path)
			got <- string(text)
		}()
		var f *file
		for f == nil || f.open == nil {
			var err error
			f, err = openFile(path, nil)
			check(t, err)
			select {
			case text := <-got:
				t.Fatalf("round %d: who reads has got %q before anything was written", round, text)
			default:
			}
		}
		_, err := f.open.WriteString("text")
		check(t, errors.Join(err, f.open.Close()))
		if text := <-got; text != "text" {
			t.Fatalf("round %d: who reads has got %q", round, text)
		}
	}
}

// TestFIFOWithoutAReader is waited for, but no longer than there is time.
func TestFIFOWithoutAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	check(t, unix.Mkfifo(path, 0o600))
	f := opened(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := f.replace(ctx, text("new")); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
	f = opened(t, path)
	read := make(chan string)
	go func() {
		data, _ := os.ReadFile(path)
		read <- string(data)
	}()
	check(t, f.replace(t.Context(), text("new")))
	f.open.Close()
	if got := <-read; got != "new" {
		t.Errorf("the reader got %q", got)
	}
}

// TestAWriteThatBlocks is given up.
func TestAWriteThatBlocks(t *testing.T) {
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	defer w.Close()
	f := opened(t, "/proc/self/fd/"+strconv.Itoa(int(w.Fd())))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := f.replace(ctx, text(make([]byte, 1<<20))); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
}

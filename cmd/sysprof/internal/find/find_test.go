package find

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysprof/syscalltab/needs"
)

// root is a file system of processes that the test makes.
type root struct {
	t    *testing.T
	path string
}

const self = 99

func newRoot(t *testing.T) *root {
	r := &root{t, t.TempDir()}
	r.born(0)
	return r
}

func (r *root) write(name, text string) {
	r.t.Helper()
	file := filepath.Join(r.path, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// process makes a process. Its letter and threads are "S" and 1 but for zombies.
func (r *root) process(pid, parent int, comm, argument, exe string) {
	r.t.Helper()
	r.stat(pid, parent, comm, "S", 0, 1)
	if argument != "" {
		r.write(fmt.Sprint(pid, "/cmdline"), argument+"\x00-x\x00")
	}
	if exe != "" {
		os.Symlink(exe, filepath.Join(r.path, fmt.Sprint(pid), "exe"))
	}
}

func (r *root) stat(pid, parent int, comm, state string, flags, threads int) {
	r.write(fmt.Sprint(pid, "/stat"), fmt.Sprintf("%d (%s) %s %d 1 1 0 -1 %d 0 0 0 0 0 0 0 0 20 0 %d 0 4711 0\n", pid, comm, state, parent, flags, threads))
}

func (r *root) end(pid int) { os.RemoveAll(filepath.Join(r.path, fmt.Sprint(pid))) }

// born says what the last number was that was given out.
func (r *root) born(pid int) { r.write("loadavg", fmt.Sprintf("0.00 0.00 0.00 1/99 %d\n", pid)) }

func (r *root) finder(c Choice) *Finder {
	r.t.Helper()
	f, err := New(r.path, self, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func find(t *testing.T, f *Finder) []int {
	t.Helper()
	found, err := f.Find()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func demand(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: found %v, want %v", what, got, want)
	}
}

func named(t *testing.T, s string) Choice {
	t.Helper()
	n, err := ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return Choice{Names: []Name{n}}
}

func TestNames(t *testing.T) {
	r := newRoot(t)
	r.process(1, 0, "init", "/sbin/init", "/usr/lib/systemd/systemd")
	r.process(10, 1, "nginx", "nginx: master process /usr/sbin/nginx", "/usr/sbin/nginx")
	r.process(11, 10, "nginx", "nginx: worker process", "/usr/sbin/nginx (deleted)")
	r.process(12, 1, "a-very-long-nam", "/opt/a-very-long-name", "")
	r.process(13, 1, "evil\n) S 1", "x", "")
	r.process(14, 1, "bash", "-bash", "/bin/bash")
	r.process(15, 1, "", "", "")
	r.process(self, 14, "nginx", "nginx", "")
	r.process(100, self, "nginx", "nginx", "")
	r.stat(16, 2, "nginx", "S", 0x00208040, 1) // a thread of the kernel
	r.stat(17, 1, "nginx", "Z", 0, 1)
	r.stat(18, 1, "nginx", "Z", 0, 3) // only its first thread has ended
	r.write("20/stat", "20 (nginx")
	r.write("21/comm", "nginx\n")
	for _, test := range []struct {
		name string
		want []int
	}{
		{"nginx", []int{10, 11, 18}},
		{"/^nginx$/", []int{10, 11, 18}},
		{"/usr/sbin/nginx", []int{10, 11}},
		{"/NGINX/", nil},
		{"/(?i)NGINX|^init/", []int{1, 10, 11, 18}},
		{"systemd", []int{1}},
		{"a-very-long-name", []int{12}},
		{"a-very-long-nam", []int{12}},
		{"evil\n) S 1", []int{13}},
		{"/evil\n/", []int{13}},
		{"bash", []int{14}},
		{"/./", []int{1, 10, 11, 12, 13, 14, 18}},
		{"ngin", nil},
	} {
		demand(t, test.name, find(t, r.finder(named(t, test.name))), test.want...)
	}
	for _, bad := range []string{"", "/", "//", "/(/", "/a(/"} {
		if _, err := ParseName(bad); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTrees(t *testing.T) {
	r := newRoot(t)
	r.process(1, 0, "init", "", "")
	r.process(10, 1, "a", "", "")
	r.process(11, 10, "b", "", "")
	r.process(12, 11, "c", "", "")
	r.process(20, 1, "other", "", "")
	r.process(13, 12, "d", "", "")
	r.process(self, 12, "sysprof", "", "")
	r.process(100, self, "guard", "", "")
	f := r.finder(Choice{Trees: []int{10}})
	demand(t, "at first", find(t, f), 10, 11, 12, 13)
	demand(t, "again", find(t, f))
	r.process(14, 13, "e", "", "")
	demand(t, "one more", find(t, f), 14)
	demand(t, "of one that is gone", find(t, r.finder(Choice{Trees: []int{4711}})))
	r.stat(30, 31, "loop", "S", 0, 1)
	r.stat(31, 30, "loop", "S", 0, 1)
	demand(t, "a circle", find(t, r.finder(Choice{Trees: []int{30, 31}})), 30, 31)
}

func TestNewOnes(t *testing.T) {
	r := newRoot(t)
	r.process(10, 1, "nginx", "", "")
	for pid := 1000; pid < 1000+6*looksAtOld; pid++ {
		r.process(pid, 1, "idle", "", "")
	}
	r.born(10)
	f := r.finder(named(t, "nginx"))
	demand(t, "at first", find(t, f), 10)
	demand(t, "again", find(t, f))
	r.process(11, 10, "sh", "", "") // it will execute nginx
	demand(t, "nobody knows of it", find(t, f))
	r.born(11)
	demand(t, "not yet", find(t, f))
	r.process(11, 10, "nginx", "", "")
	demand(t, "it has executed its program", find(t, f), 11)
	r.end(11)
	r.born(12)
	demand(t, "it has ended", find(t, f))
	r.process(11, 1, "nginx", "", "")
	r.born(13)
	demand(t, "another has its number", find(t, f), 11)
	r.process(1500, 1, "nginx", "", "") // an old one executes another program
	var found []int
	for round := 0; len(found) == 0; round++ {
		if found = find(t, f); round > 7 {
			t.Fatal("it is never looked at again")
		}
	}
	demand(t, "an old one", found, 1500)
}

// TestFewLooks shows that a machine with many processes does not cost more than one with few.
func TestFewLooks(t *testing.T) {
	r := newRoot(t)
	for pid := 1; pid <= 10*looksAtOld; pid++ {
		if pid != self {
			r.process(pid, 1, "idle", "", "")
		}
	}
	r.born(1)
	var l looks
	p := proc{r.path}
	first, err := l.next(p)
	if err != nil || len(first) != 10*looksAtOld-1 {
		t.Fatalf("at first: %d, %v", len(first), err)
	}
	seen := make(map[int]bool)
	for range 10 {
		now, _ := l.next(p)
		if len(now) > looksAtOld {
			t.Fatalf("%d are looked at", len(now))
		}
		for _, pid := range now {
			seen[pid] = true
		}
	}
	if len(seen) != len(first) {
		t.Errorf("%d of %d have been looked at again", len(seen), len(first))
	}
}

const (
	id1 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	id2 = "0123456789abcdee0123456789abcdef0123456789abcdef0123456789abcdef"
)

// cgroups makes file systems of cgroups: one of version 2, and two of version 1.
func (r *root) cgroups() (v2 string) {
	v2 = filepath.Join(r.t.TempDir(), "cg roup")
	v1 := r.t.TempDir()
	escaped := strings.ReplaceAll(v2, " ", `\040`)
	r.write("self/mountinfo", strings.Join([]string{
		"1 2 0:1 / / rw - ext4 /dev/root rw",
		"31 23 0:28 / " + escaped + " rw,relatime shared:1 - cgroup2 cgroup2 rw",
		"32 23 0:29 / " + v1 + "/cpu rw - cgroup cgroup rw,cpu",
		"33 23 0:30 /in/side " + v1 + "/memory rw - cgroup cgroup rw,memory",
		"broken", " - cgroup", ""}, "\n"))
	group := func(folder string, pids ...int) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			r.t.Fatal(err)
		}
		var text strings.Builder
		for _, pid := range pids {
			fmt.Fprintln(&text, pid)
		}
		if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(text.String()), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	group(v2, 1)
	group(v2 + "/system.slice")
	group(v2+"/system.slice/a.service", 10, 0) // 0 is of another PID namespace
	group(v2+"/system.slice/a.service/sub", 11)
	group(v2+"/system.slice/a.service2", 12)
	group(v2+"/system.slice/docker-"+id1+".scope", 13)
	group(v2+"/kubepods/cri-containerd-"+id2+".scope", 14)
	group(v1+"/cpu", 1)
	group(v1+"/cpu/docker/"+id1, 15)
	group(v1 + "/memory")
	group(v1+"/memory/group", 16)
	threaded := v2 + "/threaded"
	if err := os.MkdirAll(filepath.Join(threaded, "cgroup.procs"), 0o755); err != nil { // it cannot be read
		r.t.Fatal(err)
	}
	os.WriteFile(filepath.Join(threaded, "cgroup.threads"), []byte("171\n172\n"), 0o644)
	r.write("171/status", "Name:\tx\nTgid:\t17\n")
	r.write("172/status", "Name:\tx\nTgid:\t17\n")
	for pid := 10; pid <= 17; pid++ {
		r.process(pid, 1, "x", "", "")
	}
	return v2
}

func TestGroups(t *testing.T) {
	r := newRoot(t)
	v2 := r.cgroups()
	for _, test := range []struct {
		group string
		want  []int
	}{
		{"/system.slice/a.service", []int{10, 11}},
		{"system.slice/a.service/", []int{10, 11}},
		{"/system.slice/a.service/sub/../sub", []int{11}},
		{v2 + "/system.slice/a.service", []int{10, 11}},
		{v2 + "/system.slice", []int{10, 11, 12, 13}},
		{id1, []int{13, 15}},
		{strings.ToUpper(id1[:20]), []int{13, 15}},
		{id2[:16], []int{14}},
		{"/docker/" + id1, []int{15}},
		{"/in/side/group", []int{16}}, // as it is called outside of the container
		{"/group", []int{16}},
		{"/threaded", []int{17}},
	} {
		f, err := New(r.path, self, Choice{Groups: []string{test.group}})
		if err != nil {
			t.Errorf("%s: %v", test.group, err)
			continue
		}
		demand(t, test.group, find(t, f), test.want...)
	}
	for group, says := range map[string]string{
		"/nosuch": "no cgroup", "/system.slice/a": "no cgroup", id1[:11]: "no cgroup", id1[:12]: "several containers",
		"ffffffffffff": "no cgroup of a container", "../../etc": "no cgroup", "a\nb": "no cgroup",
	} {
		if _, err := New(r.path, self, Choice{Groups: []string{group}}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", group, err, says)
		}
	}
	f := r.finder(Choice{Groups: []string{"/group"}})
	find(t, f)
	r.process(18, 1, "late", "", "")
	os.WriteFile(filepath.Join(f.groups.folders[0], "cgroup.procs"), []byte("16\n18\n"), 0o644)
	demand(t, "one that enters it later", find(t, f), 18)
	os.RemoveAll(f.groups.folders[0])
	demand(t, "a group that is gone", find(t, f))
	empty := newRoot(t)
	empty.write("self/mountinfo", "")
	if _, err := New(empty.path, self, Choice{Groups: []string{"/x"}}); err == nil || !strings.Contains(err.Error(), "not mounted") {
		t.Errorf("without cgroups: %v", err)
	}
}

// TestThisMachine finds a real process by its real names, and its child.
func TestThisMachine(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	pid := cmd.Process.Pid
	for deadline := time.Now().Add(needs.Patience()); ; time.Sleep(time.Millisecond) {
		f, err := New("/proc", 1<<30, named(t, "sleep"))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(find(t, f), pid) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not found by its name")
		}
	}
	f, _ := New("/proc", 1<<30, Choice{Trees: []int{os.Getpid()}})
	if found := find(t, f); !slices.Contains(found, pid) || !slices.Contains(found, os.Getpid()) || slices.Contains(found, 1) {
		t.Errorf("in the tree are %v, and not %d", found, pid)
	}
	f, _ = New("/proc", os.Getpid(), named(t, "sleep"))
	if slices.Contains(find(t, f), pid) {
		t.Error("its own child is found")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0\n"))
	f.Add([]byte("1 (a) b) S 0"))
	f.Add([]byte("0()\x00 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, ok := parseStat(data); ok && s.state < 'A' {
			t.Errorf("state %q", s.state)
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(`31 23 0:28 / /sys/fs/cg\040roup rw shared:1 - cgroup2 cgroup2 rw`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range parseMounts(data) {
			if m.at == "" || m.root == "" {
				t.Errorf("%q", m)
			}
		}
	})
}

// BenchmarkFind is a look at this machine's processes when nobody is new, and when somebody is.
func BenchmarkFind(b *testing.B) {
	for name, forget := range map[string]bool{"nobody new": false, "somebody new": true} {
		b.Run(name, func(b *testing.B) {
			n, _ := ParseName("nosuch")
			f, _ := New("/proc", 1<<30, Choice{Names: []Name{n}})
			f.Find()
			for b.Loop() {
				if forget {
					f.looks.lastBorn = 1
				}
				f.Find()
			}
			b.ReportMetric(float64(len(f.looks.all)), "processes")
		})
	}
}

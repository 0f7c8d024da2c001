package label

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sysprof/profile"
)

func TestTitles(t *testing.T) {
	for _, test := range []struct{ line, name, want string }{
		{"postgres: checkpointer \x00\x00\x00", "postgres", "checkpointer"},
		{"postgres: alice bench 127.0.0.1(4711) idle\x00", "postgres", "alice bench 127.0.0.1(4711) idle"},
		{"nginx: worker process", "nginx", "worker process"},
		{"/usr/bin/redis-server 127.0.0.1:6379\x00\x00", "redis-server", "127.0.0.1:6379"},
		{"systemd-journald-of-a-long-name: x", "systemd-journal", "x"}, // names have 15 bytes
		{"sleep\x0010\x00", "sleep", ""},
		{"sh\x00-c\x00sleep: 1\x00", "sh", ""},
		{"redis-server", "redis-server", ""},
		{"other: worker", "nginx", ""},
		{"", "nginx", ""}, {"nginx: ", "nginx", ""}, {": x", "nginx", ""}, {"a: b", "", ""},
		{"nginx: \xff", "nginx", "\ufffd"},
		{"nginx: " + strings.Repeat("ä", 100), "nginx", strings.Repeat("ä", mostTitle) + "…"},
	} {
		equal(t, test.line, title(test.line, test.name), test.want)
	}
}

func TestControlGroups(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for list, want := range map[string]string{
		"0::/user.slice/session-1.scope\n":           "/user.slice/session-1.scope",
		"0::/system.slice/docker-" + id + ".scope\n": "/system.slice/docker-0123456789ab.scope",
		"0::/\n": "/",
		"12:pids:/docker/" + id + "\n11:memory:/docker/" + id + "\n": "/docker/0123456789ab",
		"3:cpu,cpuacct:/\n2:name=systemd:/a.service\n0::/\n":         "/a.service",
		"0::/with:colon\n": "/with:colon",
		"":                 "", "nonsense": "", "\n\n:\n::": "",
	} {
		equal(t, list, controlGroup(list), want)
	}
}

func TestGroupsByUnknownFields(t *testing.T) {
	for _, list := range []string{"", "pid,", "latency", "nonsense", "PID"} {
		if _, err := None().Group(list); err == nil {
			t.Errorf("%q is a choice of fields", list)
		}
	}
	for _, condition := range []string{"", "comm", "=x", "nonsense=x", "latency=1"} {
		if _, err := None().Only([]string{condition}); err == nil {
			t.Errorf("%q is a condition", condition)
		}
	}
}

// TestWhoIsIt tells of this process and of a call of it.
func TestWhoIsIt(t *testing.T) {
	own := int32(os.Getpid())
	process := strings.TrimSpace(readFile(t, "/proc/self/comm"))
	file, err := os.Open("/etc/passwd")
	check(t, err)
	defer file.Close()
	for _, test := range []struct {
		by         string
		c          profile.Call
		values     []string
		who, named string
	}{
		{"errno,comm", profile.Call{Errno: int32(unix.EAGAIN)}, []string{"EAGAIN", process}, "EAGAIN, " + process, "EAGAIN, " + process},
		{"errno", profile.Call{}, []string{""}, "no error", "no error"},
		{"pid", profile.Call{}, []string{text(own)}, process + " (" + text(own) + ")", process},
		{"comm,pid", profile.Call{}, []string{process, text(own)}, process + " (" + text(own) + ")", process},
		{"tid", profile.Call{}, []string{text(own)}, process + " (" + text(own) + ")", process},
		{"tid,errno", profile.Call{TID: 1, Errno: int32(unix.EINTR)}, []string{"1", "EINTR"},
			process + " (" + text(own) + "), thread 1 " + strings.TrimSpace(readFile(t, "/proc/1/comm")) + ", EINTR",
			process + ", thread " + strings.TrimSpace(readFile(t, "/proc/1/comm")) + ", EINTR"},
		{"fd", profile.Call{Args: [6]uint64{uint64(file.Fd())}}, []string{"/etc/passwd"}, "/etc/passwd", "/etc/passwd"},
		{"fd,pid", profile.Call{Args: [6]uint64{^uint64(0)}}, []string{"", text(own)}, process + " (" + text(own) + "), no file", process + ", no file"},
		{"cgroup", profile.Call{}, []string{controlGroup(readFile(t, "/proc/self/cgroup"))}, controlGroup(readFile(t, "/proc/self/cgroup")), controlGroup(readFile(t, "/proc/self/cgroup"))},
	} {
		t.Run(test.by, func(t *testing.T) {
			p := None()
			grouping, err := p.Group(test.by)
			check(t, err)
			c := test.c
			c.PID, c.ABI, c.Nr = own, native, number(t, "read")
			if c.TID == 0 {
				c.TID = own
			}
			p.Entered(&c, true)
			v := p.Values(&c)
			key := grouping.Key(&v)
			grouping.Seen(1, &v)
			grouping.Refresh([]profile.Values{v})
			var got profile.Group
			grouping.Describe(&got, &key, &v)
			if d := cmp.Diff(profile.Group{Values: test.values, Who: test.who, Name: test.named}, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(strings.Split(test.by, ","), grouping.By()); d != "" {
				t.Error(d)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return string(data)
}

func text(n int32) string { return strconv.Itoa(int(n)) }

// TestGroupsAreNoLabels: what groups are told apart by does not tell samples of a profile apart.
func TestGroupsAreNoLabels(t *testing.T) {
	p, err := Parse("errno")
	check(t, err)
	grouping, err := p.Group("tid,errno")
	check(t, err)
	c := profile.Call{PID: 3, TID: 4, ABI: native, Nr: number(t, "read"), Errno: 11}
	v := p.Values(&c)
	labels := p.Labels(p.Chosen(v))
	if len(labels) != 1 || labels[0].Text != "EAGAIN" {
		t.Errorf("labels: %v", labels)
	}
	key := grouping.Key(&v)
	if labels = p.Labels(key); len(labels) != 2 {
		t.Errorf("what groups are told apart by: %v", labels)
	}
}

// TestTitleThatChanges is read again.
func TestTitleThatChanges(t *testing.T) {
	titles := newTitles()
	own := int32(os.Getpid())
	titles.take(own, "bench [local] idle in transaction")
	titles.take(own, "bench [local] UPDATE")
	equal(t, "a title that changes", titles.of(own), heldTitle{"bench [local] UPDATE", "bench [local]"})
	titles.take(own, "other")
	equal(t, "a title that changes altogether", titles.of(own), heldTitle{"other", ""})
	titles.read(own)
	titles.await(10 * time.Second)
	equal(t, "the title of a process that has none any more", titles.of(own), heldTitle{})
	titles.take(1<<30, "of one that has ended")
	titles.read(1 << 30)
	titles.await(10 * time.Second)
	equal(t, "the title of a process that has ended", titles.of(1<<30).now, "of one that has ended")
	for range 3 * mostPending {
		titles.read(1 << 30)
	}
	titles.await(10 * time.Second)
	equal(t, "what is pending in the end", len(titles.pending), 0)
}

// TestMemoForgets what a thread is called when it may be called otherwise.
func TestMemoForgets(t *testing.T) {
	p := None()
	_, err := p.Group("tid")
	check(t, err)
	var memo Memo
	own := int32(unix.Getpid())
	c := profile.Call{PID: own, TID: own, ABI: native, Nr: number(t, "read")}
	first := memo.Values(p, &c)
	if d := cmp.Diff(p.Values(&c), first); d != "" {
		t.Errorf("at first (-want +got):\n%s", d)
	}
	thread := p.Index(fieldThread)
	p.trackers[thread].(*threadNames).known[own] = p.names.number("otherwise")
	equal(t, "what is known is not looked up again", memo.Values(p, &c)[thread], first[thread])
	prctl := c
	prctl.Nr = number(t, "prctl")
	p.Returned(&prctl)
	p.trackers[thread].(*threadNames).known[own] = p.names.number("otherwise")
	equal(t, "after a prctl", p.text(thread, memo.Values(p, &c)[thread]), "otherwise")
	p.Ended(own, own)
	c.PID = 1 // who has the number now is a thread of another
	if got := memo.Values(p, &c); got[p.Index(fieldPID)] != 1 {
		t.Errorf("a number that another has got: %v", got)
	}
	c.PID = 2
	equal(t, "even if nobody said that the first one had ended", memo.Values(p, &c)[p.Index(fieldPID)], 2)
}

func TestOnly(t *testing.T) {
	p := None()
	only, err := p.Only([]string{"errno=EAGAIN", "errno=EIN*", "pid=7"})
	check(t, err)
	for _, test := range []struct {
		errno unix.Errno
		pid   int32
		want  bool
	}{{unix.EAGAIN, 7, true}, {unix.EINTR, 7, true}, {unix.EINTR, 8, false}, {unix.EIO, 7, false}, {0, 7, false}} {
		for range 2 { // the second time it is known
			v := p.Values(&profile.Call{PID: test.pid, Errno: int32(test.errno)})
			equal(t, test.errno.Error(), only.Keeps(&v), test.want)
		}
	}
	succeeded, err := p.Only([]string{"errno="})
	check(t, err)
	for errno, want := range map[int32]bool{0: true, 11: false} {
		v := p.Values(&profile.Call{Errno: errno})
		equal(t, "of those that succeeded", succeeded.Keeps(&v), want)
	}
	var none *Only
	equal(t, "no condition", none.Keeps(&profile.Values{}), true)
}

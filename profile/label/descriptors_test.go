package label

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

var (
	native = syscalltab.Native()[0]
	pid    = int32(os.Getpid())
)

func number(t testing.TB, name string) uint64 {
	t.Helper()
	nr, ok := native.Number(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return nr
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// descriptor gives the number of a connection or a listener.
func descriptor(t *testing.T, c any) int32 {
	t.Helper()
	file, err := c.(interface{ File() (*os.File, error) }).File()
	check(t, err)
	t.Cleanup(func() { file.Close() })
	return int32(file.Fd())
}

func open(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	check(t, err)
	return fd
}

func TestDescribeFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	for _, name := range []string{"plain", "with blanks", "a:[b]", "socket:[1]", "ünï"} {
		path := filepath.Join(dir, name)
		fd := open(t, path)
		equal(t, "a file", describe(pid, int32(fd), unknownEnd), path)
		check(t, os.Remove(path))
		equal(t, "a deleted file", describe(pid, int32(fd), unknownEnd), path)
		unix.Close(fd)
		equal(t, "what is closed", describe(pid, int32(fd), unknownEnd), "[closed]")
	}
	var fds [2]int
	check(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	equal(t, "a pipe", describe(pid, int32(fds[0]), unknownEnd), "pipe")
	equal(t, "its other end", describe(pid, int32(fds[1]), unknownEnd), "pipe")
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	check(t, err)
	equal(t, "an epoll", describe(pid, int32(epoll), unknownEnd), "eventpoll")
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	check(t, err)
	equal(t, "an inotify", describe(pid, int32(inotify), unknownEnd), "inotify")
	memfd, err := unix.MemfdCreate("scratch", unix.MFD_CLOEXEC)
	check(t, err)
	equal(t, "a memfd", describe(pid, int32(memfd), unknownEnd), "/memfd:scratch")
	for _, fd := range []int{fds[0], fds[1], epoll, inotify, memfd} {
		unix.Close(fd)
	}
	equal(t, "AT_FDCWD", describe(pid, unix.AT_FDCWD, unknownEnd), "[closed]")
	equal(t, "of nobody", describe(1<<22+1, 0, unknownEnd), "[closed]")
}

func TestDescribeSockets(t *testing.T) {
	t.Run("by itself", func(t *testing.T) {
		testSockets(t, func(fd int32, its end) string {
			what, ok := askSocket(pid, fd, its)
			if !ok { // as it is said of sockets without an address
				what = describe(pid, fd, its)
			}
			return what
		}, true)
	})
	t.Run("in the lists", func(t *testing.T) {
		testSockets(t, func(fd int32, its end) string {
			target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			check(t, err)
			return findSocket(pid, strings.Trim(strings.TrimPrefix(target, "socket:"), "[]"), its)
		}, false)
	})
}

// testSockets describes sockets, of clients of unix sockets too, if that is known.
func testSockets(t *testing.T, describe func(fd int32, its end) string, clients bool) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", at)
		check(t, err)
		defer l.Close()
		want := "tcp " + l.Addr().String()
		equal(t, "a listener", describe(descriptor(t, l), unknownEnd), want)
		client, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		defer client.Close()
		server, err := l.Accept()
		check(t, err)
		defer server.Close()
		port, clientPort := l.Addr().(*net.TCPAddr).Port, client.LocalAddr().(*net.TCPAddr).Port
		accepted := fmt.Sprintf("tcp :%d", port)
		equal(t, "a client", describe(descriptor(t, client), clientEnd), want)
		equal(t, "its server", describe(descriptor(t, server), acceptedEnd), accepted)
		if port < clientPort { // what is not known is guessed by that
			equal(t, "a client that was connected before", describe(descriptor(t, client), unknownEnd), want)
			equal(t, "its server", describe(descriptor(t, server), unknownEnd), accepted)
		} else {
			equal(t, "a client with the lower port", describe(descriptor(t, client), unknownEnd), fmt.Sprintf("tcp :%d", clientPort))
			equal(t, "its server", describe(descriptor(t, server), unknownEnd), "tcp "+client.LocalAddr().String())
		}
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	defer udp.Close()
	equal(t, "udp", describe(descriptor(t, udp), unknownEnd), "udp "+udp.LocalAddr().String())

	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	check(t, err)
	defer l.Close()
	equal(t, "a unix listener", describe(descriptor(t, l), unknownEnd), "unix "+path)
	client, err := net.Dial("unix", path)
	check(t, err)
	defer client.Close()
	if clients {
		equal(t, "a unix client", describe(descriptor(t, client), unknownEnd), "unix "+path)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	equal(t, "a pair", describe(int32(pair[0]), unknownEnd), "unix")
	unix.Close(pair[0])
	unix.Close(pair[1])
	unbound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(unbound)
	equal(t, "a socket without an address", describe(int32(unbound), unknownEnd), "socket")
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:18EB":                         "127.0.0.1:6379",
		"00000000:0000":                         "0.0.0.0:0",
		"0101A8C0:FFFF":                         "192.168.1.1:65535",
		"00000000000000000000000001000000:0050": "[::1]:80",
		"0000000000000000FFFF00000100007F:0050": "127.0.0.1:80",
		"B80D0120000000000000000001000000:01BB": "[2001:db8::1]:443",
	} {
		equal(t, text, address(text).String(), want)
	}
	for _, text := range []string{"", ":", "0100007F", "0100007F:", "0100007:18EB", "0100007F:18EBF", "zz00007F:18EB", "01007F:18EB",
		"0100007F0100007F:18EB", strings.Repeat("00", 1_000) + ":1"} {
		if got := address(text); got.IsValid() {
			t.Errorf("%.40q is an address: %v", text, got)
		}
	}
}

// traced follows calls that this process makes itself, as if it were traced.
type traced struct {
	t *testing.T
	*descriptors
}

func follow(t *testing.T) traced { return traced{t, newDescriptors(newNames()).(*descriptors)} }

// does makes call: what the label of its descriptor is while it runs.
func (tr traced) does(name string, fd int, and ...int) string {
	tr.t.Helper()
	c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(tr.t, name)}
	for i, arg := range append([]int{fd}, and...) {
		c.Args[i] = uint64(uint32(arg))
	}
	tr.entered(c, true)
	switch name {
	case "close":
		c.Errno = errno(unix.Close(fd))
	case "dup3":
		c.Errno = errno(unix.Dup3(fd, and[0], unix.O_CLOEXEC))
	case "close_range":
		c.Errno = errno(unix.CloseRange(uint(fd), uint(and[0]), 0))
	}
	label := tr.names.of(tr.value(c))
	tr.returned(c)
	return label
}

func errno(err error) int32 {
	if e, ok := err.(unix.Errno); ok {
		return int32(e)
	}
	return 0
}

func TestDescriptorsThatAreUsedAgain(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	tr := follow(t)
	fd := open(t, path("a"))
	equal(t, "a read", tr.does("read", fd), path("a"))
	equal(t, "another read", tr.does("read", fd), path("a"))
	equal(t, "a close", tr.does("close", fd), path("a"))
	if again := open(t, path("b")); again != fd {
		check(t, unix.Dup3(again, fd, unix.O_CLOEXEC))
		unix.Close(again)
	}
	equal(t, "a read of what has the number now", tr.does("read", fd), path("b"))

	other := open(t, path("c"))
	equal(t, "a read of another", tr.does("read", other), path("c"))
	equal(t, "a dup3 onto it", tr.does("dup3", other, fd), path("c"))
	equal(t, "a read of the copy", tr.does("read", fd), path("c"))
	equal(t, "a close_range", tr.does("close_range", fd, fd), "")
	again := open(t, path("d"))
	if again != fd {
		check(t, unix.Dup3(again, fd, unix.O_CLOEXEC))
		unix.Close(again)
	}
	equal(t, "a read after close_range", tr.does("read", fd), path("d"))
	unix.Close(fd)
	unix.Close(other)

	equal(t, "a call without descriptors", tr.does("getpid", fd), "")
	equal(t, "a call with a directory", tr.does("unlinkat", unix.AT_FDCWD), "")
	equal(t, "a call with AT_FDCWD", tr.does("statx", unix.AT_FDCWD), "")
	equal(t, "a call with -1", tr.does("read", -1), "")
	equal(t, "a poll", tr.does("ppoll", fd), "")
}

// TestAFileThatIsOpened is what the call works on that opens it, and a file without a path is that of the descriptor.
func TestAFileThatIsOpened(t *testing.T) {
	tr := follow(t)
	path := filepath.Join(t.TempDir(), "a")
	fd := open(t, path)
	defer unix.Close(fd)
	call := func(name string, ret int64, errno unix.Errno, args ...uint64) string {
		c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, name), Ret: ret, Errno: int32(errno)}
		copy(c.Args[:], args)
		tr.entered(c, true)
		defer tr.returned(c)
		return tr.names.of(tr.value(c))
	}
	equal(t, "an openat", call("openat", int64(fd), 0, 0xffffff9c), path)
	equal(t, "an openat2", call("openat2", int64(fd), 0, 0xffffff9c), path)
	equal(t, "an openat that fails", call("openat", -1, unix.ENOENT, 0xffffff9c), "")
	equal(t, "an fstatat", call("newfstatat", 0, 0, uint64(fd), 0, 0, unix.AT_EMPTY_PATH), path)
	equal(t, "an fstatat of a path", call("newfstatat", 0, 0, uint64(fd), 0, 0, 0), "")
	equal(t, "a statx", call("statx", 0, 0, uint64(fd), 0, unix.AT_EMPTY_PATH), path)
}

// TestAnAttemptOnAClosedDescriptor: what a closed number shows says nothing of who has it next.
func TestAnAttemptOnAClosedDescriptor(t *testing.T) {
	tr := follow(t)
	path := filepath.Join(t.TempDir(), "a")
	fd := open(t, path)
	unix.Close(fd)
	equal(t, "an fcntl of nothing", tr.does("fcntl", fd), "[closed]")
	if again := open(t, path); again != fd {
		check(t, unix.Dup3(again, fd, unix.O_CLOEXEC))
		unix.Close(again)
	}
	defer unix.Close(fd)
	equal(t, "a read", tr.does("read", fd), path)
}

// TestADescriptorThatIsBeingClosed may be another thread's new one before the close is seen to return.
func TestADescriptorThatIsBeingClosed(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	tr := follow(t)
	fd := open(t, a)
	equal(t, "a read", tr.does("read", fd), a)
	for _, wanted := range []bool{true, false} {
		closing := &profile.Call{PID: pid, TID: pid + 1, ABI: native, Nr: number(t, "close"), Args: [6]uint64{uint64(fd)}}
		tr.entered(closing, wanted)
		check(t, unix.Close(fd))
		if again := open(t, b); again != fd {
			check(t, unix.Dup3(again, fd, unix.O_CLOEXEC))
			unix.Close(again)
		}
		equal(t, "a read of what has the number now", tr.does("read", fd), b)
		tr.returned(closing)
		equal(t, "a read after that", tr.does("read", fd), b)
		a, b = b, a
	}
	unix.Close(fd)
}

// TestAThreadThatDiesClosing leaves nothing behind.
func TestAThreadThatDiesClosing(t *testing.T) {
	tr := follow(t)
	for _, name := range []string{"close", "close_range"} {
		tr.entered(&profile.Call{PID: pid, TID: pid + 1, ABI: native, Nr: number(t, name), Args: [6]uint64{77}}, true)
		tr.ended(pid, pid+1)
	}
	if table := tr.tables[pid]; len(table.changing) != 0 || table.closing != 0 || len(tr.now) != 0 {
		t.Errorf("%+v, %v", table, tr.now)
	}
}

// TestDescriptorsOfManyThreads: they open, read and close files, so that each gets numbers that another one
// has just given up, and every read is said to be of the file that it is of.
func TestDescriptorsOfManyThreads(t *testing.T) {
	dir := t.TempDir()
	d, l := follow(t), newThreadNames(newNames(), ofThread)
	const threads, rounds = 4, 300
	var all sync.WaitGroup
	for n := range threads {
		path := filepath.Join(dir, fmt.Sprint(n))
		check(t, os.WriteFile(path, nil, 0o600))
		tid := pid + 1 + int32(n)
		all.Go(func() {
			for range rounds {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Error(err)
					return
				}
				for _, name := range []string{"read", "read", "close"} {
					c := &profile.Call{PID: pid, TID: tid, ABI: native, Nr: number(t, name), Args: [6]uint64{uint64(fd)}}
					d.entered(c, true)
					if name == "close" {
						unix.Close(fd)
					}
					equal(t, name, d.names.of(d.value(c)), path)
					l.value(c)
					d.returned(c)
					l.returned(c)
				}
			}
			d.ended(pid, tid)
			l.ended(pid, tid)
		})
	}
	all.Wait()
	if known := l.(*threadNames).known; len(d.now) != 0 || len(known) != 0 {
		t.Errorf("%v and %v are left", d.now, known)
	}
}

func TestKnownValuesDoNotAllocate(t *testing.T) {
	p, err := Parse(strings.Join(Names(), ","))
	check(t, err)
	fd := open(t, filepath.Join(t.TempDir(), "a"))
	defer unix.Close(fd)
	c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "read"), Args: [6]uint64{uint64(fd)}}
	if n := testing.AllocsPerRun(100, func() {
		p.Entered(c, true)
		p.Values(c)
		p.Returned(c)
	}); n != 0 {
		t.Errorf("a call allocates %v times", n)
	}
}

// TestASocketThatIsBeingConnected is named by where it is connected to, though that has not answered.
func TestASocketThatIsBeingConnected(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(fd)
	// A listener whose queue is full answers nobody.
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(l)
	check(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(t, unix.Listen(l, 0))
	at, err := unix.Getsockname(l)
	check(t, err)
	first, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(first)
	check(t, unix.Connect(first, at))
	if err := unix.Connect(fd, at); err != unix.EINPROGRESS {
		t.Fatalf("connect: %v, want it to wait", err)
	}
	equal(t, "a socket", describe(pid, int32(fd), clientEnd), "tcp "+addressOf(at).String())
}

// TestDescriptorsOfTwoProcesses: what one of them does to a descriptor, it does to the other's, whatever call has made
// it.
func TestDescriptorsOfTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	tr := follow(t)
	const child = 1<<22 + 1
	shares := true
	tr.sharesWithParent = func(of int32) (int32, bool) { return pid, of == child && shares }
	fd := open(t, a)
	equal(t, "a read", tr.does("read", fd), a)
	equal(t, "the process keeps no names", tr.tables[pid].shared, false)
	other := open(t, b)
	defer unix.Close(other)
	dup := &profile.Call{PID: child, TID: child, ABI: native, Nr: number(t, "dup3"), Args: [6]uint64{uint64(other), uint64(fd)}}
	tr.entered(dup, false)
	check(t, unix.Dup3(other, fd, unix.O_CLOEXEC)) // by the child
	defer unix.Close(fd)
	equal(t, "a read after that", tr.does("read", fd), b)
	equal(t, "the child keeps no names", tr.tables[child].shared, true)
	tr.returned(dup)
	tr.returned(&profile.Call{PID: child, TID: child, ABI: native, Nr: number(t, "execve")}) // it has a table of its own now
	shares = false
	tr.entered(dup, false)
	equal(t, "the child keeps no names after its execve", tr.tables[child].shared, false)
}

// TestSameDescriptors: threads share them, until one has its own.
func TestSameDescriptors(t *testing.T) {
	tid := make(chan int32)
	var thread func()
	thread = func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this
		if int32(unix.Gettid()) == pid {
			defer runtime.UnlockOSThread() // but for the first one, which is kept while another goroutine starts
			again := make(chan bool)
			go func() { close(again); thread() }()
			<-again
			return
		}
		tid <- int32(unix.Gettid())
		<-tid
		if unix.Unshare(unix.CLONE_FILES) != nil {
			t.Error("unshare failed")
		}
		tid <- 0
		<-tid
	}
	go thread()
	other := <-tid
	defer close(tid)
	same, err := sameDescriptors(pid, other)
	needs.That(t, err == nil, "kcmp(2)", "run the tests where CONFIG_KCMP is set and nothing forbids it")
	equal(t, "a thread has the same", same, true)
	tid <- 0
	<-tid
	same, err = sameDescriptors(pid, other)
	check(t, err)
	equal(t, "it has unshared them", same, false)
	equal(t, "its parent", parentOf(pid), int32(os.Getppid()))
	_, shared := sharesWithParent(pid)
	equal(t, "its parent has the same", shared, false)
}

// TestASocketGetsItsAddressLater: nothing can be said of it before.
func TestASocketGetsItsAddressLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	tr := follow(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(fd)
	equal(t, "setsockopt", tr.does("setsockopt", fd), "socket")
	connect := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "connect"), Args: [6]uint64{uint64(fd)}}
	tr.entered(connect, true)
	check(t, unix.Connect(fd, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}))
	tr.returned(connect)
	equal(t, "a write to a connected socket", tr.does("write", fd), "tcp "+l.Addr().String())
}

// TestEndsOfConnections: whoever has the lower port, the one that was connected is named by whereto, and the one that was
// accepted by its own port, until the number is another's.
func TestEndsOfConnections(t *testing.T) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(listener)
	loopback := [4]byte{127, 0, 0, 1}
	check(t, unix.Bind(listener, &unix.SockaddrInet4{Addr: loopback}))
	check(t, unix.Listen(listener, 5))
	address, err := unix.Getsockname(listener)
	check(t, err)
	port := address.(*unix.SockaddrInet4).Port
	for _, lower := range []bool{false, true} {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		check(t, err)
		check(t, unix.SetsockoptInt(client, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		// Below or above the listener's, wherever there is room.
		for free := unix.Errno(unix.EADDRINUSE); free == unix.EADDRINUSE; {
			at := 1024 + (port+rand.IntN(60_000))%60_000
			if (at < port) != lower || at == port {
				continue
			}
			free, _ = unix.Bind(client, &unix.SockaddrInet4{Addr: loopback, Port: at}).(unix.Errno)
		}
		tr := follow(t)
		peer, own := fmt.Sprintf("tcp 127.0.0.1:%d", port), fmt.Sprintf("tcp :%d", port)
		connect := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "connect"), Args: [6]uint64{uint64(client)}}
		tr.entered(connect, true)
		check(t, unix.Connect(client, address))
		equal(t, "the call that connects", tr.names.of(tr.value(connect)), peer)
		tr.returned(connect)
		accept := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "accept4"), Args: [6]uint64{uint64(listener)}}
		tr.entered(accept, false)
		server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		check(t, err)
		accept.Ret = int64(server)
		tr.returned(accept)
		equal(t, "the client's end", tr.does("write", client), peer)
		equal(t, "the server's end", tr.does("read", server), own)
		equal(t, "the server's end again", tr.does("read", server), own)
		equal(t, "the client's, being closed", tr.does("close", client), peer)
		check(t, unix.Dup3(server, client, unix.O_CLOEXEC))
		if got := tr.does("read", client); lower == (got == own) {
			t.Errorf("a copy under the number that was the client's: %s", got) // it is guessed
		}
		unix.Close(client)
		unix.Close(server)
	}
}

func TestDescriptorsOfManyProcesses(t *testing.T) {
	tr := follow(t)
	read := func(pid int32, fd int) string {
		c := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "read"), Args: [6]uint64{uint64(fd)}}
		tr.entered(c, true)
		return tr.names.of(tr.value(c))
	}
	path := filepath.Join(t.TempDir(), "mine")
	fd := open(t, path)
	defer unix.Close(fd)
	equal(t, "mine", read(pid, fd), path)
	equal(t, "another's of the same number", read(1<<22+1, fd), "[closed]")
	equal(t, "mine again", read(pid, fd), path)
	tr.ended(pid, pid)
	check(t, os.Rename(path, path+"2"))
	equal(t, "that of the next process of the same id", read(pid, fd), path+"2")
	exec := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "execve")}
	check(t, os.Rename(path+"2", path))
	tr.returned(exec)
	equal(t, "that after an exec", read(pid, fd), path)
	tr.ended(pid, pid)
	tr.ended(1<<22+1, 1<<22+1)
	if len(tr.tables) != 0 || len(tr.now) != 0 {
		t.Errorf("%d tables and %d calls of processes that have ended are kept", len(tr.tables), len(tr.now))
	}
}

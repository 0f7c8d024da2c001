package capture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/stack/symbol"
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

// mapped brings a process's mappings up to date, as a stack does.
func mapped(t *testing.T, c *Capturer, pid int32) *space {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.process(pid)
	if p.stale() && !c.readMaps(p, pid, c.scratch(), &standing{tid: pid}) {
		t.Fatalf("the mappings of %d can't be read", pid)
	}
	return p.space
}

// code maps a page of a file, as dlopen does.
func code(t *testing.T, path string, prot int) (memory []byte, addr uint64) {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer file.Close()
	memory, err = unix.Mmap(int(file.Fd()), 0, os.Getpagesize(), prot, unix.MAP_PRIVATE)
	check(t, err)
	t.Cleanup(func() { unix.Munmap(memory) })
	_, err = fmt.Sscanf(fmt.Sprintf("%p", memory), "0x%x", &addr)
	check(t, err)
	return memory, addr
}

// copyOfSelf is an ELF file that nobody else has mapped.
func copyOfSelf(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	check(t, err)
	path := filepath.Join(t.TempDir(), "lib.so")
	check(t, os.WriteFile(path, program, 0o700))
	return path
}

func TestMapsAreReadAgainWhenCodeIsMapped(t *testing.T) {
	c := New(false, 0)
	defer c.Close()
	before := mapped(t, c, pid)
	done := func(name string, errno int32, args ...uint64) {
		call := &profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, name), Errno: errno}
		copy(call.Args[:], args)
		c.Finished(call)
	}
	path := copyOfSelf(t)
	_, addr := code(t, path, unix.PROT_READ|unix.PROT_EXEC)
	size := uint64(os.Getpagesize())

	done("mmap", 0, 0, size, unix.PROT_READ|unix.PROT_WRITE)
	done("read", 0, 0, size, unix.PROT_EXEC)
	done("mmap", 12, 0, size, unix.PROT_EXEC)
	done("munmap", 0, 0x1000, size)
	done("execve", 2)
	if mapped(t, c, pid) != before {
		t.Error("the mappings were read again, and no call had changed what is executable")
	}
	if _, ok := before.Mapping(addr); ok {
		t.Error("a space has changed")
	}
	done("mmap", 0, 0, size, unix.PROT_READ|unix.PROT_EXEC)
	after := mapped(t, c, pid)
	m, ok := after.Mapping(addr)
	if !ok || m.Path != path {
		t.Fatalf("what was mapped is not known: %+v", m)
	}
	for _, name := range []string{"mprotect", "pkey_mprotect", "munmap", "mremap", "execve", "execveat"} {
		done(name, 0, addr, size, unix.PROT_EXEC)
		if !c.processes[pid].stale() {
			t.Errorf("%s changes nothing", name)
		}
		if mapped(t, c, pid) != after {
			t.Errorf("after a %s that changed nothing the space is another one", name)
		}
	}
}

func TestForkedProcessesShareASpace(t *testing.T) {
	// The shell waits for a copy of itself, which waits for a program.
	shell := exec.Command("/bin/sh", "-c", "(sleep 1000; :) & wait; :")
	shell.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	check(t, shell.Start())
	t.Cleanup(func() {
		unix.Kill(-shell.Process.Pid, unix.SIGKILL)
		shell.Wait()
	})
	parent := int32(shell.Process.Pid)
	child := childOf(t, parent)
	program := childOf(t, child)
	eventually(t, "sleep is executed", func() bool {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", program))
		return string(comm) == "sleep\n"
	})

	c := New(false, 0)
	defer c.Close()
	if mapped(t, c, parent) != mapped(t, c, child) {
		t.Error("a process and its copy have different spaces")
	}
	if mapped(t, c, program) == mapped(t, c, child) {
		t.Error("an executed program has the space of who executed it")
	}
	c.Ended(parent)
	if c.processes[parent] != nil || c.processes[child] == nil {
		t.Error("the wrong process is forgotten")
	}
}

func childOf(t *testing.T, pid int32) (child int32) {
	t.Helper()
	eventually(t, "there is a child", func() bool {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		n, err := strconv.Atoi(strings.TrimSpace(string(list)))
		child = int32(n)
		return err == nil
	})
	return child
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// standing is a thread at an entry-stop with given registers.
type standing struct {
	tid    int32
	ip     uint64
	regs   [33]uint64
	local  unix.Iovec
	remote unix.RemoteIovec
}

func (s *standing) Registers(into *[33]uint64) bool {
	*into = s.regs
	return true
}

// ReadMemory is as raw as an engine's, so that benchmarks measure what is around it.
func (s *standing) ReadMemory(p []byte, addr uint64) int {
	s.local.Base = unsafe.SliceData(p)
	s.local.SetLen(len(p))
	s.remote = unix.RemoteIovec{Base: uintptr(addr), Len: len(p)}
	n, _, errno := syscall.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(s.tid),
		uintptr(unsafe.Pointer(&s.local)), 1, uintptr(unsafe.Pointer(&s.remote)), 1, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func TestMapsOfNobody(t *testing.T) {
	c := New(false, 0)
	defer c.Close()
	if id := c.Stack(&profile.Call{PID: 1<<22 + 1, TID: 1<<22 + 1, ABI: native}, 0, 0, &standing{}); id != 0 {
		t.Errorf("its stack is number %d", id)
	}
}

func TestOnlyExecutableMappingsAreKept(t *testing.T) {
	const maps = "00400000-00401000 r--p 00000000 08:01 7 /bin/x\n" +
		"00401000-00402000 r-xp 00001000 08:01 7 /bin/x\n" +
		"00402000-00403000 rw-p 00000000 00:00 0 [heap]\n" +
		"00403000-00404000 --xp 00000000 00:00 0 \n" +
		"00404000-00405000 rwxs 00000000 00:00 0 /dev/zero (deleted)"
	const want = "00401000-00402000 r-xp 00001000 08:01 7 /bin/x\n" +
		"00403000-00404000 --xp 00000000 00:00 0 \n" +
		"00404000-00405000 rwxs 00000000 00:00 0 /dev/zero (deleted)"
	equal(t, "kept", string(executable([]byte(maps))), want)
	for _, odd := range []string{"", "\n", "x", "x y", "a rwx", "\n\n\n"} {
		executable([]byte(odd))
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	want := bytes.Repeat([]byte("0123456789"), 20_000)
	check(t, os.WriteFile(path, want, 0o600))
	got, err := readFile(path, nil)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were read of %d", len(got), len(want))
	}
	check(t, os.WriteFile(path, []byte("short"), 0o600))
	got, err = readFile(path, got[:0])
	check(t, err)
	equal(t, "read into what is there", string(got), "short")
	if _, err := readFile(path+"x", nil); err == nil {
		t.Error("a missing file was read")
	}
}

// TestOddRegisters: whatever a thread has in its registers, there is a stack, and it is named.
func TestOddRegisters(t *testing.T) {
	for _, framePointers := range []bool{false, true} {
		c := New(framePointers, 0)
		var ids []uint32
		for _, at := range []uint64{0, 1, 2, 0x1000, 1<<47 - 1, 1 << 47, ^uint64(0), ^uint64(0) - 1} {
			thread := &standing{tid: pid, ip: at}
			for i := range thread.regs {
				thread.regs[i] = at
			}
			if id := take(c, &profile.Call{PID: pid, TID: pid, ABI: native}, thread); id != 0 {
				ids = append(ids, id)
			}
		}
		for id, locations := range c.Locate(context.Background(), append(ids, 0, 1<<31), symbol.Options{}) {
			if len(locations) == 0 {
				t.Errorf("stack %d is empty", id)
			}
			for _, l := range locations {
				if len(l.Lines) == 0 || l.Lines[0].Function == "" {
					t.Errorf("stack %d has a location without a function: %+v", id, l)
				}
			}
		}
		c.Close()
	}
}

// TestFilesOutliveTheirNames: what was mapped is read, not what has its name now.
func TestFilesOutliveTheirNames(t *testing.T) {
	needs.SysAdmin(t) // for /proc/PID/map_files
	path := copyOfSelf(t)
	_, addr := code(t, path, unix.PROT_READ|unix.PROT_EXEC)
	c := New(false, 0)
	defer c.Close()
	m, ok := mapped(t, c, pid).Mapping(addr)
	if !ok {
		t.Fatal("the mapping is not known")
	}
	check(t, os.Remove(path))
	check(t, os.WriteFile(path, []byte("something else"), 0o700))
	file, err := c.files.open(m)
	check(t, err)
	defer file.(interface{ Close() error }).Close()
	start := make([]byte, 4)
	_, err = file.ReadAt(start, 0)
	check(t, err)
	equal(t, "its first bytes", string(start), "\x7fELF")
}

// TestSpacesOfAProcessThatMakesCode are as many as there are changes, and are not all kept.
func TestSpacesOfAProcessThatMakesCode(t *testing.T) {
	const pages = 64
	size := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, pages*size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	check(t, err)
	defer unix.Munmap(memory)
	c := New(false, 0)
	defer c.Close()
	mapped(t, c, pid)
	own := c.mapsBytes // a static program has few mappings, whose list is short
	others := strings.Repeat("as much as others have", (maxMapsBytes-pages/2*own)/len("as much as others have"))
	c.byMaps[others] = nil
	c.mapsBytes += len(others)
	most := 0
	for i := range pages {
		page := memory[i*size : (i+1)*size]
		check(t, unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC))
		c.Finished(&profile.Call{PID: pid, TID: pid, ABI: native, Nr: number(t, "mprotect"), Args: [6]uint64{2: unix.PROT_EXEC}})
		mapped(t, c, pid)
		check(t, unix.Mprotect(page, unix.PROT_NONE))
		if c.mapsBytes > maxMapsBytes {
			t.Fatalf("%d bytes of maps are kept", c.mapsBytes)
		}
		most = max(most, len(c.byMaps))
	}
	kept := 0
	for text := range c.byMaps {
		kept += len(text)
	}
	if kept != c.mapsBytes || most > pages {
		t.Errorf("%d bytes of maps are kept, %d are counted, in up to %d spaces", kept, c.mapsBytes, most)
	}
}

// TestAStackOutlivesItsSpace, which is large, and not kept for it.
func TestAStackOutlivesItsSpace(t *testing.T) {
	if !supported {
		t.Skip("there are no stacks on this architecture")
	}
	c := New(false, 0)
	defer c.Close()
	call, at := waiting(t)
	id := take(c, call, at)
	gone := make(chan struct{})
	m, ok := c.processes[call.PID].space.Mapping(at.ip - 1)
	if !ok {
		t.Fatal("the thread stands nowhere")
	}
	runtime.AddCleanup(m, func(gone chan struct{}) { close(gone) }, gone) // of all that m is part of
	m = nil
	c.Ended(call.PID)
	clear(c.byMaps)
	eventually(t, "the space is freed", func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	located := c.Locate(context.Background(), []uint32{id}, symbol.Options{})[id]
	if len(located) < 3 {
		t.Fatalf("a stack of %d frames", len(located))
	}
	for _, l := range located {
		if strings.HasPrefix(l.Lines[0].Function, "[") || l.Mapping.File == "" || l.Address < l.Mapping.Start || l.Address >= l.Mapping.Limit {
			t.Errorf("%+v in %+v", l, l.Mapping)
		}
	}
}

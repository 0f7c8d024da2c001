package raw

import (
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MapShared returns a T of zeros in memory of its own, which children that are forked share with this process.
// A T has no pointers: the garbage collector does not look there.
func MapShared[T any]() (*T, error) {
	pages, err := unix.Mmap(-1, 0, mappedSize[T](), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(pages))), nil
}

// UnmapShared gives back what MapShared returned.
func UnmapShared[T any](p *T) {
	unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(p)), mappedSize[T]()))
}

func mappedSize[T any]() int {
	var t T
	page := unix.Getpagesize()
	return max(int(unsafe.Sizeof(t))+page-1, page) / page * page
}

// Futex is a word in memory that a child shares, for which either side can wait (futex(2)). Unlike a pipe or a
// SIGSTOP it leaves nothing behind that a program which the child executes could see.
type Futex struct{ word atomic.Uint32 }

// The operations of futex(2). The word is shared between processes: no FUTEX_PRIVATE_FLAG.
const (
	futexWait = 0
	futexWake = 1
)

// Load returns the word.
func (f *Futex) Load() uint32 { return f.word.Load() }

// Set sets the word and wakes the threads that wait for that.
func (f *Futex) Set(value uint32) {
	f.word.Store(value)
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&f.word)), futexWake, 1, 0, 0, 0)
}

// Wait waits while the word has a value, at most for the time given. It may return early.
func (f *Futex) Wait(value uint32, atMost time.Duration) {
	ts := unix.NsecToTimespec(int64(atMost))
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&f.word)), futexWait, uintptr(value),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// ChildSet is Set in a forked child.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (f *Futex) ChildSet(value uint32) {
	word := unsafe.Pointer(f)
	*(*uint32)(word) = value
	syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWake, 1, 0, 0, 0)
}

// ChildWait waits in a forked child until the word has another value.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (f *Futex) ChildWait(value uint32) {
	word := unsafe.Pointer(f)
	for *(*uint32)(word) == value {
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWait, uintptr(value), 0, 0, 0)
	}
}

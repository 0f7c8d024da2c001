package place

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// life has the guard hear of the death of a tracer thread while that dies. That its process has ended is known only when
// all of its threads are gone and its memory has been given back, some milliseconds after the kernel has let the tracees
// go (kernel/exit.c, exit_notify): until the guard has restored them they are pinned then, nobody hides that, and what
// they create stays so.
//
// The word is a robust futex (get_robust_list(2), Documentation/locking/robust-futexes.rst) that the thread seems to own.
// The kernel wakes who waits for one when its owner gives up its memory (exit_mm), before it lets the tracees go.
type life struct {
	word atomic.Uint32 // 0: nobody is pinned yet; unwatched; or who owns it

	// What the kernel reads: struct robust_list_head, and the one entry of the list.
	head struct {
		next    uintptr
		offset  int64 // of the word, from an entry
		pending uintptr
	}
	entry struct{ next uintptr }
}

// include/uapi/linux/futex.h
const (
	futexWait      = 0 // between processes: without FUTEX_PRIVATE_FLAG
	futexWake      = 1
	futexWaiters   = 0x80000000 // of a word: who lets go of it has to wake somebody
	futexOwnerDied = 0x40000000
)

// unwatched is the word where the kernel does not tell of the death of a thread.
const unwatched = futexWaiters

// watch has the guard hear of the death of the calling thread, unless it does of another one's. It is to be called before
// a thread is pinned.
func (l *life) watch() {
	if !l.word.CompareAndSwap(0, futexWaiters|uint32(unix.Gettid())) {
		return
	}
	l.head.next = uintptr(unsafe.Pointer(&l.entry))
	l.head.offset = int64(uintptr(unsafe.Pointer(&l.word)) - uintptr(unsafe.Pointer(&l.entry)))
	l.entry.next = uintptr(unsafe.Pointer(&l.head))
	if _, _, errno := syscall.RawSyscall(unix.SYS_SET_ROBUST_LIST, uintptr(unsafe.Pointer(&l.head)), unsafe.Sizeof(l.head), 0); errno != 0 {
		l.word.Store(unwatched)
	}
	// The guard waits for another value for as long as nobody is pinned.
	syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&l.word)), futexWake, 1, 0, 0, 0)
}

// unwatch says that the calling thread is going to end, and has nobody pinned any more. The next one that pins a thread is
// watched instead.
func (l *life) unwatch() {
	if own := futexWaiters | uint32(unix.Gettid()); l.word.Load() == own {
		syscall.RawSyscall(unix.SYS_SET_ROBUST_LIST, 0, unsafe.Sizeof(l.head), 0)
		l.word.CompareAndSwap(own, 0)
	}
}

// Package raw has one function for each ptrace request and each system call that the engine makes by number.
// A function makes its call and says what came back. It decides nothing, keeps nothing, and knows no tracee.
// What a request is for, and what its failure means, stands with the caller.
//
// # Preconditions
//
// A ptrace request is accepted only from the thread that seized the tracee, and, but for PTRACE_SEIZE and
// PTRACE_INTERRUPT, only while the tracee is in a ptrace-stop. It answers ESRCH otherwise, and if the tracee has
// died meanwhile.
//
// The requests are raw system calls but for PTRACE_SEIZE: no other request blocks, and the scheduler's bookkeeping around a blocking
// call would cost a tenth of it. What blocks and is raw (Wait) keeps the caller's P: see there.
//
// A pointer that a raw system call gets must not be to a stack that can move. The functions that take one make
// it escape (//go:uintptrescapes), so what they are given should be a part of something that lives long, or the
// call allocates.
//
// # Forked children
//
// Fork returns twice. What runs in the child must not grow its stack, allocate, take a lock, write a pointer to
// the heap, or be instrumented by the race detector: see Fork. The functions whose names begin with Child are for
// it.
//
// # What a request costs
//
// Measured on Linux 6.18 in a virtual machine: PTRACE_GETREGS 0.37 µs, PTRACE_GET_SYSCALL_INFO 0.25,
// PTRACE_PEEKDATA 0.38 a word, process_vm_readv of 4 KB 0.54.
package raw

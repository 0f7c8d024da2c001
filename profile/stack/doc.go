// Package stack turns a stopped thread's registers and stack memory into return
// addresses.
//
// It needs no ptrace and no privileges: the caller hands in registers, a way to
// read memory, the text of /proc/PID/maps and a way to open the mapped files, so
// everything runs as well on recorded memory. It gives addresses only; package
// symbol has the names.
//
// How a frame's caller is found, by what the frame's code belongs to:
//
//  1. Go code: the frame's size from the program's function table (package
//     pclntab). Frame pointers would lose the caller of the frameless stub that makes the
//     system calls. The places where the Go runtime switches stacks are known by
//     name (golang.go).
//  2. Anything else with unwind information: .eh_frame, through the binary search
//     table of .eh_frame_hdr, decoded for one address at a time (ehframe.go,
//     cfi.go) and kept as a row (row.go).
//     Where that has nothing for an address, .debug_frame (debugframe.go), also that of a debug file (separate.go), which is
//     found as package symbol finds it, but for debuginfod's: those are fetched when names are looked for.
//  3. Code of a file that has neither (musl's libc, programs built without tables, hand-written assembly): it is followed
//     to where it returns (package flow, follow.go), or, if it never does, from where its function begins, which a
//     symbol says, or the call that is found on the stack, by what it calls or by what the code in front of it has taken
//     the address of. The result is a row as any other. What returns from a
//     signal is known by its instructions. A return address that was found like this has to stand behind a call.
//     Last comes the frame pointer, if what it leads to does so, too; not on ARM64, where it may be the caller's still.
//  4. Code made at run time: the frame pointer, believed only if it leads up the same stack to an address in
//     executable memory. Such code is not followed: its makers keep frame pointers, or leave functions by ways
//     that no ABI knows; it would have to be read from the process at each stop, since it changes; and no row of it
//     could be kept. Only what has nothing left to do but to return is left that way (atonce.go).
//
// The frame pointer comes after following, and not before, where there is a file: code that is built without tables is
// built without frame pointers as well, as musl is, and has anything in the register, which now and then looks like one.
//
// What is no call is known by its code: what signal handlers return to, what makecontext(3) begins a stack with, and a
// call of a pointer that leads nowhere, which a signal has interrupted (interrupted.go). Whether a stack has ended where
// stacks begin, or nothing says how to go on, is told apart (ends.go).
//
// The types, from the longest-lived down:
//
//   - Objects: the files' unwind tables. One for the whole program, shared.
//   - Space: the executable mappings of one address space. Made anew when they
//     change; shared by the threads in it.
//   - Unwinder: decoded rows and scratch memory. One for each goroutine that unwinds,
//     for all the address spaces that it looks at.
//   - Window: the piece of stack that the caller has read. One for each Unwinder.
//   - Cache and Stacks: whole stacks by (ip, sp), verified against the words they
//     were made from, and numbered, so that equal stacks are one number.
//
// What it does not do: 32-bit programs other than those of i386, and of these no Go; ARM exception tables, interpreters'
// frames. Whatever a file or a process's memory says, the result
// is at worst a wrong stack: all offsets are checked, work per frame is capped, memory
// is bounded.
package stack

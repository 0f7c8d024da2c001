package syscalltab

// i386's ipc(2) and socketcall(2) are many calls behind one number: their first argument says which (ipc/syscall.c
// and net/socket.c of the kernel). Here each of these subcalls is a call of its own, as in strace, with a number
// that no program can give to the kernel, since that takes 32 bits:
//
//	1<<32 + 256 × the number of ipc or socketcall + the subcall
//
// Many of them also exist as calls with numbers of the ordinary kind, so that there are two calls of one name.
const (
	subcallBit   = 1 << 32
	subcallShift = 8

	i386Socketcall = 102
	i386IPC        = 117

	pageSize = 4096 // no program has anything in the page of the null pointer
)

// Subcalls stand in i386's table where strace has them, behind the ordinary calls: those of socketcall from
// subcallIndex on, those of ipc from ipcSubcallIndex on. The generator has the same constants.
const (
	subcallIndex    = 500
	socketSubcalls  = 21
	ipcSubcallIndex = subcallIndex + socketSubcalls
	ipcSubcalls     = 25
)

// Demultiplex returns the number under which a call is counted that has entered the kernel with number nr: that of
// the subcall for ipc and socketcall of i386, which keep their own number if the subcall is not known; nr for all
// others. The arguments are those of the registers, and those of ipc and socketcall stay what they are: the subcall
// is the first one, and what it is told comes behind that, or stands in memory.
func (a ABI) Demultiplex(nr uint64, args *[6]uint64) uint64 {
	if a != I386 || nr != i386IPC && nr != i386Socketcall {
		return nr
	}
	call := args[0] & 0xffffffff
	if nr == i386IPC {
		call &= 0xffff // the upper half is the version of the subcall's arguments
	} else if args[1]&0xffffffff < pageSize {
		return nr // its arguments cannot be read: the call fails before it is any of the subcalls
	}
	if call < 1<<subcallShift {
		if subcall := subcallBit | nr<<subcallShift | call; a.Known(subcall) {
			return subcall
		}
	}
	return nr
}

// KernelNumber is the inverse of Demultiplex: the number with which a call enters the kernel that is counted as nr.
func (a ABI) KernelNumber(nr uint64) uint64 {
	if a.isSubcall(nr) {
		return nr &^ subcallBit >> subcallShift
	}
	return nr
}

// isSubcall reports whether a call is one of many behind the number of another.
func (a ABI) isSubcall(nr uint64) bool {
	return a == I386 && nr >= subcallBit && a.Known(nr)
}

// subcallIndexOf is index for the numbers of subcalls.
func subcallIndexOf(nr uint64) (i uint64, ok bool) {
	call := nr & (1<<subcallShift - 1)
	switch (nr - subcallBit) >> subcallShift {
	case i386Socketcall:
		return subcallIndex + call, call < socketSubcalls
	case i386IPC:
		return ipcSubcallIndex + call, call < ipcSubcalls
	}
	return 0, false
}

// subcallNumber is the inverse of subcallIndexOf.
func subcallNumber(i uint64) uint64 {
	if i < ipcSubcallIndex {
		return subcallBit | i386Socketcall<<subcallShift | (i - subcallIndex)
	}
	return subcallBit | i386IPC<<subcallShift | (i - ipcSubcallIndex)
}

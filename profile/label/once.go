package label

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// These say of one call what trackers say of all: for those that are looked at one by one, while their thread stands still at
// the call, or is in it.

// Descriptor says what the descriptor is that a call works on: a path, "pipe", "tcp 127.0.0.1:6379". It reports false if the
// call works on none, or that is closed.
//
// That may be the directory that a path begins at.
func Descriptor(c *profile.Call) (what string, ok bool) {
	fd := int32(c.Args[0])
	if fd < 0 || !takesFD().Of(c.ABI, c.Nr) && !takesDirectory(c) {
		return "", false
	}
	what = describe(c.PID, fd, unknownEnd)
	return shown(what), what != closed
}

// takesDirectory reports whether a call's first argument is the directory that the path in its second one begins at.
func takesDirectory(c *profile.Call) bool {
	return slices.Contains(c.ABI.Paths(c.Nr), syscalltab.PathArgument{Directory: 0, Path: 1})
}

// Comm is what a thread is called, or its process if it is the first one; "" if it has ended.
func Comm(tid int32) string {
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tid))
	return shown(string(bytes.TrimSuffix(comm, []byte("\n"))))
}

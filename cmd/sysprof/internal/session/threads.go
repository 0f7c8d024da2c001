package session

import (
	"fmt"
	"os"
	"strings"

	"sysprof/profile"
	"sysprof/profile/label"
)

// longest says which calls in flight are named by whose they are: the longest of each kind, so that of ten thousand threads that are
// detached at once only few are asked what they are called.
type longest map[flightKind]int64

type flightKind struct {
	profile.Key
	why     profile.Ending
	resumed bool
}

// is reports whether a call is the longest of its kind so far.
func (l longest) is(f *profile.InFlight) bool {
	kind := flightKind{profile.Key{ABI: f.ABI, Nr: f.Nr}, f.Why, f.Resumed}
	if ns, ok := l[kind]; ok && f.SoFarNs <= ns {
		return false
	}
	l[kind] = f.SoFarNs
	return true
}

// threadName is what a thread is called, "" if it is no more.
func threadName(f *profile.InFlight) string {
	if f.Why != profile.Detached {
		return ""
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/comm", f.PID, f.TID))
	return label.Shown(strings.TrimSuffix(string(comm), "\n"))
}

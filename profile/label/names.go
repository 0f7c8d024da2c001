package label

import (
	"strings"
	"sync"
	"sync/atomic"
)

// names gives out numbers for names, 0 for none. It is safe for concurrent use.
type names struct {
	mu      sync.RWMutex
	byName  map[string]uint32
	ordered []string
	most    int  // that are kept
	others  bool // there were more

	// epoch counts what may have given a thread another name, or another process its number: what a Memo remembers is of one epoch.
	epoch atomic.Uint64
}

// changed begins another epoch.
func (n *names) changed() { n.epoch.Add(1) }

const (
	// maxNames bounds how many names are kept: a program may open one file after the other. maxGroupNames does so where they tell
	// groups apart, of which small ones make room for others.
	maxNames      = 20_000
	maxGroupNames = 100_000

	other = "[other]" // stands for all names beyond those

	// maxNameBytes is how long a name is at most. Pyroscope refuses longer values of labels
	// (validation.max-length-label-value in its pkg/validation/limits.go).
	maxNameBytes = 2048
)

// Shown is a name as a label is printed.
func Shown(name string) string { return shown(name) }

// shown is a name as it can be a label: UTF-8, and the end of one that is too long.
func shown(name string) string {
	name = strings.ToValidUTF8(name, "\ufffd")
	const cut = "[…]"
	if len(name) > maxNameBytes {
		name = cut + strings.ToValidUTF8(name[len(name)-maxNameBytes+len(cut):], "")
	}
	return name
}

func newNames() *names {
	return &names{most: maxNames, ordered: []string{"", other}, byName: map[string]uint32{"": 0, other: 1}}
}

// number returns the number of a name.
func (n *names) number(name string) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.byName[name]; ok {
		return known
	}
	if len(n.ordered) >= n.most {
		n.others = true
		return n.byName[other]
	}
	known := uint32(len(n.ordered))
	n.ordered = append(n.ordered, shown(name))
	n.byName[name] = known
	return known
}

// lost says how many names are kept at most, and whether there were more.
func (n *names) lost() (kept int, lost bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.most, n.others
}

// of returns the name of a number.
func (n *names) of(number uint32) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.ordered[number]
}

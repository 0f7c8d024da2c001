package page

import (
	"cmp"
	"slices"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/stack/symbol"
	"sysprof/report"
)

// Stacks are what a flame graph is made of: the samples of a profile.
type Stacks struct {
	Samples   []cost.Sample
	Find      func(id uint32) []*symbol.Location // the stack that a sample names, innermost first
	Computing func(profile.Values) bool          // whether the threads of a sample computed in their calls
}

// maxFrames is how many frames a flame graph has at most. Those that are left out are narrower than any that stays: of
// 30,000 frames hardly any of the smallest is as wide as a pixel before it is zoomed to.
const maxFrames = 30_000

// flame is a tree of frames in preorder, so that the frames above one are the nearest ones before it of lesser depths.
type flame struct {
	Names     []string `json:"names"`
	Files     []string `json:"files"` // of the functions; the first is "", for those of which it is not known
	Of        []int    `json:"of"`    // the place of each name's file
	Name      []int    `json:"n"`     // of each frame
	Depth     []int    `json:"d"`
	Calls     []uint64 `json:"c"`
	Ns        []int64  `json:"l"` // latency
	Computing []int64  `json:"w"` // latency of calls that did not wait
	LeftOut   int      `json:"out"`
}

// frame is a function below others, on the way to a flame.
type frame struct {
	name, depth int
	children    map[int]*frame // by name
	calls       uint64
	ns          int64
	computing   int64
	share       float64 // of all, see leaveOut
}

// function tells names apart, as functions of several files may have the same.
type function struct{ name, file string }

// flame adds the samples up.
func (s *Stacks) flame() *flame {
	out := &flame{Files: []string{""}}
	names, files := make(map[function]int), map[string]int{"": 0}
	intern := func(name, file string) int {
		f := function{name, file}
		if i, ok := names[f]; ok {
			return i
		}
		at, ok := files[file]
		if !ok {
			at = len(out.Files)
			files[file] = at
			out.Files = append(out.Files, report.Printable(file))
		}
		names[f] = len(out.Names)
		out.Names, out.Of = append(out.Names, report.Printable(name)), append(out.Of, at)
		return names[f]
	}
	located := make(map[*symbol.Location][]int) // the names of its functions, outermost first: stacks have most in common
	namesOf := func(l *symbol.Location) []int {
		known, ok := located[l]
		if !ok {
			for _, line := range slices.Backward(l.Lines) {
				known = append(known, intern(line.Function, line.File))
			}
			located[l] = known
		}
		return known
	}
	root := &frame{name: intern("all", "")}
	all := []*frame{root}
	for i := range s.Samples {
		sample := &s.Samples[i]
		calls, ns, computing := sample.Calls+sample.Unfinished, max(sample.LatencyNs, 0), int64(0)
		if s.Computing(sample.Values) {
			computing = ns
		}
		at := root
		enter := func(name int) {
			next := at.children[name]
			if next == nil {
				next = &frame{name: name, depth: at.depth + 1}
				if at.children == nil {
					at.children = make(map[int]*frame)
				}
				at.children[name] = next
				all = append(all, next)
			}
			at = next
			at.add(calls, ns, computing)
		}
		root.add(calls, ns, computing)
		for _, location := range slices.Backward(report.FramesOf(sample.Stack, s.Find)) {
			for _, name := range namesOf(location) {
				enter(name)
			}
		}
		enter(intern(report.FunctionOf(sample.Key), ""))
	}
	out.LeftOut = leaveOut(all, root)
	out.add(root)
	return out
}

func (f *frame) add(calls uint64, ns, computing int64) {
	f.calls += calls
	f.ns = addClamped(f.ns, ns)
	f.computing = addClamped(f.computing, computing)
}

// leaveOut marks the smallest frames by a depth below 0 if there are too many, and returns how many it has marked. A frame is
// as large as its share of the calls or of the time, whichever is larger, so that it is not smaller than those above it.
func leaveOut(all []*frame, root *frame) int {
	if len(all) <= maxFrames {
		return 0
	}
	for _, f := range all {
		f.share = max(float64(f.calls)/float64(max(root.calls, 1)), float64(f.ns)/float64(max(root.ns, 1)))
	}
	slices.SortFunc(all, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.depth, b.depth))
	})
	for _, f := range all[maxFrames:] {
		f.depth = -1
	}
	return len(all) - maxFrames
}

// add adds a frame, and those below it with the most time first.
func (out *flame) add(f *frame) {
	out.Name = append(out.Name, f.name)
	out.Depth = append(out.Depth, f.depth)
	out.Calls = append(out.Calls, f.calls)
	out.Ns = append(out.Ns, f.ns)
	out.Computing = append(out.Computing, f.computing)
	children := make([]*frame, 0, len(f.children))
	for _, child := range f.children {
		if child.depth >= 0 {
			children = append(children, child)
		}
	}
	slices.SortFunc(children, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(b.ns, a.ns), cmp.Compare(b.calls, a.calls), cmp.Compare(out.Names[a.name], out.Names[b.name]), cmp.Compare(a.name, b.name))
	})
	for _, child := range children {
		out.add(child)
	}
}

func addClamped(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}

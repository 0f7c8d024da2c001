package symbol

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sysprof/profile/stack/debugfile"
	"sysprof/profile/stack/flow"
	"sysprof/profile/stack/pclntab"
)

// Frame is one source-level function at an address.
type Frame struct {
	Function   string // for people: demangled, without parameters
	SystemName string // as the linker knows it
	File       string
	Line       int  // 0: unknown
	StartLine  int  // where the function is declared; 0: unknown
	Inlined    bool // it has no code of its own here: the next frame is the function that it was inlined into
}

// Options are the choices of a Symbolizer. The zero value is good.
type Options struct {
	// DebugDirs are the roots of separate debug files; /usr/lib/debug if nil.
	DebugDirs []string
	// Debuginfod fetches a debug file by build-id and returns its path. Nil: the network is left alone.
	Debuginfod func(ctx context.Context, buildID string) (path string, err error)
	// MaxMemory bounds what one object file may hold in memory at a time; 256 MB if 0.
	MaxMemory int64
	// MaxWork bounds the bytes and entries that are looked at in one object file; 2³¹ if 0. All files together get
	// eight times as much.
	MaxWork int64
}

// Defaults of Options. 2,000 addresses all over a library with 53 MB of .debug_info take 2²⁷ units of work.
const (
	defaultMemory = 256 << 20
	defaultWork   = 1 << 31
)

const (
	// filesWorth is how many files may take all the work that one gets, before the others get none: half a minute.
	filesWorth = 8
	// maxScans bounds the bytes that are searched for Go's table in files without sections.
	maxScans = 1 << 30
)

// A Symbolizer turns addresses into frames. It is used by one goroutine at a time.
type Symbolizer struct {
	opt    Options
	strs   map[string]string
	plain  map[string]string // demangled names
	noMore bool              // debuginfod failed: do not wait for it again
	work   int64             // what may still be done for all files together
	scans  *pclntab.Allowance

	follower *flow.Follower // of code; nil: not needed yet
	followed uint32         // files
}

// New makes a Symbolizer.
func New(opt Options) *Symbolizer {
	if opt.DebugDirs == nil {
		opt.DebugDirs = []string{debugfile.Dir}
	}
	if opt.MaxMemory == 0 {
		opt.MaxMemory = defaultMemory
	}
	if opt.MaxWork == 0 {
		opt.MaxWork = defaultWork
	}
	s := &Symbolizer{opt: opt, strs: map[string]string{}, plain: map[string]string{}, work: filesWorth * opt.MaxWork}
	s.scans = new(pclntab.Allowance)
	s.scans.Add(maxScans)
	return s
}

// Source says how to get at one object file.
type Source struct {
	// Path is the file's name as the traced process sees it. Its debug file is looked for beside it.
	Path string
	// BuildID is that of the file really mapped, in lower-case hex, if known. Another file is refused.
	BuildID string
	// Open opens the file.
	Open func() (File, error)
	// OpenPath opens another file of the traced process's file system: debug files. If it is nil, or has no
	// such file, this machine's are tried.
	OpenPath func(path string) (File, error)
}

// An Object is an object file to look addresses up in. Its methods tell what the last Resolve found.
type Object struct {
	src Source
	has Has
	id  string
	err error
}

// Has says which kinds of names an object's frames have, as the mappings of a pprof profile want to know.
type Has struct {
	Functions, Filenames, LineNumbers, InlineFrames bool
}

// NewObject makes an Object. Nothing is opened yet.
func NewObject(src Source) *Object { return &Object{src: src, id: src.BuildID} }

// Has returns which kinds of names the frames found so far have.
func (o *Object) Has() Has { return o.has }

// BuildID returns the build-id of the file, or what Source said before it was opened.
func (o *Object) BuildID() string { return o.id }

// Err returns why the object could not be read: it is gone, is no ELF file, or is another one than was mapped.
func (o *Object) Err() error { return o.err }

// Address is a place in an object file.
type Address struct {
	Object *Object
	// Offset is where the code stands in the file, or, if Vaddr is set, the address that it was linked at. That
	// of a return address is one less than the address: inside of the call.
	Offset uint64
	Vaddr  bool
}

// Resolve returns the frames of each address, innermost first. An address that has no name, in a file that can't
// be read perhaps, has none. Every object is opened once. When ctx ends, what is resolved by then is
// returned at once, and the Symbolizer must not be used again: a file that does not answer may still be read.
func (s *Symbolizer) Resolve(ctx context.Context, addrs []Address) [][]Frame {
	out := make([][]Frame, len(addrs))
	byObject := map[*Object][]int{}
	var order []*Object
	for i, a := range addrs {
		if a.Object == nil {
			continue
		}
		if byObject[a.Object] == nil {
			order = append(order, a.Object)
		}
		byObject[a.Object] = append(byObject[a.Object], i)
	}
	type named struct {
		object *Object
		result Object // what object becomes
		which  []int
		frames [][]Frame
	}
	results := make(chan named, len(order)) // so that nobody has to wait for
	begun := make([]Object, len(order))
	for i, o := range order {
		begun[i] = *o
	}
	go func() {
		defer close(results)
		for i, o := range order {
			if ctx.Err() != nil {
				return
			}
			n := named{object: o, result: begun[i], which: byObject[o]}
			n.frames = s.resolveObject(ctx, &n.result, addrs, n.which)
			results <- n
		}
	}()
	for {
		select {
		case n, ok := <-results:
			if !ok {
				return out
			}
			*n.object = n.result
			for i, frames := range n.frames {
				out[n.which[i]] = frames
			}
		case <-ctx.Done():
			return out
		}
	}
}

// resolveObject resolves those of the addresses whose indexes are given, all of one object.
func (s *Symbolizer) resolveObject(ctx context.Context, o *Object, addrs []Address, which []int) [][]Frame {
	f, err := o.src.Open()
	if err != nil {
		o.err = err
		return nil
	}
	f = stoppable{f, ctx}
	defer f.Close()
	r, err := s.open(ctx, o, f)
	if err != nil {
		o.err = fmt.Errorf("%s: %w", o.src.Path, err)
		return nil
	}
	defer r.close()
	out := make([][]Frame, len(which))
	type place struct {
		addr  uint64
		index int
	}
	var places []place
	for n, i := range which {
		a := addrs[i].Offset
		ok := true
		if !addrs[i].Vaddr {
			a, ok = r.e.Vaddr(a)
		}
		if ok {
			places = append(places, place{a, n})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.addr, b.addr) })
	distinct := make([]uint64, 0, len(places))
	for i, p := range places {
		if i == 0 || p.addr != places[i-1].addr {
			distinct = append(distinct, p.addr)
		}
	}
	frames := r.resolve(ctx, distinct)
	i := -1
	for n, p := range places {
		if n == 0 || p.addr != places[n-1].addr {
			i++
		}
		out[p.index] = frames[i]
	}
	return out
}

// stoppable is a File that cannot be read any more once ctx has ended.
type stoppable struct {
	File
	ctx context.Context
}

func (f stoppable) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

package stack

import (
	"bytes"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/pclntab"
)

// A File is an open file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Open opens the regular file that a mapping shows: through /proc/PID/map_files, or by path
// under /proc/PID/root.
type Open func(m *Mapping) (File, error)

const (
	// maxVDSO bounds what is read of the kernel's code page; it has two pages today.
	maxVDSO = 64 << 10
	// Defaults of NewObjects.
	defaultMaxObjects = 256
	defaultMaxBytes   = 64 << 20
)

// Objects holds the unwind tables of mapped files, each once however many processes
// map it. It is safe for concurrent use.
type Objects struct {
	open     Open
	max      int
	maxBytes int64
	resident atomic.Int64
	clock    atomic.Uint64
	scans    pclntab.Allowance // for all files together
	unpacked atomic.Int64      // bytes of .debug_frame

	// OpenDebug opens a debug file of the file that a mapping shows, by its name in the file system of the process, or, if here, in
	// this machine's. Nil: there are none. It is to be set before the first use.
	OpenDebug func(m *Mapping, name string, here bool) (File, error)
	checksums atomic.Int64 // bytes that were read for them

	mu     sync.Mutex
	byFile map[fileKey]*object
}

type fileKey struct {
	major, minor uint32
	inode        uint64 // or a hash of the vdso's bytes, with sum set
	sum          bool
}

// An object is one file, whose unwind tables may not have been read yet.
type object struct {
	id     uint32         // never reused
	clock  *atomic.Uint64 // of the Objects
	dead   atomic.Bool    // closed to make room
	used   atomic.Uint64  // by Objects.clock
	tables atomic.Pointer[tables]

	mu sync.Mutex // held by who reads the tables, and by nobody else
}

// tables are a file's unwind tables. But for separate they do not change.
type tables struct {
	file     File // nil for the vdso and for files that could not be opened
	image    *elf.File
	eh       *ehFrame
	debug    *ehFrame // .debug_frame, for what eh does not have
	separate separate // for what neither has
	golang   *pclntab.Table
	arch     Arch
}

// A Need is what has to be read of a file before a stack can be unwound further.
type Need struct {
	objects *Objects
	object  *object
	mapping Mapping // a copy: a Space is not to be kept for it
}

// File is a number of the file, which no other one has.
func (n Need) File() uint32 { return n.object.id }

// Read reads it. That takes as long as the file system, or the size of the file, makes it. It needs nothing that an
// Unwinder uses, and is for whatever goroutine has the time.
func (n Need) Read() {
	if t := n.object.tables.Load(); t == nil {
		n.objects.read(n.object, &n.mapping)
	} else if t.separate.wanted.Swap(false) {
		n.objects.seek(n.object, t, &n.mapping)
	} else if t.image != nil {
		t.image.Fetch()
	}
}

var (
	seed       = maphash.MakeSeed()
	lastObject atomic.Uint32
)

// NewObjects returns an empty store. It keeps at most maxFiles files open, and about
// maxBytes of their bytes in memory; 0 means a default.
func NewObjects(open Open, maxFiles int, maxBytes int64) *Objects {
	if maxFiles <= 0 {
		maxFiles = defaultMaxObjects
	}
	if maxBytes <= 0 {
		maxBytes = defaultMaxBytes
	}
	o := &Objects{open: open, max: maxFiles, maxBytes: maxBytes, byFile: map[fileKey]*object{}}
	o.scans.Add(maxScans)
	return o
}

// maxScans bounds the bytes that are searched for tables that no section names, in all files: half a second's
// work. A file of a Go program without sections takes as much as its own size.
const maxScans = 1 << 30

// Close closes all files.
func (o *Objects) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.byFile {
		o.drop(key)
	}
}

// Resident is the number of bytes of files that are held in memory.
func (o *Objects) Resident() int64 { return o.resident.Load() }

// trim forgets the files' bytes when there are too many. Rows that were made from
// them stay, so little of it is read again.
func (o *Objects) trim() {
	if o.resident.Load() <= o.maxBytes {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, obj := range o.byFile {
		if t := obj.tables.Load(); t != nil && t.image != nil {
			t.image.Drop()
		}
	}
}

// forMapping returns the object behind m. mem is for the vdso, which is no file. It returns nil for anonymous
// memory.
func (o *Objects) forMapping(m *Mapping, mem Memory) *object {
	switch {
	case m.IsVDSO():
		return o.vdso(m, mem)
	case !m.IsFile():
		return nil
	}
	return o.object(fileKey{major: m.DevMajor, minor: m.DevMinor, inode: m.Inode})
}

// read reads the tables of the file that a mapping shows.
func (o *Objects) read(obj *object, m *Mapping) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	if obj.tables.Load() != nil || obj.dead.Load() {
		return
	}
	t := new(tables)
	if file, err := o.open(m); err == nil {
		// A file without tables still has code, which can be followed.
		if t = load(file, file.Size(), o); t.image == nil {
			file.Close()
			t = new(tables)
		} else {
			t.file = file
			t.image.ReadLater()
			t.separate.possible = o.OpenDebug != nil && t.golang == nil // all that there is of a Go program is in its table
		}
	}
	obj.tables.Store(t)
	if obj.dead.Load() { // perhaps after drop had found no tables
		t.close()
	}
}

func (o *Objects) vdso(m *Mapping, mem Memory) *object {
	if mem == nil || m.End-m.Start > maxVDSO {
		return nil
	}
	data := make([]byte, m.End-m.Start)
	if mem.ReadMemory(data, m.Start) != len(data) {
		return nil
	}
	obj := o.object(fileKey{inode: maphash.Bytes(seed, data), sum: true})
	if obj.tables.Load() == nil {
		t := load(bytes.NewReader(data), int64(len(data)), o)
		obj.tables.CompareAndSwap(nil, t)
	}
	return obj
}

// object returns the object of a file, which may not be read yet, making room for
// it if it is new.
func (o *Objects) object(key fileKey) *object {
	o.mu.Lock()
	defer o.mu.Unlock()
	if obj := o.byFile[key]; obj != nil {
		return obj
	}
	if len(o.byFile) >= o.max {
		var oldest fileKey
		best := ^uint64(0)
		for k, obj := range o.byFile {
			if used := obj.used.Load(); used < best {
				best, oldest = used, k
			}
		}
		o.drop(oldest)
	}
	obj := &object{id: lastObject.Add(1), clock: &o.clock}
	obj.touch()
	o.byFile[key] = obj
	return obj
}

func (o *Objects) drop(key fileKey) {
	obj := o.byFile[key]
	delete(o.byFile, key)
	obj.dead.Store(true)
	if t := obj.tables.Load(); t != nil {
		t.close()
	}
}

// close may be called twice.
func (t *tables) close() {
	if t.image != nil {
		t.image.Close()
	}
	if t.file != nil {
		t.file.Close()
	}
}

// load opens the tables. A file without any has at most an image.
func load(r io.ReaderAt, size int64, o *Objects) *tables {
	t := new(tables)
	f, err := elf.Open(r, size, &o.resident)
	if err != nil {
		return t
	}
	for a := range numArchs {
		if f.Is64 == (archs[a].word == 8) && archs[a].machine == f.Machine {
			t.image, t.arch = f, a
		}
	}
	if t.image == nil {
		return t
	}
	t.eh = newEhFrame(f)
	if table, err := pclntab.Open(f, &o.scans); err == nil {
		t.golang = table
	} else { // that of a Go program is about what its own table has, and takes 0.1 s to index if the program is large
		t.debug = newDebugFrame(f, &o.unpacked)
	}
	return t
}

// touch marks the object as used last.
func (obj *object) touch() { obj.used.Store(obj.clock.Add(1)) }

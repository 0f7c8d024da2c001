package stack

import (
	"bytes"
	"hash/maphash"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/pclntab"
)

// A File is an open file; *os.File is one.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// Open opens the file that a mapping shows: through /proc/PID/map_files, or by path
// under /proc/PID/root. It must not block on what is no regular file.
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

	mu     sync.Mutex // before any object's
	byFile map[fileKey]*object
}

type fileKey struct {
	major, minor uint32
	inode        uint64 // or a hash of the vdso's bytes, with sum set
	sum          bool
}

// An object is one file's unwind tables.
type object struct {
	id    uint32         // never reused
	clock *atomic.Uint64 // of the Objects
	dead  atomic.Bool    // closed to make room
	used  atomic.Uint64  // by Objects.clock

	// What follows is set once, under mu, before the object is used.
	mu     sync.Mutex
	tried  bool
	file   File // nil for the vdso and for files that could not be opened
	image  *elf.File
	eh     *ehFrame
	golang *pclntab.Table
	arch   Arch
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
	return &Objects{open: open, max: maxFiles, maxBytes: maxBytes, byFile: map[fileKey]*object{}}
}

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
		obj.mu.Lock()
		if obj.image != nil {
			obj.image.Drop()
		}
		obj.mu.Unlock()
	}
}

// forMapping returns the object behind m, opening it if need be. mem is for the
// vdso, which is no file. It returns nil for anonymous memory.
func (o *Objects) forMapping(m *Mapping, mem Memory) *object {
	switch {
	case m.IsVDSO():
		return o.vdso(m, mem)
	case !m.IsFile():
		return nil
	}
	obj := o.object(fileKey{major: m.DevMajor, minor: m.DevMinor, inode: m.Inode})
	obj.mu.Lock()
	defer obj.mu.Unlock()
	if obj.tried || obj.dead.Load() {
		return obj
	}
	obj.tried = true
	file, err := o.open(m)
	if err != nil {
		return obj
	}
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() || !obj.load(file, st.Size(), &o.resident) {
		file.Close()
		return obj
	}
	obj.file = file
	return obj
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
	obj.mu.Lock()
	defer obj.mu.Unlock()
	if !obj.tried {
		obj.tried = true
		obj.load(bytes.NewReader(data), int64(len(data)), &o.resident)
	}
	return obj
}

// object returns the object of a file, which may not be loaded yet, making room for
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
	obj.mu.Lock()
	defer obj.mu.Unlock()
	if obj.image != nil {
		obj.image.Close()
	}
	if obj.file != nil {
		obj.file.Close()
	}
}

// load opens the tables; it reports false if there are none to read later.
func (obj *object) load(r io.ReaderAt, size int64, resident *atomic.Int64) bool {
	f, err := elf.Open(r, size, resident)
	if err != nil {
		return false
	}
	for a := range numArchs {
		if f.Is64 && archs[a].machine == f.Machine {
			obj.image, obj.arch = f, a
		}
	}
	if obj.image == nil {
		return false
	}
	obj.eh = newEhFrame(f)
	if t, err := pclntab.Open(f); err == nil {
		obj.golang = t
	}
	return obj.eh != nil || obj.golang != nil
}

// touch marks the object as used last.
func (obj *object) touch() { obj.used.Store(obj.clock.Add(1)) }

package symbol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"syscall"
)

// Bounds on a perf map.
const (
	maxPerfMap  = 256 << 20
	maxPerfLine = 4 << 10
)

// OpenPerfMap opens the file /tmp/perf-PID.map in which a JIT compiler names its functions. root is the process's root
// (/proc/PID/root), pid its number in its own PID namespace, uid its owner.
//
// Anyone can put a file into /tmp: only a regular file of the process's owner or of root is taken, and no link
// leads out of root.
func OpenPerfMap(root string, pid int, uid uint32) (*os.File, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := "tmp/perf-" + strconv.Itoa(pid) + ".map"
	if st, err := dir.Lstat(name); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path.Join(root, name))
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", f.Name())
	}
	if sys, ok := stat(st); err == nil && (!ok || sys.Uid != uid && sys.Uid != 0) {
		err = fmt.Errorf("%s: belongs to neither the process's owner nor root", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func stat(fi os.FileInfo) (*syscall.Stat_t, bool) {
	if fi == nil {
		return nil, false
	}
	s, ok := fi.Sys().(*syscall.Stat_t)
	return s, ok
}

// PerfMap looks addresses of the process up in a perf map: lines of start and size in hexadecimal and a name. Of
// lines that cover the same address the last one counts: JIT compilers use memory again. An address without a
// name has a Frame without Function. At most 256 MB are read.
func (s *Symbolizer) PerfMap(r io.Reader, pcs []uint64) []Frame {
	order := make([]int, len(pcs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if pcs[a] < pcs[b] {
			return -1
		}
		if pcs[a] > pcs[b] {
			return 1
		}
		return 0
	})
	out := make([]Frame, len(pcs))
	defer func() {
		for i := range out {
			f := &out[i]
			f.Function, f.SystemName = s.intern(s.demangle(f.SystemName)), s.intern(f.SystemName)
		}
	}()
	b := budget{work: maxPerfMap}
	in := bufio.NewReaderSize(io.LimitReader(r, maxPerfMap), maxPerfLine)
	for {
		line, err := in.ReadSlice('\n')
		if !b.spend(len(line)) {
			return out
		}
		start, size, name, ok := perfLine(line)
		if ok && err == bufio.ErrBufferFull {
			// The rest of an overlong name.
			name = append([]byte(nil), name...)
		}
		for err == bufio.ErrBufferFull {
			_, err = in.ReadSlice('\n')
		}
		if ok {
			i, _ := slices.BinarySearchFunc(order, start, func(i int, a uint64) int {
				if pcs[i] < a {
					return -1
				}
				return 1
			})
			for ; i < len(order) && pcs[order[i]]-start < size; i++ {
				out[order[i]].SystemName = string(name)
				if !b.spend(16) {
					return out
				}
			}
		}
		if err != nil {
			return out
		}
	}
}

// perfLine parses a line: START SIZE name with spaces.
func perfLine(line []byte) (start, size uint64, name []byte, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	a, rest, ok1 := bytes.Cut(line, []byte(" "))
	b, name, ok2 := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	start, ok3 := hexNumber(a)
	size, ok4 := hexNumber(b)
	name = bytes.TrimSpace(name)
	return start, size, name, ok1 && ok2 && ok3 && ok4 && size > 0 && start+size >= start && len(name) > 0
}

func hexNumber(b []byte) (uint64, bool) {
	b = bytes.TrimPrefix(bytes.TrimPrefix(b, []byte("0x")), []byte("0X"))
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}

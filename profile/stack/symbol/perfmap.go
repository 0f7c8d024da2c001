package symbol

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"

	"sysprof/profile/stack/foreign"
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
func OpenPerfMap(root string, pid int, uid uint32) (File, error) {
	name := "/tmp/perf-" + strconv.Itoa(pid) + ".map"
	found, err := foreign.InUnlinked(root, name)
	if err != nil {
		return nil, err
	}
	if owner := found.Owner(); owner != uid && owner != 0 {
		found.Close()
		return nil, fmt.Errorf("%s: belongs to neither the process's owner nor root", path.Join(root, name))
	}
	return found.OpenAndClose()
}

// PerfMap looks addresses of the process up in a perf map: lines of start and size in hexadecimal and a name. Of
// lines that cover the same address the last one counts: JIT compilers use memory again. An address without a
// name has a Frame without Function. At most 256 MB are read. When ctx ends it returns nothing at once, and the
// Symbolizer must not be used again.
func (s *Symbolizer) PerfMap(ctx context.Context, open func() (File, error), pcs []uint64) []Frame {
	result := make(chan []Frame, 1)
	go func() {
		defer close(result)
		file, err := open()
		if err != nil {
			return
		}
		defer file.Close()
		result <- s.perfMap(io.NewSectionReader(stoppable{file, ctx}, 0, maxPerfMap), pcs)
	}()
	select {
	case frames := <-result:
		return frames
	case <-ctx.Done():
		return nil
	}
}

func (s *Symbolizer) perfMap(r io.Reader, pcs []uint64) []Frame {
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
			if out[i].SystemName != "" {
				out[i] = s.perfFrame(out[i].SystemName)
			}
		}
	}()
	given := min(maxPerfMap, s.work)
	b := budget{work: given}
	defer func() { s.work -= given - max(b.work, 0) }()
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

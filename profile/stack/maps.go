package stack

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A Mapping is a line of /proc/PID/maps (proc_pid_maps(5)).
type Mapping struct {
	Start, End uint64
	Offset     uint64 // in the file
	Inode      uint64 // 0: not a file
	DevMajor   uint32
	DevMinor   uint32
	Read       bool
	Write      bool
	Exec       bool
	Shared     bool
	Deleted    bool   // the file has no name any more, or another one's
	Path       string // the file, "[heap]", "[vdso]", …; empty: anonymous memory
}

// IsFile reports whether the mapping shows a file.
func (m *Mapping) IsFile() bool { return m.Inode != 0 && strings.HasPrefix(m.Path, "/") }

// IsVDSO reports whether the mapping is the code that the kernel adds to each process.
func (m *Mapping) IsVDSO() bool { return m.Path == "[vdso]" }

const deletedSuffix = " (deleted)"

var errMaps = errors.New("maps: malformed line")

// AppendMaps appends the mappings that text lists to dst, which may be reused.
// Neighbours of one file share one Path string.
func AppendMaps(dst []Mapping, text []byte) ([]Mapping, error) {
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		var m Mapping
		path, ok := parseMapLine(&m, line)
		if !ok {
			return dst, fmt.Errorf("%w: %q", errMaps, line[:min(len(line), 100)])
		}
		if len(dst) > 0 && samePath(&dst[len(dst)-1], path) {
			m.Path, m.Deleted = dst[len(dst)-1].Path, dst[len(dst)-1].Deleted
		} else {
			setPath(&m, path)
		}
		dst = append(dst, m)
	}
	return dst, nil
}

// parseMapLine reads "start-end perms offset major:minor inode   path".
func parseMapLine(m *Mapping, line []byte) (path []byte, ok bool) {
	var v uint64
	p := 0
	for _, field := range []struct {
		dst *uint64
		end byte
	}{{&m.Start, '-'}, {&m.End, ' '}} {
		if *field.dst, p, ok = hexField(line, p, field.end); !ok {
			return nil, false
		}
	}
	if len(line) < p+5 || line[p+4] != ' ' || m.End < m.Start {
		return nil, false
	}
	m.Read, m.Write = line[p] == 'r', line[p+1] == 'w'
	m.Exec, m.Shared = line[p+2] == 'x', line[p+3] == 's'
	if m.Offset, p, ok = hexField(line, p+5, ' '); !ok {
		return nil, false
	}
	if v, p, ok = hexField(line, p, ':'); !ok {
		return nil, false
	}
	m.DevMajor = uint32(v)
	if v, p, ok = hexField(line, p, ' '); !ok {
		return nil, false
	}
	m.DevMinor = uint32(v)
	start := p
	for p < len(line) && line[p] >= '0' && line[p] <= '9' && p-start < 20 {
		m.Inode = m.Inode*10 + uint64(line[p]-'0')
		p++
	}
	if p == start {
		return nil, false
	}
	for p < len(line) && line[p] == ' ' {
		p++
	}
	return line[p:], true
}

// hexField reads a hexadecimal number that the byte end follows.
func hexField(line []byte, p int, end byte) (v uint64, next int, ok bool) {
	start := p
	for ; p < len(line) && p-start <= 16; p++ {
		c := line[p]
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return v, p + 1, c == end && p > start
		}
	}
	return 0, p, false
}

// setPath splits off the kernel's mark of a deleted file and undoes its escape,
// which is for newlines only (seq_file_path(m, file, "\n")).
func setPath(m *Mapping, raw []byte) {
	s := string(raw)
	if m.Inode != 0 && strings.HasSuffix(s, deletedSuffix) {
		s, m.Deleted = s[:len(s)-len(deletedSuffix)], true
	}
	if strings.Contains(s, `\012`) {
		s = strings.ReplaceAll(s, `\012`, "\n")
	}
	m.Path = s
}

// samePath reports whether setPath would make of raw what prev has.
func samePath(prev *Mapping, raw []byte) bool {
	return !prev.Deleted && string(raw) == prev.Path
}

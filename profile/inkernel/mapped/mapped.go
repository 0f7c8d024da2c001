// Package mapped knows what programs have mapped executable, also when their processes have ended: the kernel tells of each
// mapping when it is made (perf_event_open(2), PERF_RECORD_MMAP2). Processes that were there before are not known, but for what
// they execute later.
//
// What is unmapped is not told of. Of two mappings at one place the later one counts.
//
// It is not for reading files, nor for processes that can be looked at in /proc.
package mapped

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Watch takes note of what is mapped, from Begin to Close. It is for one goroutine at a time.
type Watch struct {
	rings     []*ring
	read      []record // not taken in yet
	processes map[int32]*process
	gone      []int32 // in the order in which they ended
}

// process is the program that a process is, and, for a moment, the one before.
type process struct {
	programs []program // at most two, the older one first
	gone     bool
}

type program struct {
	since uint64 // CLOCK_MONOTONIC, ns
	all   []mapping
}

type mapping struct {
	at                    uint64 // when it was made
	start, length, offset uint64
	major, minor          uint32
	inode                 uint64
	path                  string
}

const (
	// maxGone bounds the processes that have ended and are still known: those of a second or so.
	maxGone = 4096
	// maxProcesses bounds the others.
	maxProcesses = 1 << 15
	// maxMappings bounds those of a program.
	maxMappings = 4096
)

// Begin begins to watch all processes. It takes the rights that package inkernel does.
func Begin() (*Watch, error) {
	w := &Watch{processes: make(map[int32]*process)}
	cpus, err := ebpf.PossibleCPU()
	for cpu := 0; cpu < cpus && err == nil; cpu++ {
		var r *ring
		if r, err = openRing(cpu); err == nil {
			w.rings = append(w.rings, r)
		} else if err == unix.ENODEV { // it is not online
			err = nil
		}
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("watch what is mapped: %w", err)
	}
	return w, nil
}

// Close ends it.
func (w *Watch) Close() {
	for _, r := range w.rings {
		r.close()
	}
	w.rings = nil
}

// Maps are the executable mappings that the program had which the process was then, by CLOCK_MONOTONIC, in the words of /proc/PID/maps
// (proc_pid_maps(5)). They are nil if it is not known.
func (w *Watch) Maps(pid int32, ns uint64) []byte {
	w.Read()
	p := w.processes[pid]
	if p == nil {
		return nil
	}
	for i := len(p.programs) - 1; i >= 0; i-- {
		if p.programs[i].since <= ns {
			return p.programs[i].text(ns)
		}
	}
	return nil
}

func (p *program) text(ns uint64) []byte {
	var b bytes.Buffer
	for i := range p.all {
		m := &p.all[i]
		if m.at > ns {
			continue
		}
		path := m.path
		if m.inode == 0 && path != "[vdso]" {
			path = "" // "//anon"
		}
		fmt.Fprintf(&b, "%08x-%08x r-xp %08x %02x:%02x %d %s\n", m.start, m.start+m.length, m.offset, m.major, m.minor, m.inode, path)
	}
	return b.Bytes()
}

// Read takes in what has been told. It has to be called now and then.
func (w *Watch) Read() {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	now := uint64(t.Nano())
	for _, r := range w.rings {
		r.read(func(kind uint32, misc uint16, data []byte) {
			// sample_id: pid, tid, time
			w.read = append(w.read, record{kind, misc, binary.NativeEndian.Uint64(data[len(data)-8:]), bytes.Clone(data)})
		})
	}
	// Each CPU has a ring of its own: what has come in since the first one was read may depend on what is still in that.
	slices.SortStableFunc(w.read, func(x, y record) int { return cmp.Compare(x.at, y.at) })
	n := 0
	for n < len(w.read) && w.read[n].at <= now {
		w.take(&w.read[n])
		n++
	}
	w.read = slices.Delete(w.read, 0, n)
}

// record is something that the kernel tells.
type record struct {
	kind uint32
	misc uint16
	at   uint64
	data []byte
}

// take takes a record.
func (w *Watch) take(r *record) {
	kind, misc, now, data := r.kind, r.misc, r.at, r.data
	const commExec = 1 << 13 // PERF_RECORD_MISC_COMM_EXEC
	word := func(at int) uint32 {
		if at+4 > len(data) {
			return 0
		}
		return binary.NativeEndian.Uint32(data[at:])
	}
	long := func(at int) uint64 {
		if at+8 > len(data) {
			return 0
		}
		return binary.NativeEndian.Uint64(data[at:])
	}
	pid := int32(word(0))
	switch kind {
	case unix.PERF_RECORD_LOST:
		clear(w.processes) // what is known may not be all
		w.gone = nil
	case unix.PERF_RECORD_COMM:
		if misc&commExec != 0 {
			w.executed(pid, now)
		}
	case unix.PERF_RECORD_FORK:
		if parent := int32(word(4)); parent != pid {
			w.forked(pid, parent, now)
		}
	case unix.PERF_RECORD_EXIT:
		if tid := int32(word(8)); tid == pid {
			w.ended(pid)
		}
	case unix.PERF_RECORD_MMAP2:
		const path = 64
		if len(data) < path+16 {
			return
		}
		name, _, _ := bytes.Cut(data[path:len(data)-16], []byte{0})
		w.mapped(pid, mapping{at: now, start: long(8), length: long(16), offset: long(24), major: word(32), minor: word(36), inode: long(40),
			path: strings.ReplaceAll(string(name), "\n", `\012`)})
	}
}

func (w *Watch) executed(pid int32, now uint64) {
	p := w.processes[pid]
	if p == nil || p.gone {
		if len(w.processes) >= maxProcesses {
			clear(w.processes)
			w.gone = nil
		}
		p = new(process)
		w.processes[pid] = p
	}
	if len(p.programs) > 1 {
		p.programs = p.programs[1:]
	}
	p.programs = append(p.programs, program{since: now})
}

// forked has a process have what its parent has.
func (w *Watch) forked(pid, parent int32, now uint64) {
	from := w.processes[parent]
	if from == nil || len(from.programs) == 0 || len(w.processes) >= maxProcesses {
		delete(w.processes, pid) // it may have been another one's number
		return
	}
	last := from.programs[len(from.programs)-1]
	w.processes[pid] = &process{programs: []program{{since: now, all: append([]mapping(nil), last.all...)}}}
}

func (w *Watch) ended(pid int32) {
	p := w.processes[pid]
	if p == nil || p.gone {
		return
	}
	p.gone = true
	if w.gone = append(w.gone, pid); len(w.gone) > maxGone {
		oldest := w.gone[0]
		w.gone = w.gone[1:]
		if p := w.processes[oldest]; p != nil && p.gone {
			delete(w.processes, oldest)
		}
	}
}

func (w *Watch) mapped(pid int32, m mapping) {
	p := w.processes[pid]
	if p == nil || p.gone || len(p.programs) == 0 {
		return
	}
	last := &p.programs[len(p.programs)-1]
	if m.at < last.since {
		if last = &p.programs[0]; m.at < last.since {
			return
		}
	}
	kept := last.all[:0]
	for _, other := range last.all {
		if other.start >= m.start+m.length || m.start >= other.start+other.length {
			kept = append(kept, other)
		}
	}
	if last.all = kept; len(last.all) < maxMappings {
		last.all = append(last.all, m)
	}
}

package mapped

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is what the kernel tells of one CPU.
type ring struct {
	fd     int
	mapped []byte
	head   *uint64 // where the kernel writes next
	tail   *uint64 // up to where has been read
	data   []byte
	record []byte
}

// ringPages are those of the data. A mapping takes some 130 bytes.
const ringPages = 32

func openRing(cpu int) (*ring, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample_type: unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME,
		Bits: unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec | unix.PerfBitTask |
			unix.PerfBitSampleIDAll | unix.PerfBitUseClockID,
		Clockid: unix.CLOCK_MONOTONIC,
	}
	const everybody = -1
	fd, err := unix.PerfEventOpen(&attr, everybody, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	page := os.Getpagesize()
	mem, err := unix.Mmap(fd, 0, (1+ringPages)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	control := (*unix.PerfEventMmapPage)(unsafe.Pointer(&mem[0]))
	return &ring{fd: fd, mapped: mem, head: &control.Data_head, tail: &control.Data_tail, data: mem[page:]}, nil
}

func (r *ring) close() {
	unix.Munmap(r.mapped)
	unix.Close(r.fd)
}

// read hands over all records, which are valid during the call.
func (r *ring) read(take func(kind uint32, misc uint16, data []byte)) {
	const header = 8
	size := uint64(len(r.data))
	head, tail := atomic.LoadUint64(r.head), *r.tail
	for head-tail >= header {
		at := tail % size // records are multiples of 8 bytes, so that a header does not go over the end
		kind := binary.NativeEndian.Uint32(r.data[at:])
		misc := binary.NativeEndian.Uint16(r.data[at+4:])
		length := uint64(binary.NativeEndian.Uint16(r.data[at+6:]))
		if length < header || length > head-tail {
			tail = head // it makes no sense
			break
		}
		r.record = r.record[:0]
		for from, n := (at+header)%size, length-header; n > 0; from = 0 {
			piece := min(n, size-from)
			r.record = append(r.record, r.data[from:from+piece]...)
			n -= piece
		}
		if len(r.record) >= 2*header {
			take(kind, misc, r.record)
		}
		tail += length
	}
	atomic.StoreUint64(r.tail, tail)
}

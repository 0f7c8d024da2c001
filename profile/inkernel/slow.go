package inkernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Slower says of which single calls it is told (OnSlow).
type Slower struct {
	AtLeast time.Duration   // of those that take so long; 0: of none
	Calls   *syscalltab.Set // of these; nil: of all that are counted

	Successes, Failures, Deaths bool // how they have ended. It is told of all that hang
}

// Slow is a single call that takes long.
type Slow struct {
	Kind            SlowKind
	PID, TID        int32
	Hidden          bool   // these numbers are others than the processes have here (SharesPIDs)
	Process, Thread string // the names of the first thread, and of this one

	ABI     syscalltab.ABI
	Nr      uint64
	Args    [syscalltab.MaxArguments]uint64 // as its registers have them at that moment: an execve that succeeds leaves none
	Resumes uint64                          // the call that it goes on with, if it is restart_syscall; 0: not known

	Ns     int64
	Since  uint64 // tells it apart from others of its thread
	Ret    int64
	Errno  int32
	Why    profile.Ending // if it is broken off
	Unseen bool           // it was entered before the counting: Ns is the least it can be
}

// SlowKind says what is known of a call.
type SlowKind uint32

const (
	SlowReturned  SlowKind = iota
	SlowHangs              // it has not returned yet
	SlowBrokenOff          // it never will
)

// slowRecord is struct slow in the programs.
type slowRecord struct {
	Ns, Since              uint64
	Nr, Result             int64
	Args                   [6]uint64
	ABI, Kind, Why, Unseen uint32
	Resumes, PID, TID, _   uint32
	Process, Name          [16]byte
}

// slowing reads the ring of slow calls, and looks for those that hang.
type slowing struct {
	reader  *ringbuf.Reader
	hanging *link.Iter
	hidden  bool
	stop    atomic.Bool
	looks   chan struct{} // closed by Close and SlowAll: nobody looks any more
	looked  chan struct{}
	read    chan struct{} // closed when all has been read
}

// Calls that hang are looked for four times in as long as they have to hang, but for these bounds: looking takes some 0.1 µs for each
// thread of the machine.
const (
	leastLook = 20 * time.Millisecond
	mostLook  = 500 * time.Millisecond
)

// setSlower tells the programs which calls are told of.
func (c *Counter) setSlower(spec *ebpf.CollectionSpec) map[string]any {
	s := &c.options.Slower
	if s.AtLeast <= 0 {
		spec.Maps[programsMapSlowRing].MaxEntries = uint32(os.Getpagesize())
		return nil
	}
	wants := func(abi syscalltab.ABI, nr uint64) bool { return s.Calls == nil || s.Calls.Has(abi, nr) }
	var chosen [(kernelABICount*numbers + 63) / 64]uint64
	for i, abi := range kernelABIs() {
		for n := range uint32(numbers) {
			if index := uint32(i*numbers) + n; wants(abi, numberAt(abi, n)) {
				chosen[index/64] |= 1 << (index % 64)
			}
		}
	}
	unknown, outcomes := uint32(0), uint32(0)
	if wants(syscalltab.Native()[0], numberOfNone) {
		unknown = 1
	}
	for i, told := range []bool{s.Successes, s.Failures, s.Deaths} { // enum outcomes
		if told {
			outcomes |= 1 << i
		}
	}
	return map[string]any{programsVarSlowerNs: uint64(s.AtLeast), programsVarSlowCalls: chosen, programsVarSlowUnknown: unknown,
		programsVarSlowOutcomes: outcomes}
}

// OnSlow has each told of calls that take long, one after the other: when they end, and once while they hang. Of calls that
// come faster than anybody reads it is only counted how many there are (SlowLost).
//
// Precondition: Options.Slower, and it is called before Begin.
func (c *Counter) OnSlow(each func(*Slow)) error {
	reader, err := ringbuf.NewReader(c.programs.SlowRing)
	if err != nil {
		return fmt.Errorf("read the ring of slow calls: %w", err)
	}
	hanging, err := link.AttachIter(link.IterOptions{Program: c.programs.Hanging})
	if err != nil {
		reader.Close()
		return fmt.Errorf("look for calls that hang: %w", err)
	}
	s := &slowing{reader: reader, hanging: hanging, hidden: !c.SharesPIDs(), looks: make(chan struct{}), looked: make(chan struct{}), read: make(chan struct{})}
	c.slowing = s
	go s.look(c.options.Slower.AtLeast)
	go s.readAll(each)
	return nil
}

// look has the kernel look for calls that hang, now and then.
func (s *slowing) look(atLeast time.Duration) {
	defer close(s.looked)
	tick := time.NewTicker(min(max(atLeast/4, leastLook), mostLook))
	defer tick.Stop()
	for {
		select {
		case <-s.looks:
			return
		case <-tick.C:
			eachThread(s.hanging) // the next time may do better
		}
	}
}

func (s *slowing) readAll(each func(*Slow)) {
	defer close(s.read)
	var record ringbuf.Record
	for {
		switch err := s.reader.ReadInto(&record); {
		case errors.Is(err, ringbuf.ErrFlushed):
			if s.stop.Load() {
				return
			}
		case err != nil:
			return
		default:
			var slow Slow
			if slow.parse(record.RawSample) {
				slow.Hidden = s.hidden
				each(&slow)
			}
		}
	}
}

// SlowAll returns when all has been told until End.
func (c *Counter) SlowAll() {
	if s := c.slowing; s != nil {
		s.stop.Store(true)
		s.endLooks()
		s.reader.Flush()
		<-s.read
	}
}

func (s *slowing) endLooks() {
	select {
	case <-s.looks:
	default:
		close(s.looks)
	}
	<-s.looked
}

func (s *slowing) close() {
	s.endLooks()
	s.hanging.Close()
	s.reader.Close()
	<-s.read
}

// SlowLost is how many calls have ended so far of which it was not told.
func (c *Counter) SlowLost() (n uint64) {
	c.programs.SlowLost.Get(&n)
	return n
}

// parse takes a record apart.
func (s *Slow) parse(record []byte) bool {
	var r slowRecord
	abis := kernelABIs()
	if _, err := binary.Decode(record, binary.NativeEndian, &r); err != nil || int(r.ABI) >= len(abis) || int(r.Why) >= len(endings) ||
		r.Kind > uint32(SlowBrokenOff) {
		return false
	}
	name := func(b *[16]byte) string { text, _, _ := bytes.Cut(b[:], []byte{0}); return string(text) }
	*s = Slow{Kind: SlowKind(r.Kind), PID: int32(r.PID), TID: int32(r.TID), Process: name(&r.Process), Thread: name(&r.Name), ABI: abis[r.ABI],
		Nr: uint64(r.Nr), Args: r.Args, Ns: int64(r.Ns), Since: r.Since, Why: endings[r.Why], Unseen: r.Unseen != 0}
	if r.Resumes > 0 {
		s.Resumes = uint64(r.Resumes - 1)
		if s.ABI == syscalltab.X32 {
			s.Resumes |= 0x40000000
		}
	}
	if s.Ret = r.Result; r.Result < 0 && r.Result >= -4095 {
		s.Ret, s.Errno = -1, int32(-r.Result)
	}
	return true
}

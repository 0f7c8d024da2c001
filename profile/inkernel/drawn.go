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
	"github.com/cilium/ebpf/ringbuf"

	"sysprof/profile"
	"sysprof/profile/inkernel/mapped"
	"sysprof/syscalltab"
)

// Drawn is a call that was drawn at random, with the registers of its thread and a copy of its stack. Calls of each row are
// drawn, of rare ones all, and long ones more often: Weight is how many it stands for.
type Drawn struct {
	Kind   DrawnKind
	Thread uint64 // which one it is, also when it has got another number
	PID    int32
	TID    int32
	Parent int32 // of the process
	Hidden bool  // these numbers are others than the processes have here (SharesPIDs): they cannot be looked at

	// What the process is: another one may have its number later, and it may become another program.
	Started uint64
	Program uint32

	// Maps are the executable mappings of the process at that moment, in the words of /proc/PID/maps, if it has executed a program
	// since Begin; else nil. It may be asked for as long as the call is handed over.
	Maps func() []byte

	Process, Name string // of the first thread, and of this one

	ABI      syscalltab.ABI
	Nr       uint64
	Errno    int32
	Ns       int64
	AsleepNs int64
	Weight   float64
	Why      profile.Ending // if InFlight
	Unseen   bool           // it was entered before the counting

	at        uint64
	IP        uint64
	Registers [33]uint64 // by their DWARF numbers
	Stack     []byte     // from the stack pointer on
	Beyond    []byte     // of another stack, to which the frame pointers lead
	BeyondAt  uint64
}

// StackPointer is where the thread's stack begins.
func (d *Drawn) StackPointer() uint64 { return d.Registers[stackPointer()] }

// Args are the call's arguments, as its registers have them when it has returned.
func (d *Drawn) Args() (args [6]uint64) {
	order := argumentsOf(d.ABI)
	for i, register := range order {
		args[i] = d.Registers[register]
	}
	return args
}

// DrawnKind says what is known of a call.
type DrawnKind uint32

const (
	Returned DrawnKind = iota // all
	Copied                    // it was entered, or is broken off: the stack, for what follows
	Follows                   // it has returned: all but the stack, which was copied before
	InFlight                  // it has not returned: all but the stack, which may have been copied before
)

// drawnHead is what a record has before the copies; struct drawn in the programs.
type drawnHead struct {
	Kind, ABI           uint32
	Nr                  int64
	Thread, Ns          uint64
	Errno, Why, Unseen  uint32
	Weight, Every, Of   uint32
	Runtime, Switches   uint32
	PID, TID, Parent    uint32
	Stack, Beyond       uint32
	Program             uint32
	At                  uint64
	Started, BeyondAt   uint64
	Process, ThreadName [16]byte
	IP                  uint64
	Registers           [32]uint64
}

// drawing reads the ring of drawn calls.
type drawing struct {
	reader *ringbuf.Reader
	done   chan struct{} // closed when all has been read
	gap    *ebpf.Variable
	bytes  *ebpf.Variable
	stop   atomic.Bool
	hidden bool
	mapped *mapped.Watch // nil: that is refused
	failed error
}

const (
	drawnASecond = 1000                   // calls, at most and on average
	shortestGap  = 250 * time.Microsecond // as stack_gap in the programs
	longestGap   = time.Minute
	drawnPace    = 20 * time.Millisecond // so often it is looked how many there are

	// Without being woken, the ring is looked at this often. It has room for 400 stacks: with a quarter of it, a
	// shell that starts five programs lost stacks in one of four runs, since each is first unwound with files that nobody has read yet.
	drawnLook = 20 * time.Millisecond

	mostStack = 5 * 4096 // STACK in the programs
)

// setDrawing tells the programs whether calls are drawn, and of which the stack is copied at their entry.
func (c *Counter) setDrawing(spec *ebpf.CollectionSpec) (constants map[string]any) {
	if !c.options.Draws {
		spec.Maps[programsMapRing].MaxEntries = uint32(os.Getpagesize())
		return nil
	}
	if c.options.ring > 0 {
		spec.Maps[programsMapRing].MaxEntries = uint32(c.options.ring)
	}
	var atEntry [(kernelABICount*numbers + 63) / 64]uint64
	for i, abi := range kernelABIs() {
		for _, name := range []string{"execve", "execveat", "rt_sigreturn", "sigreturn"} {
			nr, ok := abi.Number(name)
			if !ok {
				continue
			}
			if index, ok := indexOf(uint32(i), nr); ok {
				atEntry[index/64] |= 1 << (index % 64)
			}
		}
	}
	return map[string]any{programsVarDrawing: uint32(1), programsVarReadAtEntry: atEntry}
}

// Draw has each gets all drawn calls, from Begin on, one after the other. What it is given is valid only during the call. It
// returns whether more of the stack would have been needed. If stacks is false none are copied.
//
// Precondition: Options.Draws, and it is called before Begin.
func (c *Counter) Draw(stacks bool, each func(*Drawn) (short bool)) error {
	reader, err := ringbuf.NewReader(c.programs.Ring)
	if err != nil {
		return fmt.Errorf("read the ring of stacks: %w", err)
	}
	d := &drawing{reader: reader, done: make(chan struct{}), gap: c.programs.StackGap, bytes: c.programs.StackBytes,
		hidden: !c.SharesPIDs()}
	if !stacks || d.hidden {
		if err := d.bytes.Set(uint32(0)); err != nil {
			return err
		}
	}
	if stacks && !d.hidden {
		d.mapped, _ = mapped.Begin() // without, mappings are read while processes last
	}
	c.drawing = d
	go d.read(each)
	return nil
}

// DrawnAll returns when all that was drawn until End has been handed over. It reports what has gone wrong.
func (c *Counter) DrawnAll() error {
	d := c.drawing
	if d == nil {
		return nil
	}
	d.stop.Store(true)
	d.reader.Flush()
	if !d.ended() {
		return errors.New("stacks: a file that they lead through could not be read in time")
	}
	return d.failed
}

// ended waits until all has been handed over, but not for a file system that does not answer.
func (d *drawing) ended() bool {
	const patience = 10 * time.Second
	select {
	case <-d.done:
		return true
	case <-time.After(patience):
		return false
	}
}

func (d *drawing) read(each func(*Drawn) bool) {
	defer close(d.done)
	if d.mapped != nil {
		defer d.mapped.Close()
	}
	var record ringbuf.Record
	var drawn Drawn
	gap, n, last := shortestGap, 0, time.Now()
	for {
		d.reader.SetDeadline(time.Now().Add(drawnLook))
		err := d.reader.ReadInto(&record)
		switch {
		case errors.Is(err, ringbuf.ErrFlushed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if d.stop.Load() {
				return
			}
		case err != nil:
			d.failed = fmt.Errorf("read the ring of stacks: %w", err)
			return
		default:
			if !drawn.parse(record.RawSample) {
				continue
			}
			n++
			drawn.Hidden = d.hidden
			drawn.Maps = func() []byte { return nil }
			if d.mapped != nil {
				drawn.Maps = func() []byte { return d.mapped.Maps(drawn.PID, drawn.at) }
			}
			if each(&drawn) {
				d.copyMore()
			}
		}
		if passed := time.Since(last); passed >= drawnPace {
			if next := nextGap(gap, float64(n)/passed.Seconds()); next != gap && d.gap.Set(uint64(next)) == nil {
				gap = next
			}
			n, last = 0, time.Now()
			if d.mapped != nil {
				d.mapped.Read()
			}
		}
	}
}

// nextGap is how far apart calls of a row are to be drawn from now on, if so many have been drawn a second.
func nextGap(gap time.Duration, aSecond float64) time.Duration {
	const step = 2
	by := min(max(aSecond/drawnASecond, 1.0/step), step)
	if by > 0.8 && by < 1.1 {
		return gap
	}
	return min(max(time.Duration(float64(gap)*by), shortestGap), longestGap)
}

// copyMore has more of each stack be copied from now on.
func (d *drawing) copyMore() {
	var now uint32
	if d.bytes.Get(&now) == nil && now < mostStack {
		d.bytes.Set(uint32(mostStack))
	}
}

// parse takes a record apart.
func (d *Drawn) parse(record []byte) bool {
	var h drawnHead
	if _, err := binary.Decode(record, binary.NativeEndian, &h); err != nil {
		return false
	}
	size := binary.Size(&h)
	abis := kernelABIs()
	if int(h.ABI) >= len(abis) || int(h.Why) >= len(endings) || uint64(len(record)) < uint64(size)+uint64(h.Stack)+uint64(h.Beyond) {
		return false
	}
	name := func(b *[16]byte) string { text, _, _ := bytes.Cut(b[:], []byte{0}); return string(text) }
	*d = Drawn{
		Kind: DrawnKind(h.Kind), Thread: h.Thread, PID: int32(h.PID), TID: int32(h.TID), Parent: int32(h.Parent),
		Started: h.Started, Program: h.Program, Process: name(&h.Process), Name: name(&h.ThreadName),
		ABI: abis[h.ABI], Nr: uint64(h.Nr), Errno: int32(h.Errno), Ns: int64(h.Ns), AsleepNs: h.asleepNs(),
		Weight: float64(h.Weight) * float64(h.Every) / float64(max(h.Of, 1)), Why: endings[h.Why], Unseen: h.Unseen != 0,
		at: h.At, IP: h.IP, BeyondAt: h.BeyondAt,
	}
	copy(d.Registers[:], h.Registers[:])
	if d.Kind == Returned || d.Kind == Copied {
		d.Stack = record[size : size+int(h.Stack)]
		d.Beyond = record[size+int(h.Stack):][:h.Beyond]
	}
	return true
}

// asleepNs is how long the thread slept in the call. The kernel has not slept at all if it never gave the CPU away by
// itself. How long it ran is known by the ticks that it saw, and when it gave the CPU away: in short calls what it ran
// before them is in that, too.
func (h *drawnHead) asleepNs() int64 {
	const byTicksNs = 20_000_000 // some ticks, so that one more or less is no great part
	ns := int64(h.Ns)
	if h.Switches == 0 {
		return 0
	}
	if ns < byTicksNs {
		return ns
	}
	return max(ns-int64(h.Runtime)<<runtimeShift, 0)
}

const runtimeShift = 10 // of a unit that the thread's time is in

package inkernel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// Options say what is counted.
type Options struct {
	Everybody bool            // all processes but this one
	Calls     *syscalltab.Set // nil: all

	// Timed says that of calls that are frequent and short one in so many is timed. 0 and 1: all are.
	Timed int

	// Signals has it be noted which signals the command is sent (SignalledSince).
	Signals bool

	// Draws has calls be drawn, with their stacks (Draw).
	Draws bool

	// Slower says which single calls are told of (OnSlow). Then all calls are timed.
	Slower Slower

	By      Fields // what groups of calls differ in; 0: there are none
	ByExits bool   // it is said even whose the calls are that end their threads

	ring         int // for tests: bytes for drawn calls
	slots, spill int // for tests: how many threads have a slot of their own, a power of two, and how many more there may be
	flights      int // for tests: how many rows of calls in flight say whose they are
	groups       *groupSizes
}

// Counter counts from Begin to End. Its methods may be called by several threads at once but for Begin, End and Close.
type Counter struct {
	options  Options
	programs programsObjects
	links    []link.Link // in the order in which they were attached
	rows     rows
	pace     pace
	price    Price
	drawing  *drawing // nil: nobody wants to know
	groups   *groups  // nil: likewise
	debts    debts
	slowing  *slowing // nil: likewise
}

// Load loads the programs, finds out what they cost, and attaches them. Nothing is counted before Begin. The error is a
// *Refused if it is for the kernel, or for what this process may do.
func Load(o Options) (*Counter, error) {
	around := lookAround()
	if refused := around.foreseen(); refused != nil {
		return nil, refused
	}
	c := &Counter{options: o}
	c.price.begin()
	if err := c.load(); err != nil {
		c.Close()
		return nil, around.explain(err)
	}
	return c, nil
}

func (c *Counter) load() error {
	spec, err := loadPrograms()
	if err != nil {
		return err
	}
	if err := c.setConstants(spec); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&c.programs, nil); err != nil {
		return err
	}
	if c.rows, err = newRows(&c.programs); err != nil {
		return err
	}
	if c.groups != nil {
		if err := c.groups.open(&c.programs); err != nil {
			return err
		}
	}
	if err := c.mark(os.Getpid(), markOurs); err != nil {
		return err
	}
	if c.options.Everybody {
		if err := c.programs.Everybody.Set(uint32(1)); err != nil {
			return err
		}
	}
	return c.attachPriced()
}

// setConstants tells the programs what they have to know before they are loaded.
func (c *Counter) setConstants(spec *ebpf.CollectionSpec) error {
	native, narrow := syscalltab.Native()[0], kernelABIs()[1]
	number := func(abi syscalltab.ABI, name string) uint64 {
		if nr, ok := abi.Number(name); ok {
			return nr
		}
		return ^uint64(0)
	}
	var unknown [kernelABICount]uint32
	var restarts [kernelABICount]uint64
	for i, abi := range kernelABIs() {
		restarts[i] = number(abi, "restart_syscall")
		if c.counts(abi, numberOfNone) {
			unknown[i] = 1
		}
	}
	constants := map[string]any{
		programsVarNrExecve:          number(native, "execve"),
		programsVarNrExit:            number(native, "exit"),
		programsVarNrExitGroup:       number(native, "exit_group"),
		programsVarNrExitCompat:      number(narrow, "exit"),
		programsVarNrExitGroupCompat: number(narrow, "exit_group"),
		programsVarUnknownCounted:    unknown,
		programsVarNrRestart:         restarts,
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count CPUs: %w", err)
	}
	maps.Copy(constants, c.setDrawing(spec))
	maps.Copy(constants, c.setSlower(spec))
	maps.Copy(constants, c.setGroups(spec, cpus))
	constants[programsVarMostRows] = rowsFor(cpus)
	spec.Maps[programsMapRows].MaxEntries = rowsFor(cpus)
	slots := cmp.Or(uint32(c.options.slots), slotsFor(threadsHere()))
	constants[programsVarSlotMask] = slots - 1
	spec.Maps[programsMapSlots].MaxEntries = slots
	if c.options.spill > 0 {
		spec.Maps[programsMapSpill].MaxEntries = uint32(c.options.spill)
	}
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// slotsFor is how many slots there are: fewer where there are not so many threads that those who find a slot taken would be too many.
func slotsFor(threads int) uint32 {
	const most, many = 65536, 8192
	if threads <= many {
		return most / 2
	}
	return most
}

// threadsHere is how many threads there are on this machine.
func threadsHere() (n int) {
	var load [3]float64
	var running int
	text, _ := os.ReadFile("/proc/loadavg") // proc(5)
	fmt.Sscanf(string(text), "%f %f %f %d/%d", &load[0], &load[1], &load[2], &running, &n)
	return n
}

// numberOfNone is that of no call, as any that is in no table.
const numberOfNone = 1 << 29

func (c *Counter) counts(abi syscalltab.ABI, nr uint64) bool {
	return c.options.Calls == nil || c.options.Calls.Has(abi, nr)
}

// attachPriced attaches all programs, and measures what that does to calls.
func (c *Counter) attachPriced() error {
	p := &c.programs
	c.price.begin()
	tracing := []*ebpf.Program{p.Ended, p.Forked}
	if c.options.By&(ByComm|ByThread) != 0 {
		tracing = append(tracing, p.Renamed)
	}
	if c.options.By&ByCgroup != 0 {
		tracing = append(tracing, p.Moved)
	}
	if c.options.Signals {
		tracing = append(tracing, p.SignalSent)
	}
	for _, program := range tracing {
		if err := c.attach(link.AttachTracing(link.TracingOptions{Program: program, AttachType: ebpf.AttachTraceRawTp})); err != nil {
			return err
		}
	}
	if err := c.attach(link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_exit", Program: p.Leave})); err != nil {
		return err
	}
	if err := c.attach(link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: p.Enter})); err != nil {
		return err
	}
	if err := c.chooseCalls(); err != nil {
		return err
	}
	if err := c.price.measure(c); err != nil {
		return err
	}
	_, err := c.rows.read() // what the price took is nobody's
	c.rows.forget()
	if c.groups != nil {
		_, takeErr := c.groups.take()
		err = errors.Join(err, takeErr)
	}
	return errors.Join(err, c.programs.Seen.Set(uint64(0)))
}

func (c *Counter) attach(l link.Link, err error) error {
	if err != nil {
		return err
	}
	c.links = append(c.links, l)
	return nil
}

// chooseCalls says of each call in the tables whether it is counted.
func (c *Counter) chooseCalls() error {
	var keys []uint32
	var values []call
	for i, abi := range kernelABIs() {
		for n := range uint32(numbers) {
			value := call{}
			if c.counts(abi, numberAt(abi, n)) {
				value.Every = 1
			}
			keys, values = append(keys, uint32(i*numbers)+n), append(values, value)
		}
	}
	if _, err := c.programs.Calls.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("choose calls: %w", err)
	}
	return nil
}

// What a process is named as; see enum mark in the programs.
const (
	markTarget  = uint32(1)
	markOurs    = uint32(2)
	markCommand = uint32(4)
)

// Add names a process to be counted.
func (c *Counter) Add(pid int) error { return c.mark(pid, markTarget) }

// AddCommand names a process that is to be counted from its next execve on.
func (c *Counter) AddCommand(pid int) error { return c.mark(pid, markCommand) }

// mark keeps with a process, found by a descriptor, what it is named as. So it is right in pid namespaces, and a process
// that gets the number of one that has ended is not taken for it.
func (c *Counter) mark(pid int, as uint32) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	key := int32(fd)
	if err := c.programs.Marks.Put(&key, &as); err != nil {
		return fmt.Errorf("mark process %d: %w", pid, err)
	}
	return nil
}

// Begin begins to count all that has been named.
func (c *Counter) Begin() error {
	if err := c.programs.Began.Set(monotonicNs()); err != nil {
		return err
	}
	if err := c.pace.begin(c); err != nil {
		return err
	}
	return c.Enroll()
}

// Enroll begins to count what has been named since Begin.
func (c *Counter) Enroll() error {
	return errors.Join(c.programs.Looking.Set(uint32(1)), c.eachThread(), c.programs.Looking.Set(uint32(0)))
}

// eachThread has the kernel run the iterator that finds members, and calls in flight, over all threads.
func (c *Counter) eachThread() error {
	iter, err := link.AttachIter(link.IterOptions{Program: c.programs.Each})
	if err != nil {
		return fmt.Errorf("look at all threads: %w", err)
	}
	defer iter.Close()
	return eachThread(iter)
}

// eachThread has the kernel run an iterator over all threads.
func eachThread(iter *link.Iter) error {
	threads, err := iter.Open()
	if err != nil {
		return fmt.Errorf("look at all threads: %w", err)
	}
	defer threads.Close()
	_, err = io.Copy(io.Discard, threads)
	return err
}

// End ends the counting. What Take and Flights return then is final.
func (c *Counter) End() error {
	c.pace.end()
	err := c.programs.Over.Set(uint32(1))
	barrier()
	err = errors.Join(err, c.programs.TakingLeave.Set(uint32(1)), c.eachThread())
	for len(c.links) > 0 { // at once: they cost everybody
		last := len(c.links) - 1
		err = errors.Join(err, c.links[last].Close())
		c.links = c.links[:last]
	}
	return err
}

// Close lets go of everything.
func (c *Counter) Close() {
	c.pace.end()
	for i := len(c.links) - 1; i >= 0; i-- {
		c.links[i].Close()
	}
	c.links = nil
	if c.drawing != nil {
		c.drawing.reader.Close()
		c.drawing.ended()
	}
	if c.slowing != nil {
		c.slowing.close()
	}
	c.programs.Close()
}

// Members is how many threads are counted now, of how many processes the first thread is among them, and how many
// have been counted so far.
func (c *Counter) Members() (threads, processes, seen int) {
	get := func(v *ebpf.Variable) int {
		var n uint64
		v.Get(&n)
		return int(n)
	}
	return get(c.programs.Members), get(c.programs.Processes), get(c.programs.Seen)
}

// SignalledSince reports whether the command has been sent a signal since then, by another process than this one.
func (c *Counter) SignalledSince(sig unix.Signal, since time.Time) bool {
	var at [65]uint64
	if c.programs.Signalled.Get(&at) != nil || int(sig) >= len(at) || at[sig] == 0 {
		return false
	}
	return monotonicNs()-at[sig] <= uint64(time.Since(since))
}

// SharesPIDs reports whether processes have the numbers here that InFlight says: not in a PID namespace.
func (c *Counter) SharesPIDs() bool {
	var own uint32
	return c.programs.OwnPid.Get(&own) == nil && int(own) == os.Getpid()
}

// Price is what counting costs.
func (c *Counter) Price() Price { return c.price }

func monotonicNs() uint64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // which is ktime
	return uint64(t.Nano())
}

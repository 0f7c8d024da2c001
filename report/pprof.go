package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	pprof "github.com/google/pprof/profile"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/profile/stack/symbol"
)

// Pprof is a profile for go tool pprof: who makes which calls, how often, and how long they take.
//
// The leaf of each stack is the call itself, as a function sys_NAME of the kernel's. Above it stand the
// user's frames as Locate gives them.
type Pprof struct {
	Snapshot *profile.Snapshot // for the comments
	Samples  []cost.Sample     // whose values are in the order of Labels
	Meta     Meta
	Program  string // the file of the main program, no script; empty: not known

	Stack  func(id uint32) []*symbol.Location // the stack that a sample names, innermost first
	Labels Labels                             // what the samples' values are
}

// Labels knows what values are, as a label.Projection does.
type Labels interface {
	Labels(profile.Values) []label.Label
}

// Write writes the profile, compressed. It is checked first: an invalid profile is an error and nothing
// is written.
func (p Pprof) Write(w io.Writer) error {
	b := pprofBuilder{
		p:         p,
		locations: make(map[*symbol.Location]*pprof.Location),
		calls:     make(map[profile.Key]*pprof.Location),
		mappings:  make(map[*symbol.Mapping]*pprof.Mapping),
		functions: make(map[symbol.Frame]*pprof.Function),
		stacks:    make(map[stackKey][]*pprof.Location),
		labels:    make(map[profile.Values]*labelMaps),
	}
	out := b.build()
	if err := out.CheckValid(); err != nil {
		return fmt.Errorf("pprof profile: %w", err)
	}
	return out.Write(w)
}

type pprofBuilder struct {
	p         Pprof
	out       pprof.Profile
	hasCPU    bool
	locations map[*symbol.Location]*pprof.Location
	calls     map[profile.Key]*pprof.Location
	mappings  map[*symbol.Mapping]*pprof.Mapping
	functions map[symbol.Frame]*pprof.Function
	kernel    *pprof.Mapping

	// Profiles have up to 200,000 samples, which have most of this in common.
	stacks map[stackKey][]*pprof.Location
	labels map[profile.Values]*labelMaps
}

// stackKey is a stack with the call that was made from it.
type stackKey struct {
	call  profile.Key
	stack uint32
}

// labelMaps are a sample's labels.
type labelMaps struct {
	texts   map[string][]string
	numbers map[string][]int64
	units   map[string][]string
}

func (b *pprofBuilder) build() *pprof.Profile {
	for i := range b.p.Samples {
		b.hasCPU = b.hasCPU || b.p.Samples[i].CPUCalls > 0
	}
	nanoseconds := func(name string) *pprof.ValueType { return &pprof.ValueType{Type: name, Unit: "nanoseconds"} }
	b.out = pprof.Profile{
		SampleType: []*pprof.ValueType{
			{Type: "calls", Unit: "count"}, {Type: "errors", Unit: "count"}, nanoseconds("overhead"),
		},
		DefaultSampleType: "latency",
		PeriodType:        &pprof.ValueType{Type: "calls", Unit: "count"},
		Period:            1,
		DurationNanos:     int64(b.p.Meta.Duration),
		Comments:          pprofComments(b.p.Snapshot, b.p.Meta),
	}
	if start := b.p.Meta.Start; !start.IsZero() {
		b.out.TimeNanos = start.UnixNano()
	}
	if b.hasCPU {
		b.out.SampleType = append(b.out.SampleType, nanoseconds("cpu"))
	}
	// Viewers that know of no default show the last one.
	b.out.SampleType = append(b.out.SampleType, nanoseconds("latency"))

	b.kernel = &pprof.Mapping{
		Start: kernelStart, Limit: kernelStart + kernelSize, File: "[kernel.kallsyms]", HasFunctions: true,
	}
	samples := slices.Clone(b.p.Samples)
	slices.SortFunc(samples, func(x, y cost.Sample) int {
		return cmp.Or(cmp.Compare(x.ABI, y.ABI), cmp.Compare(x.Nr, y.Nr), cmp.Compare(x.Stack, y.Stack),
			slices.Compare(x.Values[:], y.Values[:]))
	})
	for i := range samples {
		b.out.Sample = append(b.out.Sample, b.sample(&samples[i]))
	}
	b.orderMappings()
	b.makeValid()
	return &b.out
}

// makeValid makes UTF-8 of all strings that come from programs, and from their arguments: a profile has no others
// (they are strings of a proto3 message).
func (b *pprofBuilder) makeValid() {
	valid := func(s *string) { *s = strings.ToValidUTF8(*s, "\ufffd") }
	for _, f := range b.out.Function {
		valid(&f.Name)
		valid(&f.SystemName)
		valid(&f.Filename)
	}
	for _, m := range b.out.Mapping {
		valid(&m.File)
	}
	for i := range b.out.Comments {
		valid(&b.out.Comments[i])
	}
	for _, l := range b.labels {
		for _, texts := range l.texts {
			for i := range texts {
				valid(&texts[i])
			}
		}
	}
}

// orderMappings puts the main program's mapping first, which is whose name viewers show, and the kernel's
// last. A program that no stack leads through, as without stacks, gets a mapping without addresses.
func (b *pprofBuilder) orderMappings() {
	main := slices.IndexFunc(b.out.Mapping, func(m *pprof.Mapping) bool { return m.File == b.p.Program })
	switch {
	case main < 0 && b.p.Program != "":
		b.out.Mapping = slices.Insert(b.out.Mapping, 0, &pprof.Mapping{File: b.p.Program})
	case main < 0:
		main = slices.Index(b.out.Mapping, b.mostCalls())
	}
	if main > 0 {
		m := b.out.Mapping[main]
		b.out.Mapping = slices.Insert(slices.Delete(b.out.Mapping, main, main+1), 0, m)
	}
	b.out.Mapping = append(b.out.Mapping, b.kernel)
	for i, m := range b.out.Mapping {
		m.ID = uint64(i + 1)
	}
}

// mostCalls returns the mapping that most calls come from, going by their outermost frames; nil if none has
// any.
func (b *pprofBuilder) mostCalls() (most *pprof.Mapping) {
	calls := make(map[*pprof.Mapping]int64)
	for _, s := range b.out.Sample {
		for _, l := range slices.Backward(s.Location[1:]) {
			if l.Mapping != nil { // as one that stands for what was cut off has not
				calls[l.Mapping] += s.Value[0]
				break
			}
		}
	}
	for _, m := range b.out.Mapping {
		if most == nil || calls[m] > calls[most] {
			most = m
		}
	}
	return most
}

func (b *pprofBuilder) sample(s *cost.Sample) *pprof.Sample {
	out := &pprof.Sample{
		Value:    make([]int64, 0, len(b.out.SampleType)),
		Location: b.stack(stackKey{s.Key, s.Stack}),
	}
	out.Value = append(out.Value, int64(s.Calls+s.Unfinished), int64(s.Errors), s.OverheadNs)
	if b.hasCPU {
		out.Value = append(out.Value, s.CPUNs)
	}
	out.Value = append(out.Value, s.LatencyNs)
	b.label(out, s.Values)
	return out
}

// standIns are the frames of samples whose stack is none.
var standIns = map[uint32][]*symbol.Location{
	profile.Others:     {{Lines: []symbol.Frame{{Function: "[others]"}}}},
	profile.NotStopped: {{Lines: []symbol.Frame{{Function: "[not stopped]"}}}},
}

// stack is the frames of a sample, the call first.
func (b *pprofBuilder) stack(k stackKey) []*pprof.Location {
	if known := b.stacks[k]; known != nil {
		return known
	}
	frames := FramesOf(k.stack, b.p.Stack)
	out := make([]*pprof.Location, 0, 1+len(frames))
	out = append(out, b.call(k.call))
	for _, l := range frames {
		out = append(out, b.location(l))
	}
	b.stacks[k] = out
	return out
}

func (b *pprofBuilder) label(out *pprof.Sample, values profile.Values) {
	l := b.labels[values]
	if l == nil {
		l = newLabelMaps(b.p.Labels.Labels(values))
		b.labels[values] = l
	}
	out.Label, out.NumLabel, out.NumUnit = l.texts, l.numbers, l.units
}

func newLabelMaps(labels []label.Label) *labelMaps {
	l := &labelMaps{texts: make(map[string][]string), numbers: make(map[string][]int64), units: make(map[string][]string)}
	for _, x := range labels {
		if x.IsText {
			l.texts[x.Name] = []string{x.Text}
			continue
		}
		l.numbers[x.Name] = []int64{x.Number}
		if x.Unit != "" {
			l.units[x.Name] = []string{x.Unit}
		}
	}
	return l
}

// The kernel's calls have addresses in a mapping of their own, made up from their numbers. Their real
// addresses differ from boot to boot, and merging and comparing profiles takes addresses that stay the same.
const (
	kernelStart = 0xffffffff80000000
	kernelSize  = 0x40000000
)

func (b *pprofBuilder) call(k profile.Key) *pprof.Location {
	if l := b.calls[k]; l != nil {
		return l
	}
	name := k.ABI.Name(k.Nr)
	// A plain read would merge with libc's read.
	line := symbol.Frame{Function: FunctionOf(k), SystemName: kernelSymbol(k, name)}
	l := &pprof.Location{
		ID:      uint64(len(b.out.Location) + 1),
		Mapping: b.kernel,
		Address: kernelStart + (uint64(k.ABI)<<20+k.Nr%(1<<16)<<4)%kernelSize,
		Line:    []pprof.Line{{Function: b.function(line)}},
	}
	b.calls[k] = l
	b.out.Location = append(b.out.Location, l)
	return l
}

// kernelSymbol is the kernel's name for the function that serves a call (SYSCALL_DEFINE in
// arch/*/include/asm/syscall_wrapper.h).
func kernelSymbol(k profile.Key, name string) string {
	switch k.ABI.String() {
	case "amd64", "x32":
		return "__x64_sys_" + name
	case "386":
		return "__ia32_sys_" + name
	case "arm64":
		return "__arm64_sys_" + name
	case "riscv64":
		return "__riscv_sys_" + name
	}
	return "sys_" + name
}

func (b *pprofBuilder) location(l *symbol.Location) *pprof.Location {
	if out := b.locations[l]; out != nil {
		return out
	}
	out := &pprof.Location{ID: uint64(len(b.out.Location) + 1), Address: l.Address, Mapping: b.mapping(l.Mapping)}
	for _, line := range l.Lines {
		out.Line = append(out.Line, pprof.Line{Function: b.function(line), Line: int64(line.Line)})
	}
	b.locations[l] = out
	b.out.Location = append(b.out.Location, out)
	return out
}

func (b *pprofBuilder) function(line symbol.Frame) *pprof.Function {
	line.Line, line.Inlined = 0, false
	if f := b.functions[line]; f != nil {
		return f
	}
	f := &pprof.Function{
		ID: uint64(len(b.out.Function) + 1), Name: line.Function,
		SystemName: systemName(line), Filename: line.File, StartLine: int64(line.StartLine),
	}
	b.functions[line] = f
	b.out.Function = append(b.out.Function, f)
	return f
}

// systemName is the linker's name of a function, or its name where that is the same. go tool pprof takes a name that is the
// same in both for one that is still to be shortened, as C++'s are: of Python's <module> nothing would be left
// (demangleSingleFunction in its internal/symbolizer). A name that it would shorten is the only one.
func systemName(line symbol.Frame) string {
	name := line.Function
	if line.SystemName != "" && line.SystemName != name {
		return line.SystemName
	}
	if (strings.ContainsAny(name, "<>[]") || strings.Contains(name, "::")) && strings.ContainsAny(name, "<(") {
		return ""
	}
	return name
}

func (b *pprofBuilder) mapping(m *symbol.Mapping) *pprof.Mapping {
	if m == nil {
		return nil
	}
	if out := b.mappings[m]; out != nil {
		return out
	}
	out := &pprof.Mapping{
		Start: m.Start, Limit: m.Limit, Offset: m.Offset,
		File: m.File, BuildID: m.BuildID,
		HasFunctions: m.HasFunctions, HasFilenames: m.HasFilenames,
		HasLineNumbers: m.HasLineNumbers, HasInlineFrames: m.HasInlineFrames,
	}
	b.mappings[m] = out
	b.out.Mapping = append(b.out.Mapping, out)
	return out
}

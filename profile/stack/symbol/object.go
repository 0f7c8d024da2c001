package symbol

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"sysprof/profile/stack"
	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/pclntab"
)

// A reader is an object file while its addresses are being resolved.
type reader struct {
	s      *Symbolizer
	ctx    context.Context
	work   int64 // that the file was given
	o      *Object
	b      *budget
	e      *elfFile
	debug  *elfFile // the separate debug file, or nil
	tried  bool     // it was looked for
	extra  []File   // to be closed
	final  []bool   // addresses that Go's table named
	golang bool     // it has that

	unwind  *stack.Functions // nil: none, or not looked for yet
	unwound bool             // it was looked for
	starts  *starts          // where functions may begin by the code; nil: that was not looked for
	code    *fileCode        // nil: not needed yet
}

// open reads the headers of an object file. A file with another build-id than was mapped is refused.
func (s *Symbolizer) open(ctx context.Context, o *Object, f File) (*reader, error) {
	r := &reader{s: s, o: o, ctx: ctx, b: &budget{work: min(s.opt.MaxWork, s.work), mem: s.opt.MaxMemory, stop: ctx.Done()}}
	r.work = r.b.work
	e, err := openELF(f, r.b)
	if err != nil {
		r.close()
		return nil, err
	}
	if o.src.BuildID != "" && e.buildID != o.src.BuildID {
		return nil, fmt.Errorf("build-id is %s, but that of the mapped file is %s", orNone(e.buildID), o.src.BuildID)
	}
	o.id = e.buildID
	r.e = e
	return r, nil
}

func orNone(s string) string {
	if s == "" {
		return "missing"
	}
	return s
}

func (r *reader) close() {
	for _, f := range r.extra {
		f.Close()
	}
	r.s.work -= r.work - max(r.b.work, 0)
}

// resolve asks one source after the other. addrs are sorted and distinct.
func (r *reader) resolve(ctx context.Context, addrs []uint64) [][]Frame {
	out := make([][]Frame, len(addrs))
	r.final = make([]bool, len(addrs))
	r.goNames(addrs, out)
	r.dwarfNames(ctx, addrs, out)
	r.symbolNames(ctx, addrs, out)
	pltNames(r.e, addrs, func(i int, name string) {
		if len(out[i]) == 0 || out[i][0].Function == "" {
			out[i] = []Frame{{SystemName: name, Function: r.s.demangle(strings.TrimSuffix(name, "@plt")) + "@plt"}}
		}
	})
	for i, frames := range out {
		out[i] = r.finish(frames)
	}
	r.placeNames(addrs, out)
	return out
}

// goNames asks Go's own table, which is in every Go program, stripped or not.
func (r *reader) goNames(addrs []uint64, out [][]Frame) {
	if len(addrs) == 0 {
		return
	}
	defer r.e.Drop()
	t, err := pclntab.Open(r.e.File, r.s.scans)
	if err != nil {
		return
	}
	r.golang = true
	var inlined []pclntab.InlinedFrame
	for i, a := range addrs {
		fn, ok := t.Func(a)
		if !ok || !r.e.text(a) {
			continue
		}
		inlined = fn.Inlined(a, inlined[:0])
		for j, f := range inlined {
			if f.Name == "" {
				break
			}
			out[i] = append(out[i], Frame{Function: f.Name, SystemName: f.Name, File: f.File, Line: f.Line,
				StartLine: f.StartLine, Inlined: j < len(inlined)-1})
		}
		if len(out[i]) > 0 {
			r.final[i] = true
			r.o.has = Has{true, true, true, true}
		}
	}
}

// missing returns the addresses without a name, and where they are in the list.
func missing(addrs []uint64, out [][]Frame) (list []uint64, index []int) {
	for i, a := range addrs {
		if len(out[i]) == 0 || out[i][len(out[i])-1].Function == "" {
			list, index = append(list, a), append(index, i)
		}
	}
	return list, index
}

// dwarfNames asks the debug information, in the file or beside it.
func (r *reader) dwarfNames(ctx context.Context, addrs []uint64, out [][]Frame) {
	list, index := missing(addrs, out)
	if len(list) == 0 {
		return
	}
	e := r.e
	d := openDwarf(e, r.s.demangle)
	if d == nil {
		if e = r.debugFile(ctx); e == nil {
			return
		}
		d = openDwarf(e, r.s.demangle)
	}
	if d == nil {
		return
	}
	d.alt = openDwarf(r.altFile(e), r.s.demangle)
	d.split = &splitFiles{r: r, skeletons: d}
	// The symbol tables must have something left to be read with.
	reserve := r.b.work / 4
	r.b.work -= reserve
	defer func() { r.b.work = max(r.b.work, 0) + reserve }()
	for i, frames := range d.resolve(ctx, list) {
		if len(frames) > 0 {
			out[index[i]] = frames
			r.o.has.Filenames = true
			r.o.has.LineNumbers = true
			r.o.has.InlineFrames = true
		}
	}
}

// symbolNames asks the symbol tables. They also improve the names of functions whose debug information has no mangled
// name: libc's read is __libc_read there, and a C++ function of internal linkage lacks its class.
func (r *reader) symbolNames(ctx context.Context, addrs []uint64, out [][]Frame) {
	var list []uint64
	var index []int
	for i, a := range addrs {
		if n := len(out[i]); n == 0 || !r.final[i] && !mangled(out[i][n-1].SystemName) {
			list, index = append(list, a), append(index, i)
		}
	}
	if len(list) == 0 {
		return
	}
	t := newSymbols(r.e, list)
	stripped := false
	if !t.add(r.e, elf.SHT_SYMTAB) {
		if d := r.debugFile(ctx); d == nil || !t.add(d, elf.SHT_SYMTAB) {
			stripped = true
			t.add(r.e, elf.SHT_DYNSYM)
			if m := r.miniDebug(); m != nil {
				t.add(m, elf.SHT_SYMTAB)
			}
		}
	}
	for i, p := range t.resolve() {
		name := p.name()
		if name == "" || stripped && p.size == 0 && !r.belongs(p.value, list[i]) {
			continue
		}
		frames := out[index[i]]
		if n := len(frames); n > 0 {
			// The outermost frame is the function whose code it is.
			f := &frames[n-1]
			switch {
			case f.Function == "" || mangled(name):
				f.SystemName = name
			case f.SystemName == name:
				f.Function = name // extern "C": it is in a scope, and linked without
			case p.function && p.bind != bindLocal && underscores(name) < underscores(f.Function):
				f.SystemName, f.Function = cmp.Or(f.SystemName, f.Function), name
			}
			continue
		}
		out[index[i]] = []Frame{{SystemName: name}}
	}
}

// maxMini bounds the decompressed .gnu_debugdata.
const maxMini = 64 << 20

// miniDebug opens the compressed ELF file of symbols that some distributions put into stripped programs.
func (r *reader) miniDebug() *elfFile {
	v := r.e.raw(r.e.section(".gnu_debugdata"))
	if v == nil || v.size > maxMini/4 {
		return nil
	}
	packed, err := v.load(0, v.size, nil)
	if err != nil {
		return nil
	}
	limit := min(maxMini, r.b.mem/2, r.b.work) // the other half is for the dictionary
	data, err := unxz(packed, int(limit), r.b.goOn)
	if err != nil || !r.b.hold(int64(len(data))) || !r.b.spend(4*len(data)) {
		return nil
	}
	e, err := openELF(Bytes(data), r.b)
	if err != nil {
		return nil
	}
	return e
}

// finish makes the names of frames fit to be printed, and drops frames that say nothing.
func (r *reader) finish(frames []Frame) []Frame {
	if len(frames) == 0 || frames[len(frames)-1].Function == "" && frames[len(frames)-1].SystemName == "" {
		return nil
	}
	for i := range frames {
		f := &frames[i]
		if f.Function == "" || mangled(f.SystemName) {
			f.Function = r.s.demangle(f.SystemName)
		}
		if f.SystemName == "" {
			f.SystemName = f.Function
			f.Function = simple(f.Function)
		}
		f.Function, f.SystemName, f.File = r.s.intern(f.Function), r.s.intern(f.SystemName), r.s.intern(f.File)
	}
	r.o.has.Functions = true
	return frames
}

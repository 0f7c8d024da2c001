package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sysprof/profile/stack"
	"sysprof/profile/stack/symbol"
)

// Locate puts names to the stacks of these numbers. Processes that are gone are no hindrance. When ctx ends it
// returns at once, with the names that are known by then.
func (c *Capturer) Locate(ctx context.Context, ids []uint32, opt symbol.Options) map[uint32][]*symbol.Location {
	l := &locator{
		c:        c,
		located:  make(map[uint32]*symbol.Location),
		mappings: make(map[*stack.Mapping]*symbol.Mapping),
		vdso:     make(map[string]*symbol.Object),
		perf:     make(map[*owner][]perfPlace),
		marked:   make(map[*symbol.Location]stack.Mark),
		endings:  make(map[stack.Reason]*symbol.Location),
		symbols:  symbol.New(opt),
	}
	located := make(map[uint32][]*symbol.Location, len(ids))
	c.storeMu.Lock()
	for _, id := range ids {
		places, end := c.store.at(id)
		if len(places) == 0 {
			continue
		}
		locations := make([]*symbol.Location, 0, len(places)+1)
		for _, p := range places {
			if p == gap {
				locations = append(locations, l.ending(stack.Truncated))
				continue
			}
			locations = append(locations, l.location(p))
		}
		if end != 0 {
			locations = append(locations, l.ending(end))
		}
		located[id] = locations
	}
	c.storeMu.Unlock()
	l.resolve(ctx)
	return located
}

// locator makes locations first, each once, and names them all together in the end.
type locator struct {
	c        *Capturer
	located  map[uint32]*symbol.Location // by place
	mappings map[*stack.Mapping]*symbol.Mapping
	vdso     map[string]*symbol.Object
	perf     map[*owner][]perfPlace
	marked   map[*symbol.Location]stack.Mark
	symbols  *symbol.Symbolizer

	addresses []symbol.Address
	unnamed   []unnamed // as addresses
	endings   map[stack.Reason]*symbol.Location
}

// unnamed is a location that is to be named.
type unnamed struct {
	location *symbol.Location
	object   *symbol.Object
	mapping  *stack.Mapping
	offset   uint64 // in the file, of the location's address
}

// perfPlace is a location in code that was made at run time.
type perfPlace struct {
	location *symbol.Location
	pc       uint64
}

// location finds or makes the location of a place.
func (l *locator) location(number uint32) *symbol.Location {
	if found := l.located[number]; found != nil {
		return found
	}
	p := &l.c.store.places[number]
	location := &symbol.Location{Address: p.at}
	l.located[number] = location
	if p.mark != 0 {
		l.marked[location] = p.mark
	}
	m := p.mapping
	if m == nil {
		location.Lines = []symbol.Frame{{Function: fmt.Sprintf("[unmapped] 0x%x", p.at)}}
		return location
	}
	location.Mapping = l.mapping(m)
	switch {
	case m.IsFile():
		location.Address = p.at - m.Offset + location.Mapping.Start
		l.name(location, l.c.files.objectOf(m), m, p.at)
	case m.IsVDSO():
		location.Address = p.at + location.Mapping.Start
		l.name(location, l.vdsoObject(p.owner.vdso), m, p.at)
	default:
		l.perf[p.owner] = append(l.perf[p.owner], perfPlace{location, p.at})
		// By its address: a distance from the beginning of its mapping would be that of other code in another one.
		location.Lines = []symbol.Frame{{Function: fmt.Sprintf("[anon] 0x%x", p.at)}}
	}
	return location
}

func (l *locator) name(location *symbol.Location, object *symbol.Object, m *stack.Mapping, offset uint64) {
	l.addresses = append(l.addresses, symbol.Address{Object: object, Offset: offset})
	l.unnamed = append(l.unnamed, unnamed{location, object, m, offset})
}

// ending stands for frames that were not found, or not kept.
func (l *locator) ending(why stack.Reason) *symbol.Location {
	if l.endings[why] == nil {
		name := "[incomplete]"
		switch why {
		case stack.Truncated:
			name = "[truncated]"
		case stack.Unread:
			name = "[unread]"
		}
		l.endings[why] = &symbol.Location{Lines: []symbol.Frame{{Function: name}}}
	}
	return l.endings[why]
}

func (l *locator) mapping(m *stack.Mapping) *symbol.Mapping {
	if found := l.mappings[m]; found != nil {
		return found
	}
	file := m.Path
	if file == "" {
		file = "//anon" // as perf calls it
	}
	made := &symbol.Mapping{Start: m.Start, Limit: m.End, Offset: m.Offset, File: file}
	l.mappings[m] = made
	return made
}

func (l *locator) vdsoObject(image []byte) *symbol.Object {
	if found := l.vdso[string(image)]; found != nil {
		return found
	}
	object := symbol.NewObject(symbol.Source{
		Path: "[vdso]",
		Open: func() (symbol.File, error) { return symbol.Bytes(image), nil },
	})
	l.vdso[string(image)] = object
	return object
}

// resolve names all locations.
func (l *locator) resolve(ctx context.Context) {
	for i, frames := range l.symbols.Resolve(ctx, l.addresses) {
		u := &l.unnamed[i]
		u.location.Lines = frames
		if len(frames) == 0 {
			u.location.Lines = []symbol.Frame{{Function: symbol.Place(u.mapping.Path, u.offset)}}
		}
		if m := u.location.Mapping; m != nil && u.object != nil {
			has := u.object.Has()
			m.BuildID = u.object.BuildID()
			m.HasFunctions, m.HasFilenames = has.Functions, has.Filenames
			m.HasLineNumbers, m.HasInlineFrames = has.LineNumbers, has.InlineFrames
		}
	}
	for location, mark := range l.marked {
		nameMarked(location, mark)
	}
	for owner, places := range l.perf {
		if ctx.Err() != nil {
			return
		}
		l.resolvePerf(ctx, owner, places)
	}
}

// nameMarked names a frame that nobody has called, the same in every C library: many have no symbol for it.
func nameMarked(location *symbol.Location, mark stack.Mark) {
	name := "[signal handler]"
	if mark == stack.NewContext {
		name = "__start_context"
	}
	line := &location.Lines[0]
	*line = symbol.Frame{Function: name, SystemName: line.SystemName}
	location.Lines = location.Lines[:1]
}

// resolvePerf names code that was made at run time, where the program has written down what it is.
func (l *locator) resolvePerf(ctx context.Context, owner *owner, places []perfPlace) {
	slices.SortFunc(places, func(a, b perfPlace) int { return cmp.Compare(a.pc, b.pc) })
	pcs := make([]uint64, len(places))
	for i, p := range places {
		pcs[i] = p.pc
	}
	for i, frame := range l.symbols.PerfMap(ctx, func() (symbol.File, error) { return openPerfMap(owner) }, pcs) {
		if frame.Function != "" {
			places[i].location.Lines = []symbol.Frame{frame}
			m := places[i].location.Mapping
			m.HasFunctions = true
			m.HasFilenames = m.HasFilenames || frame.File != ""
			m.HasLineNumbers = m.HasLineNumbers || frame.Line != 0
		}
	}
}

func openPerfMap(owner *owner) (symbol.File, error) {
	root := fmt.Sprintf("/proc/%d/root", owner.pid)
	switch {
	case owner.root != nil:
		root = owner.root.path()
	case owner.ours:
		root = "/"
	}
	return symbol.OpenPerfMap(root, owner.own, owner.uid)
}

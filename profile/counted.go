package profile

// Whose says of calls that have been added up whose they are, as far as that was asked for.
type Whose struct {
	PID, TID     int32
	Comm, Thread string // what the process and the thread were called at the calls

	// The control group, as the kernel numbers it, and a process that was in it.
	CgroupID uint64
	Of       int32
}

// CountedGroup is calls that an engine has added up by whose they are. An engine may hand over several of one group.
type CountedGroup struct {
	Whose

	// Unknown says that there was no room to say whose they are.
	Unknown bool

	Rows     []CountedRow
	InFlight []Flight
}

// CountedRow is the calls of one kind, all of which succeeded or failed with the same errno.
type CountedRow struct {
	Key
	Errno        int32
	Calls        uint64
	SumNs        int64
	MinNs, MaxNs int64
	Buckets      []Bucket // of the latencies of all calls, in ascending order
}

// AddTo adds the calls to a Raw.
func (r *CountedRow) AddTo(raw *Raw) {
	row := raw.Calls[SameCPU].Row(r.Key)
	o := row.Outcome(r.Errno)
	h := &o.Latency
	before := int64(h.Sum())
	r.spread(func(ns int64, calls uint64) { h.RecordN(ns, calls) })
	h.ShiftSum(r.SumNs - (int64(h.Sum()) - before))
	o.NetNs = addSigned(o.NetNs, r.SumNs)
	row.RawNs = addClamped(row.RawNs, r.SumNs)
}

// spread says how many calls took how long: the shortest and the longest as they did, the others as the middle of their bucket.
func (r *CountedRow) spread(record func(ns int64, calls uint64)) {
	for i, b := range r.Buckets {
		n := b.Count
		if i == 0 && n > 0 {
			record(r.MinNs, 1)
			n--
		}
		if i == len(r.Buckets)-1 && n > 0 {
			record(r.MaxNs, 1)
			n--
		}
		if n > 0 {
			record(min(max(b.LowNs+(b.HighNs-b.LowNs)/2, r.MinNs), r.MaxNs), n)
		}
	}
}

// AddRow counts calls of the group that has the key, likewise. It returns how many calls the group had before.
func (g *Grouper) AddRow(from *CountedRow, key, last *Values) (before uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	number, _ := g.group(key)
	to := g.groups.at(number)
	before = to.calls
	to.last = *last
	g.addRow(number, from)
	return before
}

// AddRowToOthers counts calls of which it is not known whose they are.
func (g *Grouper) AddRowToOthers(from *CountedRow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.folded = max(g.folded, 1)
	g.addRow(g.others, from)
}

func (g *Grouper) addRow(number uint32, from *CountedRow) {
	g.total.calls += float64(from.Calls)
	g.total.ns += float64(from.SumNs)
	to := g.groups.at(number)
	to.calls = addSaturating(to.calls, from.Calls)
	to.netNs = addSigned(to.netNs, from.SumNs)
	r := g.rows.at(g.row(number, g.call(from.Key)))
	r.calls = addSaturating(r.calls, from.Calls)
	if from.Errno != 0 {
		r.errors = addSaturating(r.errors, from.Calls)
	}
	r.netNs = addSigned(r.netNs, from.SumNs)
	r.longNs = max(r.longNs, from.MaxNs)
	from.spread(func(ns int64, calls uint64) { g.pool.record(&r.sketch, ns, false, calls, g.buckets) })
}

// AddFlight counts calls of a group that have not returned; nil as the key: of the others.
func (g *Grouper) AddFlight(f *Flight, key, last *Values) {
	g.mu.Lock()
	defer g.mu.Unlock()
	number := g.others
	if key == nil {
		g.folded = max(g.folded, 1)
	} else {
		var isNew bool
		if number, isNew = g.group(key); isNew {
			g.groups.at(number).last = *last
		}
	}
	to := g.groups.at(number)
	to.inFlight = addFlight(to.inFlight, f)
}

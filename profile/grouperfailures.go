package profile

// groupFailure is the calls of a row of a group that failed with the same errno. Hardly a row has any, and few have several.
type groupFailure struct {
	calls          uint64
	netNs, linedNs int64 // as of the row
	longNs         int64
	errno          int32
	next           uint32 // failure of the row, and 1; 0: it is the last
	sketch         sketch
}

// failuresOfRows is that there are a quarter as many failures as rows at most: 10,000 processes have 50 rows each, and 13 failures.
const failuresOfRows = 4

// failure finds or makes the failures of a row of a group with an errno; nil if there are too many, but for those of the others: of
// that row it is not known then how its calls failed.
func (g *Grouper) failure(number uint32, r *groupRow, errno int32) *groupFailure {
	for next := r.failed; next != 0; {
		f := g.fails.at(next - 1)
		if f.errno == errno {
			return f
		}
		next = f.next
	}
	if g.fails.used() >= g.mostRows/failuresOfRows && number != g.others {
		return nil
	}
	i := g.fails.take()
	f := g.fails.at(i)
	f.errno, f.next = errno, r.failed
	r.failed = i + 1
	return f
}

// add adds calls, of which netNs and longNs are known, and whether they stood in line.
func (f *groupFailure) add(from *groupFailure, inLine bool) {
	f.calls = addSaturating(f.calls, from.calls)
	if inLine {
		f.linedNs = addSigned(f.linedNs, from.netNs)
		return
	}
	f.netNs = addSigned(f.netNs, from.netNs)
	f.longNs = max(f.longNs, from.longNs)
}

// merge adds the calls of another one, but for their sketch.
func (f *groupFailure) merge(from *groupFailure) {
	f.calls = addSaturating(f.calls, from.calls)
	f.netNs = addSigned(f.netNs, from.netNs)
	f.linedNs = addSigned(f.linedNs, from.linedNs)
	f.longNs = max(f.longNs, from.longNs)
}

// giveFailures removes those of a row.
func (g *Grouper) giveFailures(r *groupRow) {
	for next := r.failed; next != 0; {
		i := next - 1
		f := g.fails.at(i)
		next = f.next
		g.pool.release(&f.sketch)
		g.fails.give(i)
	}
	r.failed = 0
}

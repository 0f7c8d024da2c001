package label

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"sysprof/profile"
)

// Only says which calls are kept by the values of their fields. A nil one keeps all. It is safe for concurrent use.
type Only struct {
	p      *Projection
	fields []onlyField
}

// onlyField is what the value of one field may be.
type onlyField struct {
	at      int // among the values
	allowed []*regexp.Regexp

	mu    *sync.RWMutex // guards what follows
	known map[uint32]bool
}

// maxKnown is of how many values of a field it is remembered whether they are kept.
const maxKnown = 100_000

// Only adds to the projection what is asked of calls that are kept: FIELD=VALUE each, where a * in the value is anything, and a value
// of nothing is that of calls of which there is nothing to say. Calls are kept that have one of the values of each of the fields.
func (p *Projection) Only(conditions []string) (*Only, error) {
	o := &Only{p: p}
	for _, condition := range conditions {
		name, value, ok := strings.Cut(condition, "=")
		if !ok {
			return nil, fmt.Errorf("%q is no condition; want FIELD=VALUE, as comm=postgres", condition)
		}
		f, err := named(name, "field", GroupNames())
		if err != nil {
			return nil, err
		}
		p.tell(f)
		o.allow(p.Index(name), value)
	}
	return o, nil
}

func (o *Only) allow(at int, value string) {
	pattern := regexp.MustCompile(`^(?s:` + strings.ReplaceAll(regexp.QuoteMeta(value), `\*`, `.*`) + `)$`)
	for i := range o.fields {
		if o.fields[i].at == at {
			o.fields[i].allowed = append(o.fields[i].allowed, pattern)
			return
		}
	}
	o.fields = append(o.fields, onlyField{at, []*regexp.Regexp{pattern}, new(sync.RWMutex), make(map[uint32]bool)})
}

// Keeps reports whether a call of these values is kept.
func (o *Only) Keeps(v *profile.Values) bool {
	if o == nil {
		return true
	}
	for i := range o.fields {
		if f := &o.fields[i]; !f.keeps(o.p, v[f.at]) {
			return false
		}
	}
	return true
}

func (f *onlyField) keeps(p *Projection, value uint32) bool {
	f.mu.RLock()
	keeps, known := f.known[value]
	f.mu.RUnlock()
	if known {
		return keeps
	}
	text := p.text(f.at, value)
	for _, pattern := range f.allowed {
		keeps = keeps || pattern.MatchString(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxKnown {
		clear(f.known)
	}
	f.known[value] = keeps
	return keeps
}

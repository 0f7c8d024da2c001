package syscalltab

import (
	"maps"
	"slices"
	"sync/atomic"
)

// PerCall has a value for some calls, in every ABI that has them. A look-up takes some nanoseconds and
// allocates nothing, but for the first one of an ABI: most programs make calls of one, so that the tables of the
// others need not be made. Subcalls have no value, since their arguments are not in the registers of the call of that
// name. Safe for concurrent use.
type PerCall[T any] struct {
	byName map[string]T
	values [abiCount]atomic.Pointer[[]T] // by index; short where the last calls have none
}

// NewPerCall makes a PerCall of values by the names of calls. A name that an ABI does not know is left out there. The
// map is taken over.
func NewPerCall[T any](byName map[string]T) *PerCall[T] { return &PerCall[T]{byName: byName} }

// Of returns the value of a call, the zero value if it has none.
func (p *PerCall[T]) Of(abi ABI, nr uint64) (value T) {
	i, ok := abi.index(nr)
	if !ok {
		return value
	}
	values := p.values[abi].Load()
	if values == nil {
		values = p.fill(abi)
	}
	if i < len(*values) {
		value = (*values)[i]
	}
	return value
}

func (p *PerCall[T]) fill(abi ABI) *[]T {
	var values []T
	for nr, name := range abi.Each() {
		value, ok := p.byName[name]
		if !ok || abi.isSubcall(nr) {
			continue
		}
		i, _ := abi.index(nr)
		if missing := i + 1 - len(values); missing > 0 {
			values = append(values, make([]T, missing)...)
		}
		values[i] = value
	}
	p.values[abi].Store(&values)
	return &values
}

// Names lists the calls that have a value, in alphabetical order.
func (p *PerCall[T]) Names() []string { return slices.Sorted(maps.Keys(p.byName)) }

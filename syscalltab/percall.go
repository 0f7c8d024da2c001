package syscalltab

import (
	"maps"
	"slices"
)

// PerCall has a value for some calls, in every ABI that has them. A look-up takes some nanoseconds and
// allocates nothing. Subcalls have no value, since their arguments are not in the registers of the call of that name.
type PerCall[T any] struct {
	names  []string
	values [abiCount][]T // by index; short where the last calls have none
}

// NewPerCall makes a PerCall of values by the names of calls. A name that an ABI does not know is left out there.
func NewPerCall[T any](byName map[string]T) *PerCall[T] {
	p := &PerCall[T]{names: slices.Sorted(maps.Keys(byName))}
	for abi := range ABI(abiCount) {
		for name, value := range byName {
			nr, ok := abi.Number(name)
			if !ok || abi.isSubcall(nr) {
				continue
			}
			i, _ := abi.index(nr)
			for len(p.values[abi]) <= i {
				p.values[abi] = append(p.values[abi], *new(T))
			}
			p.values[abi][i] = value
		}
	}
	return p
}

// Of returns the value of a call, the zero value if it has none.
func (p *PerCall[T]) Of(abi ABI, nr uint64) (value T) {
	if i, ok := abi.index(nr); ok && i < len(p.values[abi]) {
		value = p.values[abi][i]
	}
	return value
}

// Names lists the calls that have a value, in alphabetical order. The caller must not change it.
func (p *PerCall[T]) Names() []string { return p.names }

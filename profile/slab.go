package profile

import "slices"

// slab has values in blocks, by their numbers. A value stays where it is. The zero slab is empty.
type slab[T any] struct {
	blocks [][]T
	free   []uint32
}

const slabBlock = 256

func (s *slab[T]) at(i uint32) *T { return &s.blocks[i/slabBlock][i%slabBlock] }

// used is how many values there are.
func (s *slab[T]) used() int { return s.made() - len(s.free) }

// made is how many numbers there are, of values that are there no more, too.
func (s *slab[T]) made() int {
	if len(s.blocks) == 0 {
		return 0
	}
	return (len(s.blocks)-1)*slabBlock + len(s.blocks[len(s.blocks)-1])
}

// take makes a new value, which is zero.
func (s *slab[T]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		i := s.free[last]
		s.free = s.free[:last]
		return i
	}
	last := len(s.blocks) - 1
	if last < 0 || len(s.blocks[last]) == slabBlock {
		s.blocks = append(s.blocks, make([]T, 0, slabBlock))
		last++
	}
	i := uint32(s.made())
	var zero T
	s.blocks[last] = append(s.blocks[last], zero)
	return i
}

// give removes a value.
func (s *slab[T]) give(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}

// clone returns a copy of all values.
func (s *slab[T]) clone() slab[T] {
	c := slab[T]{blocks: make([][]T, len(s.blocks)), free: slices.Clone(s.free)}
	for i := range s.blocks {
		c.blocks[i] = slices.Clone(s.blocks[i])
	}
	return c
}

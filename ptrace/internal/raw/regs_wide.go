//go:build !amd64

package raw

// byNarrowNumber is for 32-bit code, of which there are no stacks on this architecture.
func byNarrowNumber(_ *UserRegs, into *[33]uint64) { *into = [33]uint64{} }

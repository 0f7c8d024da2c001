package symbol

// Location is a place in a program, for a profile.
type Location struct {
	Address uint64 // in the mapping
	Mapping *Mapping
	Lines   []Frame // innermost first; there are several where functions were inlined
}

// Mapping is an executable part of a file. Every part of a file is one mapping, in however many
// processes it is mapped: addresses are rebased to it.
type Mapping struct {
	Start, Limit, Offset                                        uint64
	File, BuildID                                               string
	HasFunctions, HasFilenames, HasLineNumbers, HasInlineFrames bool
}

package elf

import (
	"debug/elf"
	"encoding/binary"
)

// A Symbol is an entry of a symbol table (System V gABI, chapter 4).
type Symbol struct {
	Name        uint32 // where it stands in the string table
	Info        uint8  // type in the low half, binding above it
	Shndx       uint16
	Value, Size uint64
}

// SymbolSize is the size of an entry of a symbol table.
func (f *File) SymbolSize() int {
	if f.Is64 {
		return elf.Sym64Size
	}
	return elf.Sym32Size
}

// DecodeSymbol decodes the first SymbolSize bytes of b.
func (f *File) DecodeSymbol(b []byte) Symbol {
	le := binary.LittleEndian
	if f.Is64 {
		return Symbol{Name: le.Uint32(b), Info: b[4], Shndx: le.Uint16(b[6:]), Value: le.Uint64(b[8:]), Size: le.Uint64(b[16:])}
	}
	return Symbol{Name: le.Uint32(b), Value: uint64(le.Uint32(b[4:])), Size: uint64(le.Uint32(b[8:])), Info: b[12],
		Shndx: le.Uint16(b[14:])}
}

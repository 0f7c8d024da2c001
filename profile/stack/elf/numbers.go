package elf

import "debug/elf"

// The types and numbers of the specification that users of this package need, under its own names.
type (
	Machine     = elf.Machine
	ProgType    = elf.ProgType
	ProgFlag    = elf.ProgFlag
	SectionType = elf.SectionType
	SectionFlag = elf.SectionFlag
)

const (
	EM_386     = elf.EM_386
	EM_X86_64  = elf.EM_X86_64
	EM_AARCH64 = elf.EM_AARCH64
	EM_ARM     = elf.EM_ARM
	EM_RISCV   = elf.EM_RISCV

	PT_LOAD         = elf.PT_LOAD
	PT_GNU_EH_FRAME = elf.PT_GNU_EH_FRAME

	PF_X = elf.PF_X
	PF_W = elf.PF_W

	SHT_SYMTAB = elf.SHT_SYMTAB
	SHT_DYNSYM = elf.SHT_DYNSYM
	SHT_RELA   = elf.SHT_RELA
	SHT_REL    = elf.SHT_REL
	SHT_NOBITS = elf.SHT_NOBITS

	STT_FUNC = elf.STT_FUNC

	SHF_ALLOC      = elf.SHF_ALLOC
	SHF_COMPRESSED = elf.SHF_COMPRESSED
)

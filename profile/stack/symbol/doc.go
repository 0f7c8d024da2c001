// Package symbol turns the distinct addresses of a finished run into function names, files, lines and
// inlined frames.
//
// How a batch is resolved (Symbolizer.Resolve):
//
//  1. Addresses are sorted by object file, so that each file is opened, read once and closed again. Nothing
//     of a file stays in memory but the frames it gave.
//  2. The file is opened by the caller's function, because only the caller knows the way that survives
//     containers, deletion and replacement (/proc/PID/root, map_files, exe). A file whose build-id is not
//     the mapped one names nothing.
//  3. Offsets become link-time addresses through the PT_LOAD table.
//  4. The sources are asked in turn for the addresses still without a name: Go's pclntab; DWARF, in the file
//     or in its separate debug file, with what was split off it (split.go); the symbol tables (.symtab, or .dynsym
//     and .gnu_debugdata together); the procedure linkage table.
//  5. What is still without a name is called by where its function begins, as unwind information has it (place.go), or what
//     the file's code calls and takes the addresses of, where that is sure (starts.go).
//
// Where names were stripped, a label without a size would name all that follows it. It names what unwind information, or else the
// code itself (package flow), says to be of its function (reach.go).
//
// A function is called what the demangler of its mangled name says, without parameters and template arguments. One that
// has no linkage name is put together to the same from the entries that it is declared in (scope.go).
//
// Every reader works from the sorted list of wanted addresses and passes once over the data: symbols, unit
// headers, line programs and debugging entries are matched against the list as they go by, and none of them
// is stored. So time is one pass, and memory is bounded by the number of addresses, not by the size
// of the binary. Of DWARF only the headers and root entries of all units are read; whole units are
// read where an address falls into their ranges.
//
// Object files are hostile: whoever is traced chose them. Three rules keep a wrong file from being more
// than a wrong name. Headers are read by package profile/stack/elf, and contents through type view, which never
// hands out bytes outside of a section. All work, a byte read or an entry looked at, is charged to a budget per
// object file, and a source whose budget is used up stops. All memory whose size the file chooses (decompression,
// a unit, a line program) is charged to a budget as well. There is no recover. debug/elf and debug/dwarf are not
// used: the first reads whole sections into memory, and the second builds a value for every attribute of every
// entry on the way to the wanted one, which took 12 times as long (3.3 s against 0.26 s) on 53 MB of .debug_info.
//
// The bounds named max… in this package stand far above what 1,232 ELF files of a Debian machine had at most: 74
// sections, 6 loaded segments, 2,063 units, 2,689 attributes in an abbreviation table, 703 files in a line table.
package symbol

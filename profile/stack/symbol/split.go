package symbol

import (
	"path"
	"strings"

	"sysprof/profile/stack/debugfile"
)

// splitFiles finds what a compiler has split off the debug information of a file (-gsplit-dwarf): the entries, which stand
// in a file for each unit (.dwo), or in a package of all (.dwp). What is left in the file is a skeleton of each unit, the
// addresses and the line tables.
type splitFiles struct {
	r         *reader
	skeletons *dwarfFile
	pack      *dwoPackage // nil: none, or not looked for yet
	looked    bool
}

// openingCost is the work that it takes to look for a file.
const openingCost = 1 << 15

// resolve finds the frames of a sorted list of addresses in the unit that a skeleton stands for. It is not ok if its
// entries are not found.
func (s *splitFiles) resolve(skeleton *root, addrs []uint64, lines *lineTable) (frames [][]Frame, ok bool) {
	if skeleton.dwoID == 0 || skeleton.dwoName.form == 0 {
		return nil, false
	}
	p := s.dwoPackage()
	extra, mem := len(s.r.extra), s.r.b.mem
	var d *dwarfFile
	if p != nil {
		d = p.unit(s.skeletons, skeleton.dwoID)
	}
	if d == nil || d.splitRoot(skeleton) == nil {
		d = s.open(skeleton)
	}
	if d != nil {
		frames = d.functions(d.splitRoot(skeleton), addrs, lines)
		mem -= d.nameMem
	}
	for _, f := range s.r.extra[extra:] {
		f.Close()
	}
	s.r.extra = s.r.extra[:extra]
	s.r.b.mem = mem // but for names, nothing is kept
	return frames, d != nil
}

// open opens the file of a unit, where the compiler has put it or beside the program.
func (s *splitFiles) open(skeleton *root) (found *dwarfFile) {
	name := s.skeletons.string(skeleton, skeleton.dwoName)
	dir := path.Dir(s.r.o.src.Path)
	places := []string{filePath(s.skeletons.string(skeleton, skeleton.compDir), "", name)}
	if !path.IsAbs(name) {
		places = append(places, path.Join(dir, name))
	}
	places = append(places, path.Join(dir, path.Base(name)))
	for i, p := range places {
		if !path.IsAbs(p) {
			p = path.Join(dir, p)
		}
		if name == "" || i > 0 && p == places[0] || !s.r.b.spend(openingCost) {
			continue
		}
		s.r.openDebug(p, s.programsNamesAreOurs(), func(e *elfFile) bool {
			d := openDwo(e, s.skeletons)
			if d == nil || d.splitRoot(skeleton) == nil {
				return false
			}
			found = d
			return true
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// programsNamesAreOurs reports whether what the file names may be looked for on this machine.
func (s *splitFiles) programsNamesAreOurs() bool {
	return s.skeletons.e.ours || s.r.o.src.OpenPath == nil
}

// dwoPackage opens the package, which is beside the program, beside its debug file, or with the debug files.
func (s *splitFiles) dwoPackage() *dwoPackage {
	if s.looked {
		return s.pack
	}
	s.looked = true
	fits := func(e *elfFile) bool {
		s.pack = openPackage(e)
		return s.pack != nil
	}
	s.r.openDebug(s.r.o.src.Path+".dwp", s.r.o.src.OpenPath == nil, fits)
	if debug := s.skeletons.e.path; debug != "" && s.pack == nil {
		s.r.openDebug(debug+".dwp", s.programsNamesAreOurs(), fits)
	}
	for _, dir := range s.r.s.opt.DebugDirs {
		if p, ok := strings.CutSuffix(debugfile.ByID(dir, s.r.e.buildID), ".debug"); ok && s.pack == nil {
			s.r.openDebug(p+".dwp", true, fits)
		}
	}
	return s.pack
}

// openDwo returns the debug information of a file of split-off units, or nil if it has none.
func openDwo(e *elfFile, skeletons *dwarfFile) *dwarfFile {
	return newSplit(e, skeletons, func(name string) *view { return e.data(name) })
}

// newSplit makes a reader of split-off units. section gives the contents of sections.
func newSplit(e *elfFile, skeletons *dwarfFile, section func(name string) *view) *dwarfFile {
	e.code = skeletons.e.code // it has none itself
	d := newDwarf(e, skeletons.demangle)
	d.info, d.abbrev = section(".debug_info.dwo"), section(".debug_abbrev.dwo")
	if d.info == nil || d.abbrev == nil {
		return nil
	}
	d.str, d.strOffsets = section(".debug_str.dwo"), section(".debug_str_offsets.dwo")
	d.rnglists = section(".debug_rnglists.dwo")
	// Addresses are in the file that is linked, and with them the range lists of DWARF 4.
	d.addr, d.ranges = skeletons.addr, skeletons.ranges
	return d
}

// splitRoot returns the root of the unit that a skeleton stands for, or nil if it is not there.
func (d *dwarfFile) splitRoot(skeleton *root) *root {
	d.readUnits()
	for _, u := range d.units {
		if u.kind == unitType || u.kind == unitSplitType {
			continue
		}
		r := d.rootOf(u)
		if r.dwoID != skeleton.dwoID {
			continue
		}
		r.addrBase, r.rangesBase = skeleton.addrBase, skeleton.splitRangesBase
		r.low, r.hasLow = skeleton.low, skeleton.hasLow
		return r
	}
	return nil
}

package symbol

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// splitProgram compiles sources in dir, unit by unit, as build systems do, and links them.
func splitProgram(t *testing.T, dir, compiler string, flags []string, sources ...string) string {
	t.Helper()
	var objects []string
	for _, s := range sources {
		object := filepath.Join(dir, strings.TrimSuffix(filepath.Base(s), filepath.Ext(s))+".o")
		runIn(t, dir, slices.Concat([]string{compiler, "-c", "-o", object, source(t, s)}, flags)...)
		objects = append(objects, object)
	}
	prog := filepath.Join(dir, "prog")
	runIn(t, dir, slices.Concat([]string{compiler, "-Wl,--build-id", "-o", prog}, objects)...)
	return prog
}

// runIn runs a command in a directory.
func runIn(t *testing.T, dir string, command ...string) {
	t.Helper()
	command[0] = program(t, command[0])
	run(t, "", append([]string{"env", "-C", dir}, command...)...)
}

// TestSplitDebugFiles: what was split off says the same as what was not, in files for each unit or in a package.
func TestSplitDebugFiles(t *testing.T) {
	inlined := []string{"-O2", "-std=c++17", "-DINLINED", "-DINLINE_LAMBDA=__attribute__((always_inline))"}
	for _, c := range []struct {
		name, compiler, packer string
		flags                  []string
		sources                []string
	}{
		// dwp of binutils 2.40 crashes with DWARF 5, and llvm-dwp 14 may go on for ever with several units.
		{"gcc DWARF 5", "gcc", "", []string{"-O2", "-gdwarf-5"}, []string{"prog.c", "second.c"}},
		{"gcc DWARF 4", "gcc", "dwp", []string{"-O2", "-gdwarf-4"}, []string{"prog.c", "second.c"}},
		{"gcc DWARF 4 types", "gcc", "dwp", []string{"-O2", "-gdwarf-4", "-fdebug-types-section"}, []string{"prog.c", "second.c"}},
		{"gcc unoptimized", "gcc", "", []string{"-O0", "-gdwarf-5"}, []string{"prog.c", "second.c"}},
		{"gcc compressed", "gcc", "", []string{"-O2", "-gdwarf-5", "-gz=zlib"}, []string{"prog.c", "second.c"}},
		{"g++ DWARF 5", "g++", "llvm-dwp", append([]string{"-gdwarf-5"}, inlined...), []string{"scopes.cc"}},
		{"g++ DWARF 4", "g++", "llvm-dwp", append([]string{"-gdwarf-4"}, inlined...), []string{"scopes.cc"}},
		{"clang++ DWARF 5", "clang++", "llvm-dwp", append([]string{"-gdwarf-5"}, inlined...), []string{"scopes.cc"}},
		{"clang++ DWARF 5 64 bits", "clang++", "", append([]string{"-gdwarf-5", "-gdwarf64"}, inlined...), []string{"scopes.cc"}},
		{"clang++ DWARF 4", "clang++", "llvm-dwp", append([]string{"-gdwarf-4"}, inlined...), []string{"scopes.cc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			opt := Options{DebugDirs: []string{}}
			whole := splitProgram(t, dir, c.compiler, c.flags, c.sources...)
			addrs := codeAddresses(t, whole, 3, 3000)
			want, _ := resolveFile(t, opt, fileSource(whole), addrs)
			prog := splitProgram(t, dir, c.compiler, append(c.flags, "-gsplit-dwarf"), c.sources...)
			// check compares names, and counts the frames that the skeletons do not have.
			check := func(what, prog string, source Source) {
				t.Helper()
				before := openFiles(t)
				got, o := resolveFile(t, opt, source, addrs)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", what, d)
				}
				if after := openFiles(t); after != before {
					t.Errorf("%s: %d files open, %d before", what, after, before)
				}
				inlined := 0
				for _, frames := range got {
					if len(frames) > 1 {
						inlined++
					}
				}
				if inlined == 0 && !slices.Contains(c.flags, "-O0") || !o.Has().LineNumbers {
					t.Errorf("%s: nothing is shown: %d addresses are in inlined functions", what, inlined)
				}
			}
			check("by the names that they have", prog, fileSource(prog))
			moved := t.TempDir()
			dwos, _ := filepath.Glob(filepath.Join(dir, "*.dwo"))
			if len(dwos) != len(c.sources) {
				t.Fatalf("%d files were split off", len(dwos))
			}
			if c.packer != "" {
				runIn(t, dir, c.packer, "-e", prog, "-o", prog+".dwp")
			}
			for _, name := range dwos {
				run(t, "", "mv", name, moved)
			}
			if c.packer != "" {
				check("package", prog, fileSource(prog))
				run(t, "", "rm", prog+".dwp")
			}
			got, _ := resolveFile(t, opt, fileSource(prog), addrs)
			if c.flags[0] != "-O0" && cmp.Equal(got, want) {
				t.Error("without the files there is the same")
			}
			run(t, "", "cp", prog, moved)
			check("beside the program", filepath.Join(moved, "prog"), fileSource(filepath.Join(moved, "prog")))
			// Those of another build are not believed.
			level := "-O0"
			if slices.Contains(c.flags, "-O0") {
				level = "-O2"
			}
			other := splitProgram(t, moved, c.compiler, append(c.flags, "-gsplit-dwarf", level), c.sources...)
			if other != filepath.Join(moved, "prog") {
				t.Fatal(other)
			}
			run(t, "", "cp", prog, moved)
			if old, _ := resolveFile(t, opt, fileSource(other), addrs); !cmp.Equal(old, got) {
				t.Errorf("files of another build: %s", cmp.Diff(got, old))
			}
		})
	}
}

// TestSplitFilesAreTheProgramsOwn: names that the file of a program gives are looked for in the program's files only, and
// no link leads out of them.
func TestSplitFilesAreTheProgramsOwn(t *testing.T) {
	dir := t.TempDir()
	prog := splitProgram(t, dir, "gcc", []string{"-O2", "-gdwarf-4", "-gsplit-dwarf"}, "prog.c", "second.c")
	runIn(t, dir, "dwp", "-e", prog, "-o", prog+".dwp")
	addrs := codeAddresses(t, prog, 3, 500)
	src := fileSource(prog)
	asked := map[string]bool{}
	src.OpenPath = func(name string) (File, error) {
		asked[name] = true
		return nil, os.ErrNotExist
	}
	got, _ := resolveFile(t, Options{DebugDirs: []string{}}, src, addrs)
	for _, frames := range got {
		if len(frames) > 1 {
			t.Fatalf("%v: a file of this machine was opened", frames)
		}
	}
	for _, name := range []string{prog + ".dwp", filepath.Join(dir, "prog.dwo")} {
		if !asked[name] {
			t.Errorf("%s was not looked for in the program's files: %v", name, asked)
		}
	}
}

// TestPackageOfADebugFile: beside the debug file of a program without debug information may be a package of its name.
func TestPackageOfADebugFile(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	prog := splitProgram(t, dir, "gcc", []string{"-O2", "-gdwarf-4", "-gsplit-dwarf"}, "prog.c", "second.c")
	addrs := codeAddresses(t, prog, 3, 500)
	opt := Options{DebugDirs: []string{}}
	want, _ := resolveFile(t, opt, fileSource(prog), addrs)
	stripped, debug := filepath.Join(elsewhere, "prog"), filepath.Join(elsewhere, "prog.debug")
	runIn(t, dir, "dwp", "-e", prog, "-o", debug+".dwp")
	runIn(t, elsewhere, "objcopy", "--only-keep-debug", prog, debug)
	runIn(t, elsewhere, "objcopy", "--strip-all", "--add-gnu-debuglink="+debug, prog, stripped)
	for _, name := range []string{"prog.dwo", "second.dwo"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := resolveFile(t, opt, fileSource(stripped), addrs)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// If the program has a root directory of its own, the package is looked for there only.
	asked := map[string]bool{}
	src := fileSource(stripped)
	src.OpenPath = func(name string) (File, error) {
		asked[name] = true
		if name != debug {
			return nil, os.ErrNotExist
		}
		return OpenFile(name)
	}
	if got, _ = resolveFile(t, opt, src, addrs); !asked[debug+".dwp"] || cmp.Equal(got, want) {
		t.Errorf("the program's files were asked for %v, and what is in the package is known: %t", asked, cmp.Equal(got, want))
	}
}

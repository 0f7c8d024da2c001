package symbol

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sysprof/profile/stack/internal/bounded"
)

// tinySplit builds the tiny program with what is split off it: the program, the file of its unit, and a package.
func tinySplit(tb testing.TB, version, packer string) (prog, dwo, dwp []byte) {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tiny.c"), []byte(tiny), 0o644); err != nil {
		tb.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	run(tb, "", "gcc", "-O2", version, "-gsplit-dwarf", "-c", "-o", at("tiny.o"), at("tiny.c"))
	run(tb, "", "gcc", "-nostdlib", "-Wl,-z,noseparate-code", "-o", at("tiny"), at("tiny.o"))
	read := func(name string) []byte {
		data, err := os.ReadFile(at(name))
		if err != nil {
			tb.Fatal(err)
		}
		return data
	}
	run(tb, "", packer, "-o", at("tiny.dwp"), at("tiny.dwo"))
	return read("tiny"), read("tiny.dwo"), read("tiny.dwp")
}

// FuzzSplit: neither a file of a split-off unit nor a package of them does harm.
func FuzzSplit(f *testing.F) {
	prog4, dwo4, dwp4 := tinySplit(f, "-gdwarf-4", "dwp")
	prog5, dwo5, dwp5 := tinySplit(f, "-gdwarf-5", "llvm-dwp")
	f.Add(prog4, dwo4, []byte{})
	f.Add(prog4, []byte{}, dwp4)
	f.Add(prog5, dwo5, []byte{})
	f.Add(prog5, []byte{}, dwp5)
	inlined := func(t testing.TB, prog, dwo, dwp []byte) (n int) {
		opened := 0
		o := NewObject(Source{Path: "/x/y", Open: func() (File, error) { return Bytes(prog), nil },
			OpenPath: func(name string) (File, error) {
				data := dwp
				if strings.HasSuffix(name, ".dwo") {
					data = dwo
				}
				if len(data) == 0 {
					return nil, os.ErrNotExist
				}
				opened++
				return counted{Bytes(data), &opened}, nil
			}})
		var addrs []Address
		e, err := openELF(Bytes(prog), &budget{work: 1 << 30})
		if err != nil {
			return 0
		}
		for _, s := range e.Segments {
			for i := range uint64(64) {
				addrs = append(addrs, Address{Object: o, Offset: s.Vaddr + s.Memsz*i/64, Vaddr: true})
			}
		}
		for _, frames := range New(fuzzOptions).Resolve(context.Background(), addrs) {
			if len(frames) > 1 {
				n++
			}
			if len(frames) > maxInlined {
				t.Errorf("%d frames", len(frames))
			}
			for _, fr := range frames {
				if len(fr.Function) > 2*maxName || len(fr.File) > 4*maxName || fr.Line < 0 || fr.StartLine < 0 {
					t.Errorf("%.100q %.100q:%d", fr.Function, fr.File, fr.Line)
				}
			}
		}
		if opened != 0 {
			t.Errorf("%d files are left open", opened)
		}
		return n
	}
	for _, seed := range [][3][]byte{{prog4, dwo4, nil}, {prog4, nil, dwp4}, {prog5, dwo5, nil}, {prog5, nil, dwp5}} {
		if inlined(f, seed[0], seed[1], seed[2]) == 0 {
			f.Error("a seed has no inlined functions: nothing is fuzzed")
		}
	}
	f.Fuzz(func(t *testing.T, prog, dwo, dwp []byte) {
		bounded.Run(t, 512, func() { inlined(t, prog, dwo, dwp) })
	})
}

// counted is a File that says when it is closed.
type counted struct {
	File
	open *int
}

func (c counted) Close() error {
	*c.open--
	return nil
}

// FuzzPackageIndex: an index of a package leads to an end.
func FuzzPackageIndex(f *testing.F) {
	for _, c := range [][2]string{{"-gdwarf-4", "dwp"}, {"-gdwarf-5", "llvm-dwp"}} {
		_, _, dwp := tinySplit(f, c[0], c[1])
		e, err := openELF(Bytes(dwp), &budget{work: 1 << 30, mem: 1 << 30})
		if err != nil {
			f.Fatal(err)
		}
		v := e.data(".debug_cu_index")
		index := bytes.Clone(v.at(0, int(v.size)))
		p := openPackage(e)
		if p == nil || p.rows != 1 {
			f.Fatalf("%s makes no index: %+v", c[1], p)
		}
		slot := uint64(0)
		for ; p.places+4*slot < v.size; slot++ {
			if b := (&buf{b: v.at(p.places+4*slot, 4)}); b.u32() == 1 {
				break
			}
		}
		id := (&buf{b: v.at(p.hashes+8*slot, 8)}).u64()
		if p.row(id) != 1 || p.row(id+1) != 0 {
			f.Errorf("row %d of %#x, %d of another", p.row(id), id, p.row(id+1))
		}
		f.Add(index, id)
	}
	f.Fuzz(func(t *testing.T, index []byte, id uint64) {
		bounded.Run(t, 64, func() {
			b := &budget{work: fuzzOptions.MaxWork, mem: fuzzOptions.MaxMemory}
			e := &elfFile{b: b, views: map[string]*view{".debug_cu_index": {mem: index, size: uint64(len(index)), b: b}}}
			if p := openPackage(e); p != nil {
				p.row(id)
				p.unit(newDwarf(e, nil), id)
			}
		})
	})
}

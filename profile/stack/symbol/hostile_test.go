package symbol

import (
	"bytes"
	"compress/zlib"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"sysprof/profile/stack/internal/bounded"
)

// Each is a lie that made some reader of ELF files crash, hang or fill the memory.
func TestHostileFiles(t *testing.T) {
	prog := buildC(t, "gcc", "-g", "-O2", "-gz=none")
	addrs := codeAddresses(t, prog, 5, 300)
	good, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	shoff := le.Uint64(good[40:])
	header := func(data []byte, name string) []byte {
		e, err := openELF(Bytes(data), &budget{work: 1 << 30, mem: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range e.sections {
			if s.Name == name {
				return data[shoff+uint64(i)*64:][:64]
			}
		}
		t.Fatalf("no section %s", name)
		return nil
	}
	// replace puts other contents at the end of the file.
	replace := func(data []byte, name string, contents []byte) []byte {
		h := header(data, name)
		le.PutUint64(h[24:], uint64(len(data)))
		le.PutUint64(h[32:], uint64(len(contents)))
		return append(data, contents...)
	}
	for _, c := range []struct {
		name   string
		change func(data []byte) []byte
		symbol bool // the symbol table is still good
	}{
		{"cut in half", func(d []byte) []byte { return d[:len(d)/2] }, false},
		{"only a header", func(d []byte) []byte { return d[:64] }, false},
		{"65,535 sections", func(d []byte) []byte { le.PutUint16(d[60:], 0xffff); return d }, false},
		{"four thousand million sections", func(d []byte) []byte {
			le.PutUint16(d[60:], 0)
			le.PutUint64(d[shoff+32:], 1<<32-1)
			return d
		}, false},
		{"sections of no size", func(d []byte) []byte { le.PutUint16(d[58:], 0); return d }, false},
		{"section table at the end of the address space", func(d []byte) []byte { le.PutUint64(d[40:], 1<<64-16); return d }, false},
		{"symbol table of 2⁶³ bytes", func(d []byte) []byte { le.PutUint64(header(d, ".symtab")[32:], 1<<63); return d }, true},
		{"debug information of 2⁶³ bytes", func(d []byte) []byte { le.PutUint64(header(d, ".debug_info")[32:], 1<<63); return d }, true},
		{"compressed section said to hold 2⁶⁰ bytes", func(d []byte) []byte {
			h := header(d, ".debug_info")
			le.PutUint64(h[8:], le.Uint64(h[8:])|uint64(elf.SHF_COMPRESSED))
			off := le.Uint64(h[24:])
			le.PutUint32(d[off:], uint32(elf.COMPRESS_ZLIB))
			le.PutUint64(d[off+8:], 1<<60)
			return d
		}, true},
		{"zlib bomb", func(d []byte) []byte {
			var z bytes.Buffer
			z.Write(make([]byte, 24))
			w := zlib.NewWriter(&z)
			w.Write(make([]byte, 64<<20))
			w.Close()
			le.PutUint32(z.Bytes(), uint32(elf.COMPRESS_ZLIB))
			le.PutUint64(z.Bytes()[8:], 64<<20)
			d = replace(d, ".debug_info", z.Bytes())
			h := header(d, ".debug_info")
			le.PutUint64(h[8:], le.Uint64(h[8:])|uint64(elf.SHF_COMPRESSED))
			return d
		}, true},
		{"a million units", func(d []byte) []byte {
			// Length, version 4, abbreviations at 0, addresses of 8 bytes, root entry 1.
			u := []byte{8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8, 1}
			return replace(d, ".debug_info", bytes.Repeat(u, 1<<20))
		}, true},
		{"a unit of entries that are children of each other", func(d []byte) []byte {
			d = replace(d, ".debug_abbrev", []byte{
				1, tagCompileUnit, 1, attrLowPC, formAddr, attrHighPC, formData8, 0, 0,
				2, tagSubprogram, 1, attrLowPC, formAddr, attrHighPC, formData8, 0, 0,
				3, tagInlined, 1, attrOrigin, formRef1, 0, 0, 0,
			})
			u := []byte{0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8, 1}
			u = append(le.AppendUint64(u, 0), le.AppendUint64(nil, 1<<40)...)
			u = append(u, 2)
			u = append(le.AppendUint64(u, 0x1000), le.AppendUint64(nil, 1<<30)...)
			at := byte(len(u))
			u = append(u, bytes.Repeat([]byte{3, at}, 4<<20)...)
			le.PutUint32(u, uint32(len(u)-4))
			return replace(d, ".debug_info", u)
		}, true},
		{"an abbreviation with a million empty attributes", func(d []byte) []byte {
			ab := []byte{1, tagCompileUnit, 1, attrLowPC, formAddr, attrHighPC, formData8, 0, 0, 2, tagSubprogram, 0}
			ab = append(ab, bytes.Repeat([]byte{attrName, formPresent}, 1<<19)...)
			d = replace(d, ".debug_abbrev", append(ab, 0, 0, 0))
			u := []byte{0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8, 1}
			u = append(le.AppendUint64(u, 0x1000), le.AppendUint64(nil, 1<<40)...)
			u = append(u, bytes.Repeat([]byte{2}, 8<<20)...)
			le.PutUint32(u, uint32(len(u)-4))
			return replace(d, ".debug_info", u)
		}, true},
		{"a range list without end", func(d []byte) []byte {
			pair := append(le.AppendUint64(nil, 0x1000), le.AppendUint64(nil, 1<<40)...)
			list := bytes.Repeat(append([]byte{rleStartEnd}, pair...), 1<<20)
			return replace(d, ".debug_rnglists", append(make([]byte, 12), list...))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.change(bytes.Clone(good))
			bounded.Run(t, 1024, func() {
				o := NewObject(Source{Path: "/x", Open: func() (File, error) { return Bytes(data), nil }})
				var list []Address
				for _, a := range addrs {
					list = append(list, Address{Object: o, Offset: a, Vaddr: true})
				}
				named := 0
				for _, f := range New(Options{DebugDirs: []string{}}).Resolve(context.Background(), list) {
					if len(f) > 0 {
						named++
					}
				}
				if c.symbol && named < len(addrs)*9/10 {
					t.Errorf("%d of %d addresses have a name: the symbol table is good", named, len(addrs))
				}
			})
		})
	}
}

// A file that shrinks or fails while it is read.
func TestFailingFile(t *testing.T) {
	prog := buildC(t, "gcc", "-g", "-O2")
	for n := range 40 {
		o := NewObject(Source{Path: prog, Open: func() (File, error) {
			f, err := OpenFile(prog)
			return &failing{File: f, left: n}, err
		}})
		lookup(New(Options{DebugDirs: []string{}}), o, 0x11a0)
	}
}

type failing struct {
	File
	left int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, fmt.Errorf("read error")
	}
	return f.File.ReadAt(p, off)
}

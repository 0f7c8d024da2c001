package debugfile

import (
	"slices"
	"testing"
)

func TestCandidates(t *testing.T) {
	link := func(name string) []byte { return append([]byte(name), 0, 0, 0, 0, 0, 0, 0, 0)[:(len(name)+4)&^3+4] }
	names := func(s Stripped) (list []string) {
		for _, c := range s.Candidates([]string{"/a", "/b"}) {
			list = append(list, c.Name)
		}
		return list
	}
	for name, c := range map[string]struct {
		stripped Stripped
		want     []string
	}{
		"nothing":         {Stripped{Path: "/bin/p"}, nil},
		"build-id":        {Stripped{Path: "/bin/p", BuildID: "abcdef"}, []string{"/a/.build-id/ab/cdef.debug", "/b/.build-id/ab/cdef.debug"}},
		"short build-id":  {Stripped{Path: "/bin/p", BuildID: "ab"}, nil},
		"link":            {Stripped{Path: "/bin/p", Link: link("d")}, []string{"/bin/d", "/bin/.debug/d", "/a/bin/d", "/b/bin/d"}},
		"both":            {Stripped{Path: "/p", BuildID: "abcd", Link: link("d")}, []string{"/a/.build-id/ab/cd.debug", "/b/.build-id/ab/cd.debug", "/d", "/.debug/d", "/a/d", "/b/d"}},
		"itself":          {Stripped{Path: "/bin/p", Link: link("p")}, []string{"/bin/.debug/p", "/a/bin/p", "/b/bin/p"}},
		"up":              {Stripped{Path: "/bin/p", Link: link("..")}, nil},
		"elsewhere":       {Stripped{Path: "/bin/p", Link: link("../d")}, nil},
		"no name":         {Stripped{Path: "/bin/p", Link: make([]byte, 8)}, nil},
		"no end":          {Stripped{Path: "/bin/p", Link: []byte("dddddddd")}, nil},
		"no checksum":     {Stripped{Path: "/bin/p", Link: []byte("d\x00\x00\x00")}, nil},
		"half a checksum": {Stripped{Path: "/bin/p", Link: []byte("d\x00\x00\x00\x01\x02")}, nil},
	} {
		if got := names(c.stripped); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFits(t *testing.T) {
	link := []byte("d\x00\x00\x00\x04\x03\x02\x01")
	for name, c := range map[string]struct {
		of, theirs string
		byID       bool
		crc        uint32
		tooLarge   bool
		want       bool
	}{
		"same id":                   {of: "abcd", theirs: "abcd", want: true},
		"another id":                {of: "abcd", theirs: "abce", crc: 0x01020304},
		"by id":                     {of: "abcd", theirs: "abcd", byID: true, want: true},
		"by id, and it has none":    {of: "abcd", byID: true, crc: 0x01020304},
		"checksum":                  {crc: 0x01020304, want: true},
		"checksum, one has an id":   {of: "abcd", crc: 0x01020304, want: true},
		"checksum, the other does":  {theirs: "abcd", crc: 0x01020304, want: true},
		"another checksum":          {crc: 0x04030201},
		"checksum of what is large": {crc: 0x01020304, tooLarge: true},
	} {
		s := Stripped{Path: "/bin/p", BuildID: c.of, Link: link}
		list := s.Candidates([]string{"/a"})
		candidate := list[len(list)-1]
		if c.byID {
			candidate = list[0]
		}
		if got := candidate.Fits(c.theirs, func() (uint32, bool) { return c.crc, !c.tooLarge }); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

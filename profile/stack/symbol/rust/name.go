package rust

import "strings"

// Bounds for names that were made to be expensive. A name may refer to what is in it, so that it grows exponentially.
const (
	maxLen   = 8 << 10
	maxDepth = 500 // as in rustc's demangler
	maxSteps = 64 << 10
)

// Name returns the name of a function as people write it, and whether it was one of Rust's that tells something.
func Name(mangled string) (string, bool) {
	switch {
	case strings.HasPrefix(mangled, "_R"):
		return v0(mangled[len("_R"):])
	case strings.HasPrefix(mangled, "_ZN"):
		return legacy(mangled[len("_ZN"):])
	}
	return "", false
}

// v0 reads a name of today:
//
//	symbol = "_R" path [instantiating-crate] ["." suffix]
//
// A digit would be the version of another encoding; it begins no path.
func v0(s string) (string, bool) {
	s, _, _ = strings.Cut(s, ".")
	p := &parser{in: s, steps: maxSteps}
	p.path()
	if !p.bad && p.pos < len(p.in) {
		p.silently(p.path) // the crate that this copy was made for
	}
	if p.bad || p.pos < len(p.in) || p.out.Len() == 0 {
		return "", false
	}
	return p.out.String(), true
}

// parser reads a name from left to right, and writes what it means. Once it is bad, it reads and writes nothing more.
type parser struct {
	in     string
	pos    int
	bad    bool
	depth  int
	steps  int // that are left
	silent int // more than 0: what is read is not told
	out    strings.Builder

	lifetimes uint64 // that binders around have introduced
}

func (p *parser) fail() { p.bad = true }

// next returns the next byte; 0 at the end.
func (p *parser) next() byte {
	p.steps--
	if p.bad || p.pos >= len(p.in) || p.steps < 0 {
		p.fail()
		return 0
	}
	p.pos++
	return p.in[p.pos-1]
}

// eat passes over a byte, if it is the next one.
func (p *parser) eat(c byte) bool {
	if p.bad || p.pos >= len(p.in) || p.in[p.pos] != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) write(s string) {
	if p.bad || p.silent > 0 {
		return
	}
	if p.out.Len()+len(s) > maxLen {
		p.fail()
		return
	}
	p.out.WriteString(s)
}

// silently reads something that is not told.
func (p *parser) silently(read func()) {
	p.silent++
	read()
	p.silent--
}

// deeper reads what is within something.
func (p *parser) deeper(read func()) {
	if p.depth++; p.depth > maxDepth {
		p.fail()
	}
	if !p.bad {
		read()
	}
	p.depth--
}

// list reads what stands up to an E, and returns how many they were.
func (p *parser) list(separator string, read func()) (n int) {
	for ; !p.bad && !p.eat('E'); n++ {
		if n > 0 {
			p.write(separator)
		}
		read()
	}
	return n
}

// backref reads again what stands further to the left, as which it is told here.
//
//	backref = "B" base-62-number
//
// Precondition: the B has been read.
func (p *parser) backref(read func()) {
	at, to := p.pos-1, p.base62()
	if p.bad || p.silent > 0 {
		return
	}
	if to >= uint64(at) {
		p.fail()
		return
	}
	after := p.pos
	p.pos = int(to)
	p.deeper(read)
	p.pos = after
}

// base62 reads a number:
//
//	base-62-number = {0-9a-zA-Z} "_"
func (p *parser) base62() uint64 {
	if p.eat('_') {
		return 0
	}
	var n uint64
	for !p.bad {
		c := p.next()
		digit := uint64(0)
		switch {
		case c == '_':
			if n++; n == 0 {
				p.fail()
			}
			return n
		case c >= '0' && c <= '9':
			digit = uint64(c - '0')
		case c >= 'a' && c <= 'z':
			digit = uint64(c-'a') + 10
		case c >= 'A' && c <= 'Z':
			digit = uint64(c-'A') + 36
		default:
			p.fail()
		}
		if n > (1<<64-1-digit)/62 {
			p.fail()
			return 0
		}
		n = n*62 + digit
	}
	return 0
}

// optional62 reads a number that a letter says is there, counted from 1; without it, it is 0.
func (p *parser) optional62(letter byte) uint64 {
	if !p.eat(letter) {
		return 0
	}
	n := p.base62() + 1
	if n == 0 {
		p.fail()
	}
	return n
}

// disambiguator reads what tells apart what has the same name.
//
//	disambiguator = "s" base-62-number
func (p *parser) disambiguator() uint64 { return p.optional62('s') }

// identifier reads one:
//
//	undisambiguated-identifier = ["u"] decimal-number ["_"] bytes
//
// A number has no zeros before it: 00 is two identifiers without a name.
func (p *parser) identifier() string {
	punycode := p.eat('u')
	c := p.next()
	if c < '0' || c > '9' {
		p.fail()
		return ""
	}
	n := int(c - '0')
	for n != 0 && p.pos < len(p.in) && p.in[p.pos] >= '0' && p.in[p.pos] <= '9' {
		if n = n*10 + int(p.next()-'0'); n > len(p.in) {
			p.fail()
			return ""
		}
	}
	p.eat('_')
	if p.bad || n > len(p.in)-p.pos {
		p.fail()
		return ""
	}
	id := p.in[p.pos : p.pos+n]
	p.pos += n
	for i := range len(id) {
		if c := id[i]; c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			p.fail()
			return ""
		}
	}
	if !punycode {
		return id
	}
	id, ok := fromPunycode(id)
	if !ok {
		p.fail()
	}
	return id
}

package rust

import (
	"strconv"
	"strings"
)

// basicTypes are those of one letter.
var basicTypes = map[byte]string{
	'a': "i8", 'b': "bool", 'c': "char", 'd': "f64", 'e': "str", 'f': "f32", 'h': "u8", 'i': "isize", 'j': "usize", 'l': "i32", 'm': "u32",
	'n': "i128", 'o': "u128", 'p': "_", 's': "i16", 't': "u16", 'u': "()", 'v': "...", 'x': "i64", 'y': "u64", 'z': "!",
}

// typ reads a type:
//
//	type = basic-type
//	     | path
//	     | "A" type const             // [T; N]
//	     | "S" type                   // [T]
//	     | "T" {type} "E"             // (T1, T2)
//	     | "R" ["L" lifetime] type    // &T
//	     | "Q" ["L" lifetime] type    // &mut T
//	     | "P" type                   // *const T
//	     | "O" type                   // *mut T
//	     | "F" fn-sig
//	     | "D" dyn-bounds "L" lifetime
//	     | "W" type pattern
//	     | backref
func (p *parser) typ() { p.deeper(p.typeWithin) }

func (p *parser) typeWithin() {
	tag := p.next()
	if name, ok := basicTypes[tag]; ok {
		p.write(name)
		return
	}
	switch tag {
	case 'A', 'S':
		p.write("[")
		p.typ()
		if tag == 'A' {
			p.write("; ")
			p.constant()
		}
		p.write("]")
	case 'T':
		p.write("(")
		if p.list(", ", p.typ) == 1 {
			p.write(",")
		}
		p.write(")")
	case 'R', 'Q':
		p.write("&")
		if p.eat('L') {
			if n := p.base62(); n != 0 {
				p.lifetime(n)
				p.write(" ")
			}
		}
		if tag == 'Q' {
			p.write("mut ")
		}
		p.typ()
	case 'P':
		p.write("*const ")
		p.typ()
	case 'O':
		p.write("*mut ")
		p.typ()
	case 'F':
		p.bound(p.function)
	case 'D':
		p.write("dyn ")
		p.bound(func() { p.list(" + ", p.dynTrait) })
		if !p.eat('L') {
			p.fail()
		}
		if n := p.base62(); n != 0 {
			p.write(" + ")
			p.lifetime(n)
		}
	case 'W':
		p.typ()
		p.write(" is ")
		p.pattern()
	case 'B':
		p.backref(p.typ)
	case 'C', 'M', 'X', 'Y', 'N', 'I':
		p.pos--
		p.path()
	default:
		p.fail()
	}
}

// bound reads what may have lifetimes of its own.
//
//	binder = "G" base-62-number
func (p *parser) bound(read func()) {
	n := p.optional62('G')
	if p.silent > 0 { // no lifetime is told
		read()
		return
	}
	if n > maxLen {
		p.fail()
		return
	}
	if n > 0 {
		p.write("for<")
		for i := range n {
			if i > 0 {
				p.write(", ")
			}
			p.lifetimes++
			p.lifetime(1)
		}
		p.write("> ")
	}
	read()
	p.lifetimes -= n
}

// lifetime writes one: the innermost that is bound is 1.
func (p *parser) lifetime(n uint64) {
	if p.silent > 0 {
		return
	}
	switch {
	case n == 0:
		p.write("'_")
	case n > p.lifetimes:
		p.fail()
	case p.lifetimes-n < 26:
		p.write("'" + string(rune('a'+p.lifetimes-n)))
	default:
		p.write("'_" + strconv.FormatUint(p.lifetimes-n, 10))
	}
}

// function reads the signature of a pointer to one:
//
//	fn-sig = [binder] ["U"] ["K" abi] {type} "E" type
//	abi = "C" | undisambiguated-identifier, with _ for -
func (p *parser) function() {
	if p.eat('U') {
		p.write("unsafe ")
	}
	if p.eat('K') {
		abi := "C"
		if !p.eat('C') {
			abi = strings.ReplaceAll(p.identifier(), "_", "-")
		}
		p.write(`extern "` + abi + `" `)
	}
	p.write("fn(")
	p.list(", ", p.typ)
	p.write(")")
	if !p.eat('u') {
		p.write(" -> ")
		p.typ()
	}
}

// dynTrait reads a trait, and which types it has, which is not told, as generic arguments are not:
//
//	dyn-trait = path {"p" undisambiguated-identifier type}
func (p *parser) dynTrait() {
	p.path()
	for p.eat('p') {
		p.identifier()
		p.silently(p.typ)
	}
}

// pattern reads which values a type has:
//
//	pattern = "R" const const // a range
//	        | "O" {pattern} "E"
//	        | "N"             // not null
func (p *parser) pattern() { p.deeper(p.patternWithin) }

func (p *parser) patternWithin() {
	switch p.next() {
	case 'R':
		p.constant()
		p.write("..=")
		p.constant()
	case 'O':
		p.list(" | ", p.pattern)
	case 'N':
		p.write("!null")
	default:
		p.fail()
	}
}

package rust

import "strconv"

// path reads one:
//
//	path = "C" identifier                  // crate
//	     | "M" impl-path type              // <T>
//	     | "X" impl-path type path         // <T as Trait>, of an impl
//	     | "Y" type path                   // <T as Trait>, of the trait
//	     | "N" namespace path identifier   // …::ident
//	     | "I" path {generic-arg} "E"      // …<T, U>, which is not told
//	     | backref
//	impl-path = [disambiguator] path       // where the impl stands, which is not told
func (p *parser) path() { p.deeper(p.pathWithin) }

func (p *parser) pathWithin() {
	switch tag := p.next(); tag {
	case 'C':
		p.disambiguator()
		p.write(p.identifier())
	case 'M', 'X', 'Y':
		if tag != 'Y' {
			p.disambiguator()
			p.silently(p.path)
		}
		p.write("<")
		p.typ()
		if tag != 'M' {
			p.write(" as ")
			p.path()
		}
		p.write(">")
	case 'N':
		namespace := p.next()
		p.path()
		p.member(namespace, p.disambiguator(), p.identifier())
	case 'I':
		p.path()
		p.silently(func() { p.list("", p.genericArg) })
	case 'B':
		p.backref(p.path)
	default:
		p.fail()
	}
}

// member writes what is in a path: something with a name, or something that the compiler made, of which there may be several.
func (p *parser) member(namespace byte, which uint64, name string) {
	switch {
	case namespace >= 'a' && namespace <= 'z':
		if name != "" { // as of a constructor of a tuple
			p.write("::" + name)
		}
		return
	case namespace == 'C':
		p.write("::{closure")
	case namespace == 'S':
		p.write("::{shim")
	case namespace >= 'A' && namespace <= 'Z':
		p.write("::{" + string(namespace))
	default:
		p.fail()
	}
	if name != "" {
		p.write(":" + name)
	}
	p.write("#" + strconv.FormatUint(which, 10) + "}")
}

// genericArg reads one:
//
//	generic-arg = "L" base-62-number // lifetime
//	            | "K" const
//	            | type
func (p *parser) genericArg() {
	switch {
	case p.eat('L'):
		p.base62()
	case p.eat('K'):
		p.constant()
	default:
		p.typ()
	}
}

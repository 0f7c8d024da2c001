package rust

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// constant reads one, which is told where it is part of a type, as the length of an array:
//
//	const = type-of-integer ["n"] hex "_" | "b" hex "_" | "c" hex "_"
//	      | "e" hex "_"                   // *"…"
//	      | "R" const | "Q" const         // &…, &mut …
//	      | "A" {const} "E"               // […]
//	      | "T" {const} "E"               // (…)
//	      | "V" path fields
//	      | "p"                           // _
//	      | backref
func (p *parser) constant() { p.deeper(p.constantWithin) }

func (p *parser) constantWithin() {
	switch tag := p.next(); tag {
	case 'p':
		p.write("_")
	case 'h', 't', 'm', 'y', 'o', 'j':
		p.integer()
	case 'a', 's', 'l', 'x', 'n', 'i':
		if p.eat('n') {
			p.write("-")
		}
		p.integer()
	case 'b':
		switch p.nibbles() {
		case "0":
			p.write("false")
		case "1":
			p.write("true")
		default:
			p.fail()
		}
	case 'c':
		n, err := strconv.ParseUint(p.nibbles(), 16, 32)
		if r := rune(n); err == nil && n <= unicode.MaxRune && utf8.ValidRune(r) {
			p.write(quoted('\'', string(r)))
		} else {
			p.fail()
		}
	case 'e':
		p.write("*")
		p.literal()
	case 'R', 'Q':
		if tag == 'R' && p.eat('e') {
			p.literal()
			return
		}
		p.write("&")
		if tag == 'Q' {
			p.write("mut ")
		}
		p.constant()
	case 'A':
		p.write("[")
		p.list(", ", p.constant)
		p.write("]")
	case 'T':
		p.write("(")
		if p.list(", ", p.constant) == 1 {
			p.write(",")
		}
		p.write(")")
	case 'V':
		p.path()
		p.fields()
	case 'B':
		p.backref(p.constant)
	default:
		p.fail()
	}
}

// fields reads those of a constant of a struct or an enum:
//
//	fields = "U" | "T" {const} "E" | "S" {[disambiguator] undisambiguated-identifier const} "E"
func (p *parser) fields() {
	switch p.next() {
	case 'U':
	case 'T':
		p.write("(")
		p.list(", ", p.constant)
		p.write(")")
	case 'S':
		p.write(" { ")
		p.list(", ", func() {
			p.disambiguator()
			p.write(p.identifier() + ": ")
			p.constant()
		})
		p.write(" }")
	default:
		p.fail()
	}
}

// integer reads one, and writes it as a decimal number if it has no more than 64 bits.
func (p *parser) integer() {
	digits := p.nibbles()
	n, err := strconv.ParseUint(digits, 16, 64)
	switch {
	case digits == "":
		p.write("0")
	case err != nil:
		p.write("0x" + digits)
	default:
		p.write(strconv.FormatUint(n, 10))
	}
}

// nibbles reads the digits of a number in hexadecimal notation, without the zeros before them but for the last.
func (p *parser) nibbles() string {
	from := p.pos
	for !p.bad {
		c := p.next()
		if c == '_' {
			digits := p.in[from : p.pos-1]
			for len(digits) > 1 && digits[0] == '0' {
				digits = digits[1:]
			}
			return digits
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			p.fail()
		}
	}
	return ""
}

// literal reads the bytes of a string.
func (p *parser) literal() {
	from := p.pos
	p.nibbles()
	if p.bad {
		return
	}
	text, err := hex.DecodeString(p.in[from : p.pos-1])
	if err != nil || !utf8.Valid(text) {
		p.fail()
		return
	}
	p.write(quoted('"', string(text)))
}

// quoted returns a text as it stands in a program; a quote of the other kind needs no backslash.
func quoted(quote rune, text string) string {
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range text {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == 0:
			b.WriteString(`\0`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

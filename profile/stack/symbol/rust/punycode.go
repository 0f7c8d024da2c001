package rust

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parameters of Punycode (RFC 3492, section 5).
const (
	base        = 36
	tMin        = 1
	tMax        = 26
	skew        = 38
	damp        = 700
	initialBias = 72
	initialRune = 128
)

// maxIdentifier bounds how many characters are put in between others.
const maxIdentifier = 1 << 10

// fromPunycode reads an identifier that is not of ASCII: the characters of it that are, an underscore, and the others (RFC
// 3492, section 6.2).
func fromPunycode(s string) (string, bool) {
	var out []rune
	if i := strings.LastIndexByte(s, '_'); i >= 0 {
		out, s = []rune(s[:i]), s[i+1:]
	}
	if s == "" {
		return "", false
	}
	n, at, bias := initialRune, 0, initialBias
	for first := true; s != ""; first = false {
		delta, weight := 0, 1
		for k := base; ; k += base {
			digit, ok := punycodeDigit(s)
			if !ok {
				return "", false
			}
			s = s[1:]
			if delta += digit * weight; delta > unicode.MaxRune*maxIdentifier {
				return "", false
			}
			t := min(max(k-bias, tMin), tMax)
			if digit < t {
				break
			}
			if weight *= base - t; weight > unicode.MaxRune*maxIdentifier {
				return "", false
			}
		}
		at += delta
		places := len(out) + 1
		n += at / places
		at %= places
		if places > maxIdentifier || n > unicode.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		out = slices.Insert(out, at, rune(n))
		at++
		bias = adapted(delta, places, first)
	}
	return string(out), true
}

// punycodeDigit returns the value of the first digit.
func punycodeDigit(s string) (int, bool) {
	switch {
	case s == "":
	case s[0] >= 'a' && s[0] <= 'z':
		return int(s[0] - 'a'), true
	case s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0] - 'A'), true
	case s[0] >= '0' && s[0] <= '9':
		return int(s[0]-'0') + 26, true
	}
	return 0, false
}

// adapted returns the bias for the next character (RFC 3492, section 6.1).
func adapted(delta, places int, first bool) int {
	if first {
		delta /= damp
	} else {
		delta /= 2
	}
	delta += delta / places
	k := 0
	for ; delta > (base-tMin)*tMax/2; k += base {
		delta /= base - tMin
	}
	return k + (base-tMin+1)*delta/(delta+skew)
}

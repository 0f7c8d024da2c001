package rust

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hashDigits is how many hexadecimal digits the hash of an older name has.
const hashDigits = 16

// legacy reads an older name:
//
//	symbol = "_ZN" {decimal-number bytes} "17h" hash "E" ["." suffix]
//
// What has no hash may be one of C++.
func legacy(s string) (string, bool) {
	var b strings.Builder
	for first := true; ; first = false {
		id, rest, ok := legacyIdentifier(s)
		if !ok {
			return "", false
		}
		if strings.HasPrefix(rest, "E") {
			rest = rest[1:]
			return b.String(), !first && isHash(id) && (rest == "" || rest[0] == '.')
		}
		if !first {
			b.WriteString("::")
		}
		writeUnescaped(&b, id)
		s = rest
	}
}

// legacyIdentifier cuts the first identifier off.
func legacyIdentifier(s string) (id, rest string, ok bool) {
	digits := 0
	for digits < len(s) && digits < 5 && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(s[:digits])
	if err != nil || n > len(s)-digits {
		return "", "", false
	}
	return s[digits : digits+n], s[digits+n:], true
}

// isHash reports whether an identifier is a hash. A real one hardly consists of less than five different digits.
func isHash(id string) bool {
	if len(id) != 1+hashDigits || id[0] != 'h' {
		return false
	}
	seen := map[byte]bool{}
	for i := range hashDigits {
		c := id[1+i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
		seen[c] = true
	}
	return len(seen) >= 5
}

// escapes are the characters that an assembler would not take, by what stands for them between two $.
var escapes = map[string]string{"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}

// writeUnescaped writes an identifier. Of an escape that it does not know it leaves all as it is.
func writeUnescaped(b *strings.Builder, id string) {
	if strings.HasPrefix(id, "_$") {
		id = id[1:] // no assembler takes a name that begins with $
	}
	for id != "" {
		switch {
		case strings.HasPrefix(id, ".."):
			b.WriteString("::")
			id = id[2:]
		case id[0] == '$':
			escape, rest, ok := strings.Cut(id[1:], "$")
			text := escapes[escape]
			if text == "" {
				text = escapedRune(escape)
			}
			if !ok || text == "" {
				b.WriteString(id)
				return
			}
			b.WriteString(text)
			id = rest
		default:
			b.WriteByte(id[0])
			id = id[1:]
		}
	}
}

// escapedRune returns the character of u and its number.
func escapedRune(escape string) string {
	digits, ok := strings.CutPrefix(escape, "u")
	n, err := strconv.ParseUint(digits, 16, 32)
	if r := rune(n); ok && err == nil && n <= unicode.MaxRune && utf8.ValidRune(r) && !unicode.IsControl(r) && digits == strings.ToLower(digits) {
		return string(r)
	}
	return ""
}

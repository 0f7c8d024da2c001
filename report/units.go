package report

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// timeUnit is a unit that times are printed in.
type timeUnit struct {
	symbol string
	ns     float64 // that one unit has
	limit  float64 // from this number of units on, the next larger unit is used; the last unit has none
}

// timeUnits are in ascending order. Seconds are used up to 999, which three digits hold, and not only to 59.
var timeUnits = [...]timeUnit{
	{"ns", 1, 1000},
	{"µs", 1e3, 1000},
	{"ms", 1e6, 1000},
	{"s", 1e9, 1000},
	{"min", 60e9, 60},
	{"h", 3600e9, 24},
	{"d", 86400e9, 365},
	{"y", 365.25 * 86400e9, 0},
}

// humanTime writes nanoseconds in the unit that fits, with three significant digits: "87 ns",
// "12.3 µs", "4.56 ms", "41.0 min". Negative times keep their sign.
func humanTime(ns int64) string { return humanNs(float64(ns)) }

// humanNs is humanTime for fractions of nanoseconds.
func humanNs(ns float64) string {
	if ns < 0 {
		return "-" + humanNs(-ns)
	}
	for i := 0; ; i++ {
		u := timeUnits[i]
		v := threeDigits(ns/u.ns, u.ns == 1)
		if i == len(timeUnits)-1 || v.number < u.limit {
			return v.text + " " + u.symbol
		}
	}
}

// rounded is a number after rounding.
type rounded struct {
	text   string  // as it is printed
	number float64 // the value of text
}

// threeDigits rounds to three significant digits. Numbers of 1000 or more, and all numbers if whole is set, are
// rounded to a whole number.
func threeDigits(v float64, whole bool) rounded {
	decimals := 0
	switch {
	case whole || v >= 99.95:
	case v >= 9.995:
		decimals = 1
	default:
		decimals = 2
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	number, _ := strconv.ParseFloat(text, 64)
	return rounded{text, number}
}

// shortTime is humanTime for round numbers: "50 ns", "2 s", "1.2 µs".
func shortTime(ns int64) string {
	number, unit, _ := strings.Cut(humanTime(ns), " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}

// humanCount writes a count with commas between groups of three digits.
func humanCount(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// percent is the share of part in whole, with one decimal place and without a percent sign. A part smaller than
// the whole has at most 99.9, and a part above 0 that would round to 0.0 has <0.1.
func percent(part, whole float64) string {
	if part <= 0 || whole <= 0 {
		return "0.0"
	}
	p := 100 * part / whole
	switch {
	case p < 0.05:
		return "<0.1"
	case part < whole && p > 99.9:
		p = 99.9
	}
	return strconv.FormatFloat(p, 'f', 1, 64)
}

// percentSign is percent with a blank and a percent sign behind it.
func percentSign(part, whole float64) string { return percent(part, whole) + " %" }

// factor writes a ratio, with fewer decimal places the larger it is: "1.02", "4.1", "38", "1,200".
func factor(f float64) string {
	switch {
	case f < 1.995:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 9.95:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case f < 1e15:
		return humanCount(uint64(math.Round(f)))
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}

// plural writes a count with its noun, which takes an s but for 1: "1 call", "2 calls".
func plural(n uint64, noun string) string { return pluralAs(n, noun, noun+"s") }

// pluralAs is plural for nouns with any plural: one is for a count of 1, many for all others.
func pluralAs(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanCount(n) + " " + many
}

// Printable replaces control characters, separators of lines, marks that turn the direction of text, and what is not
// UTF-8. In text from a file or of another process they could control the reader's terminal, break a line, or make it
// read as another one. Whatever comes from outside passes through here before it is printed.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

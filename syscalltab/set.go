package syscalltab

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"sysprof/syscalltab/suggest"
)

// setWords is what the longest tables need: x32's, which ends at 547, and i386's, at 545.
const setWords = 9

// Set is a choice of calls, in every ABI. The zero Set chooses none. It is never changed once it is
// made, so that threads can share it.
type Set struct {
	bits [abiCount][setWords]uint64
	not  bool // chosen are those whose bit is not set
}

// Has says whether a call is chosen. A number that is in no table is chosen by negated sets (!read)
// and by "all", as in strace. So is a call of an ABI which ParseSet was not given.
func (s *Set) Has(a ABI, nr uint64) bool {
	i, ok := a.index(nr)
	if !ok {
		return s.not
	}
	return (s.bits[a][i/64]>>(i%64)&1 != 0) != s.not
}

// All says whether every call there can be is chosen, known or not: then nothing needs to be filtered.
func (s *Set) All() bool {
	return s.not && s.bits == [abiCount][setWords]uint64{}
}

func (s *Set) add(a ABI, i int) {
	s.bits[a][i/64] |= 1 << (i % 64)
}

// ParseSet reads an expression of strace's -e trace= language: items with commas between them, each
// a call's name, its decimal number, a class (%file), or a regular expression over names (/^get).
//
//	!LIST        all calls but those of the list
//	all, none    as the whole list; all can also be an item
//	?ITEM        do not mind if nothing is called so
//	ITEM@32      in this ABI only: @64, @32, @x32
//
// A name means all calls and subcalls that are called so, ipc and socketcall their unknown subcalls only.
// An item counts in each of the given ABIs (Native, if none is given), and it has to mean something
// in one of them. Expressions are Go's, not POSIX's; they match anywhere in a name and cannot contain
// a comma. Empty items are skipped, but one has to be there.
func ParseSet(expr string, abis ...ABI) (*Set, error) {
	if len(abis) == 0 {
		abis = Native()
	}
	if len(abis) == 0 {
		return nil, errors.New("no system call table for " + runtime.GOARCH)
	}
	for _, a := range abis {
		if a == Unknown || int(a) >= abiCount {
			return nil, fmt.Errorf("no system call table for ABI %v", a)
		}
	}
	list := strings.TrimLeft(expr, "!")
	s := &Set{not: (len(expr)-len(list))%2 == 1}
	switch list {
	case "none":
		return s, nil
	case "all":
		s.not = !s.not
		return s, nil
	}
	empty := true
	for item := range strings.SplitSeq(list, ",") {
		if item == "" {
			continue
		}
		empty = false
		if err := s.addItem(item, abis); err != nil {
			return nil, err
		}
	}
	if empty {
		return nil, fmt.Errorf("no system call in %q", expr)
	}
	return s, nil
}

// addItem adds what one item between the commas means.
func (s *Set) addItem(item string, abis []ABI) error {
	word := strings.TrimLeft(item, "?")
	optional := len(word) < len(item)
	if at := strings.LastIndexByte(word, '@'); at >= 0 {
		in := slices.DeleteFunc(slices.Clone(abis), func(a ABI) bool { return a.Designator() != word[at+1:] })
		if len(in) == 0 {
			return fmt.Errorf("unknown ABI %q in %q%s", word[at:], item, oneOf(abis))
		}
		word, abis = word[:at], in
	}
	found, err := s.addWord(word, abis)
	switch {
	case err != nil:
		return err
	case !found && !optional:
		return notFound(word, abis)
	}
	return nil
}

// addWord adds an item that has neither ? nor @ any more, and says whether it means any call.
func (s *Set) addWord(word string, abis []ABI) (found bool, err error) {
	if word != "" && '0' <= word[0] && word[0] <= '9' {
		return s.addNumber(word, abis), nil
	}
	if pattern, ok := strings.CutPrefix(word, "/"); ok {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return false, patternError(pattern, err)
		}
		return s.addMatching(abis, re.MatchString), nil
	}
	if mask, ok := classMask(word); ok {
		s.addMatching(abis, func(name string) bool { return inClasses(name, mask) })
		return true, nil // also if no call of these ABIs is in it
	}
	return s.addMatching(abis, func(name string) bool { return name == word }), nil
}

// addNumber adds a decimal number. As in strace, it has to be a known call's, and x32's is taken with
// or without bit 30.
func (s *Set) addNumber(word string, abis []ABI) (found bool) {
	nr, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return false
	}
	for _, a := range abis {
		i, ok := a.index(nr)
		if !ok && a == X32 {
			i, ok = a.index(nr | x32Bit)
		}
		if ok {
			s.add(a, i)
			found = true
		}
	}
	return found
}

// addMatching adds all calls with a name that match accepts.
func (s *Set) addMatching(abis []ABI, match func(name string) bool) (found bool) {
	for _, a := range abis {
		for i, name := range tables[a] {
			if name != "" && match(name) {
				s.add(a, i)
				found = true
			}
		}
	}
	return found
}

// patternError is a short error in one line; regexp's own repeats the pattern, unquoted.
func patternError(pattern string, err error) error {
	if se, ok := errors.AsType[*syntax.Error](err); ok {
		return fmt.Errorf("bad pattern %q: %s", pattern, se.Code)
	}
	return fmt.Errorf("bad pattern %q", pattern)
}

// notFound says that a word means nothing, and what may have been meant.
func notFound(word string, abis []ABI) error {
	switch {
	case word == "":
		return errors.New("empty system call name")
	case '0' <= word[0] && word[0] <= '9':
		return fmt.Errorf("unknown system call number %q", word)
	case word[0] == '/':
		return fmt.Errorf("no system call's name matches %q", word[1:])
	case word[0] == '!':
		return fmt.Errorf("%q: ! can stand only before the whole list", word)
	case word[0] == '%':
		return fmt.Errorf("unknown class of system calls %q%s", word, suggest.DidYouMean(word, Classes()))
	}
	for a := range tables {
		if _, ok := ABI(a).Number(word); ok {
			return fmt.Errorf("no system call %q on %s", word, abiNames(abis))
		}
	}
	var known []string
	for _, a := range abis {
		for _, name := range a.Each() {
			known = append(known, name)
		}
	}
	for _, c := range classes {
		if c.legacy {
			known = append(known, c.name[1:])
		}
	}
	return fmt.Errorf("unknown system call %q%s", word, suggest.DidYouMean(word, known))
}

// abiNames is "arm64", "arm64 or arm", …
func abiNames(abis []ABI) string {
	var b strings.Builder
	for i, a := range abis {
		switch {
		case i == 0:
		case i == len(abis)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// oneOf is " (known here: @64, @32)".
func oneOf(abis []ABI) string {
	var d []string
	for _, a := range abis {
		d = append(d, "@"+a.Designator())
	}
	return " (known here: " + strings.Join(d, ", ") + ")"
}

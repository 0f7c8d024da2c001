package main

import (
	"errors"

	"github.com/pborman/getopt/v2"
)

// declarations are the options of the command line, each with what is to be done when it is met. A short name of
// 0 and a long one of "" are none.
type declarations struct{ set *getopt.Set }

// value is an option whose argument a function takes.
type value func(arg string) error

func (v value) Set(arg string, _ getopt.Option) error { return v(arg) }
func (v value) String() string                        { return "" }

// flag declares an option without an argument.
func (d declarations) flag(short rune, long string, f func()) {
	d.set.FlagLong(value(func(arg string) error {
		if arg != "" {
			return errors.New("takes no argument")
		}
		f()
		return nil
	}), long, short).SetFlag()
}

// arg declares an option with an argument.
func (d declarations) arg(short rune, long string, f func(string) error) {
	d.set.FlagLong(value(f), long, short)
}

// optional declares an option whose long form may have an argument, as strace's -q, --quiet=SET.
func (d declarations) optional(short rune, long string, f func(string) error) {
	opt := d.set.FlagLong(value(f), long, short).SetOptional()
	if short != 0 {
		opt.SetFlag()
	}
}

// longNames lists the long options.
func (d declarations) longNames() (names []string) {
	d.set.VisitAll(func(o getopt.Option) {
		if name := o.LongName(); name != "" {
			names = append(names, "--"+name)
		}
	})
	return names
}

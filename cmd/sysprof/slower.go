package main

import (
	"fmt"
	"strings"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/syscalltab"
)

// declareSlower declares which calls are written about one by one.
func (o *options) declareSlower(d declarations) {
	d.arg(0, "slower", func(s string) (err error) {
		length, set, some := strings.Cut(s, ",")
		if o.slower.AtLeast, err = parseDuration(length); err != nil {
			return err
		}
		o.slower.Calls = nil
		if some {
			o.slower.Calls, err = syscalltab.ParseSet(set, syscalltab.Native()...)
		}
		return err
	})
}

// checkSlower finds what does not go with it.
func (o *options) checkSlower(d declarations) error {
	o.slower.Stacks = o.slower.AtLeast > 0 && d.set.IsSet("stacks") && o.stacks != session.StacksOff
	if o.slower.AtLeast > 0 && o.bench.rounds > 0 {
		return fmt.Errorf("--slower does not go with --bench, which shows no calls; leave one of them out")
	}
	return nil
}

package main

import (
	"fmt"
	"strings"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/profile/inkernel"
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

// slowerInKernel is what counting in the kernel is to tell of.
func (o *options) slowerInKernel() inkernel.Slower {
	return inkernel.Slower{AtLeast: o.slower.AtLeast, Calls: o.slower.Calls, Successes: o.statuses&session.Successful != 0,
		Failures: o.statuses&session.Failed != 0, Deaths: o.statuses&session.Unfinished != 0}
}

package main

import (
	"errors"
	"fmt"
	"time"
)

// leastInterval is as short as it makes sense: it takes some of a millisecond to write one.
const leastInterval = 10 * time.Millisecond

// declareIntervals declares what is written during a run.
func (o *options) declareIntervals(d declarations) {
	d.arg('i', "interval", func(s string) (err error) {
		if o.outputs.Interval, err = parseDuration(s); err != nil {
			return fmt.Errorf("%w (strace's -i, which shows instruction pointers, is not in sysprof)", err)
		}
		if o.outputs.Interval < leastInterval {
			return fmt.Errorf("%q is too short; the shortest interval is %v", s, leastInterval)
		}
		return nil
	})
}

// checkIntervals finds what does not go with intervals.
func (o *options) checkIntervals() error {
	if o.outputs.Interval > 0 && o.bench.rounds > 0 {
		return errors.New("--interval does not go with --bench, which compares whole runs; leave one of them out")
	}
	return nil
}

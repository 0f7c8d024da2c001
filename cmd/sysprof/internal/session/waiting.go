package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"sysprof/profile"
)

// teller is an engine that can tell of the calls that threads are in.
type teller interface {
	// InFlight tells of those that have not returned now, each as the sink would be told of it if the run ended. f may be called
	// by several threads at once.
	InFlight(f func(*profile.InFlight))
}

// waiting returns the calls that have not returned now and are to be counted, for samples. Who does not tell in time is left out:
// a thread of an engine may have to wait for what holds up the program.
func (s *Session) waiting(ctx context.Context) []profile.Unreturned {
	engine, ok := s.engine.(teller)
	if !ok {
		return nil
	}
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var all []profile.Unreturned
	told := make(chan struct{})
	go func() {
		defer close(told)
		engine.InFlight(func(f *profile.InFlight) {
			values, counted := s.inFlight(f)
			if !counted {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, profile.Unreturned{InFlight: *f, Values: s.config.Labels.Chosen(values)})
		})
	}()
	select {
	case <-told:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(all)
}

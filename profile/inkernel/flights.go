package inkernel

import (
	"fmt"

	"sysprof/profile"
)

type (
	flightKey struct {
		Nr               int64
		ABI, Why, Unseen uint32
		Others           uint32 // there was no room to say whose it is
		Who              who
	}

	flight struct {
		Count, Longest uint64
		PID, TID       uint32
	}
)

// endings are those of enum why in the programs.
var endings = [...]profile.Ending{profile.Detached, profile.Exited, profile.Killed, profile.Replaced}

// InFlight returns the calls that had not returned when their threads ended, or at End.
func (c *Counter) InFlight() (all []profile.Flight, err error) {
	err = c.eachFlight(func(_ *flightKey, f profile.Flight) { all = append(all, f) })
	return all, err
}

// GroupsInFlight is InFlight where calls are told apart by whose they are.
func (c *Counter) GroupsInFlight() (all []profile.CountedGroup, err error) {
	err = c.eachFlight(func(key *flightKey, f profile.Flight) {
		all = append(all, profile.CountedGroup{Whose: key.Who.whose(uint32(f.PID)), Unknown: key.Others != 0, InFlight: []profile.Flight{f}})
	})
	return all, err
}

func (c *Counter) eachFlight(do func(*flightKey, profile.Flight)) error {
	abis := kernelABIs()
	var key flightKey
	var value flight
	entries := c.programs.Flights.Iterate()
	for entries.Next(&key, &value) {
		if int(key.Why) >= len(endings) || int(key.ABI) >= len(abis) {
			continue
		}
		do(&key, profile.Flight{
			Key: profile.Key{ABI: abis[key.ABI], Nr: uint64(key.Nr)}, Why: endings[key.Why], Resumed: key.Unseen != 0,
			Count: value.Count, LongestNs: int64(value.Longest), PID: int32(value.PID), TID: int32(value.TID),
		})
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read calls in flight: %w", err)
	}
	return nil
}

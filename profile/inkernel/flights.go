package inkernel

import (
	"fmt"

	"sysprof/profile"
)

type (
	flightKey struct {
		Nr               int64
		ABI, Why, Unseen uint32
		_                uint32
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
	abis := kernelABIs()
	var key flightKey
	var value flight
	entries := c.programs.Flights.Iterate()
	for entries.Next(&key, &value) {
		if int(key.Why) >= len(endings) || int(key.ABI) >= len(abis) {
			continue
		}
		all = append(all, profile.Flight{
			Key: profile.Key{ABI: abis[key.ABI], Nr: uint64(key.Nr)}, Why: endings[key.Why], Resumed: key.Unseen != 0,
			Count: value.Count, LongestNs: int64(value.Longest), PID: int32(value.PID), TID: int32(value.TID),
		})
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("read calls in flight: %w", err)
	}
	return all, nil
}

package session

import (
	"os"
	"strconv"
	"strings"
)

// cpuTime is how long all CPUs together have been there, and were given to others by the host, in ticks.
type cpuTime struct{ all, stolen uint64 }

// readCPUTime reads the first line of /proc/stat. What cannot be read is 0.
func readCPUTime() cpuTime {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return cpuTime{}
	}
	defer f.Close()
	var line [512]byte // more than ten numbers take
	n, _ := f.Read(line[:])
	return parseCPUTime(string(line[:n]))
}

// parseCPUTime parses "cpu  user nice system idle iowait irq softirq steal guest guest_nice" (proc_stat(5)). The guest
// times are part of user and nice.
func parseCPUTime(text string) (t cpuTime) {
	const steal = 7
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 2+steal || fields[0] != "cpu" {
		return cpuTime{}
	}
	for i, field := range fields[1 : 2+steal] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return cpuTime{}
		}
		t.all += ticks
		if i == steal {
			t.stolen = ticks
		}
	}
	return t
}

// stolenSince is the share of the time since before that was stolen, from 0 to 1.
func (t cpuTime) stolenSince(before cpuTime) float64 {
	if before.all == 0 || t.all <= before.all || t.stolen <= before.stolen {
		return 0
	}
	return min(float64(t.stolen-before.stolen)/float64(t.all-before.all), 1)
}

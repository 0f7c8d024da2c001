package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pin restricts all threads of this process, and what they start from now on, to one CPU. cpu is that
// CPU, or −1 for the last one allowed. pin returns which CPU it is, and a function that undoes it.
func pin(cpu int) (int, func(), error) {
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return 0, nil, fmt.Errorf("read the CPU mask: %w", err)
	}
	if cpu < 0 {
		cpus := allowedCPUs()
		cpu = cpus[len(cpus)-1]
	}
	only.Set(cpu)
	if err := pinThreads(&only); err != nil {
		return 0, nil, fmt.Errorf("pin on CPU %d: %w", cpu, err)
	}
	return cpu, func() { pinThreads(&before) }, nil
}

// allowedCPUs lists the CPUs that this process may use.
func allowedCPUs() (cpus []int) {
	var mask unix.CPUSet
	if unix.SchedGetaffinity(0, &mask) != nil {
		return []int{0}
	}
	for i := range len(mask) * 64 {
		if mask.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// pinThreads sets the CPU mask of every thread of this process. A thread that starts meanwhile may have the former mask, and
// be seen only a moment later, so it goes on until it has found no new thread for a while.
func pinThreads(mask *unix.CPUSet) error {
	const looks, apart = 3, 10 * time.Millisecond
	done := make(map[string]bool)
	for left := looks; left > 0; left-- {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], left = true, looks
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, mask); err != nil && err != unix.ESRCH {
				return err
			}
		}
		time.Sleep(apart)
	}
	return nil
}

// load is how busy the machine was with work that is not bench's. The unit is a CPU: 0.5 is half of one.
type load struct {
	SameCPU   float64 `json:"same_cpu"`   // on the CPU that bench measures on
	OtherCPUs float64 `json:"other_cpus"` // on all other CPUs together
	Steal     float64 `json:"steal"`      // taken away by the hypervisor
}

// allCPUs is the CPU of a load meter where bench measures on all CPUs. Bench's own work is then subtracted
// from the load of all CPUs together.
const allCPUs = -1

// loadMeter measures the load from its start on.
type loadMeter struct {
	cpu   int
	start time.Time
	busy  map[int]cpuTicks
	own   time.Duration
}

// cpuTicks are the times of one CPU in /proc/stat. The unit is a tick.
type cpuTicks struct{ busy, steal uint64 }

// tick is the unit of /proc/stat: 1 ÷ USER_HZ (proc(5)), which is 100 on all architectures of sysprof.
const tick = 10 * time.Millisecond

func startLoadMeter(cpu int) (*loadMeter, error) {
	m := &loadMeter{cpu: cpu, start: time.Now(), own: ownCPUTime()}
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, fmt.Errorf("read how busy the machine is: %w", err)
	}
	m.busy = parseStat(string(data))
	return m, nil
}

// load returns the load since the start.
func (m *loadMeter) load() (load, error) {
	now, err := startLoadMeter(m.cpu)
	if err != nil {
		return load{}, err
	}
	return m.until(now), nil
}

// until returns the load between the starts of two meters.
func (m *loadMeter) until(end *loadMeter) load {
	var l load
	own := (end.own - m.own).Seconds()
	wall := end.start.Sub(m.start).Seconds()
	inCPUs := func(ticks uint64) float64 { return (time.Duration(ticks) * tick).Seconds() / wall }
	for cpu, e := range end.busy {
		s := m.busy[cpu]
		l.Steal += inCPUs(e.steal - s.steal)
		if busy := inCPUs(e.busy - s.busy); cpu == m.cpu {
			l.SameCPU = max(0, busy-own/wall)
		} else {
			l.OtherCPUs += busy
		}
	}
	if m.cpu == allCPUs {
		l.OtherCPUs = max(0, l.OtherCPUs-own/wall)
	}
	return l
}

// parseStat parses the cpuN lines of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq,
// softirq, steal. The guest times after them are part of user and nice.
func parseStat(text string) map[int]cpuTicks {
	cpus := make(map[int]cpuTicks)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		cpu, err := strconv.Atoi(fields[0][len("cpu"):])
		if err != nil {
			continue // this line is the sum of all CPUs
		}
		var v [9]uint64
		for i := 1; i < len(v); i++ {
			v[i], _ = strconv.ParseUint(fields[i], 10, 64)
		}
		cpus[cpu] = cpuTicks{busy: v[1] + v[2] + v[3] + v[6] + v[7], steal: v[8]}
	}
	return cpus
}

// ownCPUTime returns the CPU time of this process and of all children that it has waited for.
func ownCPUTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

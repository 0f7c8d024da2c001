package workload

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Throng is a shape of many threads that make calls all the time.
type Throng struct {
	Name               string
	What               string
	Processes, Threads int // threads of each process
	Rests              bool
}

// Throngs are those whose pauses are measured.
func Throngs() []Throng {
	return []Throng{
		{Name: "pauses/200", What: "200 processes that are never idle", Processes: 200, Threads: 1},
		{Name: "pauses/200-that-rest", What: "200 processes that sleep for 20 ms after every 50 calls", Processes: 200, Threads: 1, Rests: true},
		{Name: "pauses/20x50", What: "20 processes of 50 threads that are never idle", Processes: 20, Threads: 50},
	}
}

// Scaled is a crowd with so many times as many processes, one at least.
func (c Throng) Scaled(factor float64) Throng {
	c.Processes = max(1, int(float64(c.Processes)*factor))
	return c
}

// Pausing is a crowd that runs, and finds out how long its threads pause (c/pauses.c).
type Pausing struct {
	Pids   []int
	member *member
}

// StartPausing starts a crowd, whose program has been built.
func StartPausing(ctx context.Context, program string, c *Throng) (*Pausing, error) {
	rests := "0"
	if c.Rests {
		rests = "1"
	}
	m, err := startMember(ctx, program, strconv.Itoa(c.Processes), strconv.Itoa(c.Threads), rests)
	if err != nil {
		return nil, err
	}
	p := &Pausing{member: m}
	line, err := m.line(ctx, startBound)
	for word := range strings.SplitSeq(line, ",") {
		pid, bad := strconv.Atoi(word)
		if err == nil {
			err = bad
		}
		p.Pids = append(p.Pids, pid)
	}
	if err != nil {
		m.end()
		return nil, err
	}
	return p, nil
}

// Longest waits until every thread has made a call, and returns the longest pause of one since it was asked last. stood
// is the longest one without what the thread had to wait for a CPU.
func (p *Pausing) Longest(ctx context.Context) (longest, stood time.Duration, err error) {
	if _, err := p.member.input.WriteString("\n"); err != nil {
		return 0, 0, err
	}
	line, err := p.member.line(ctx, loadBound)
	if err == nil {
		_, err = fmt.Sscan(line, &longest, &stood)
	}
	return longest, stood, err
}

// End ends the crowd.
func (p *Pausing) End() error { return p.member.end() }

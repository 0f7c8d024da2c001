package main

import (
	"fmt"
	"regexp"
	"slices"
)

// The loads: what else the CPUs do.
const (
	loadQuiet = "quiet" // nothing
	loadOther = "other" // all CPUs but the one that bench pins to compute
	loadAll   = "all"   // all CPUs compute
)

// The parts: what is measured, and how its calls follow each other.
const (
	partBlocks      = "blocks"      // all calls of a kind, then those of the next
	partInterleaved = "interleaved" // each kind now and then
	partNoCheap     = "nocheap"     // blocks, in a program that does not make the call that sysprof calibrates with
	partApart       = "apart"       // calls that cannot be held to the goal, each in a program of its own
	partPrograms    = "programs"    // what people run
)

// condition is where and how something is measured.
type condition struct {
	pinned  bool // everything on one CPU
	load    string
	part    string
	threads int // that make calls; 0: the part decides
}

func (c condition) String() string {
	place := "free"
	if c.pinned {
		place = "pinned"
	}
	name := place + "/" + c.load + "/" + c.part
	if c.threads > 0 {
		name += fmt.Sprintf("/%d", c.threads)
	}
	return name
}

// allConditions returns every condition in the order in which they are measured and printed.
func allConditions() (list []condition) {
	for _, pinned := range []bool{true, false} {
		for _, load := range []string{loadQuiet, loadOther, loadAll} {
			for _, threads := range []int{1, 8} {
				for _, part := range []string{partBlocks, partInterleaved, partNoCheap} {
					list = append(list, condition{pinned, load, part, threads})
				}
			}
			list = append(list, condition{pinned, load, partApart, 0}, condition{pinned, load, partPrograms, 0})
		}
	}
	return list
}

// quickConditions are the ones of -quick. Among them are the worst that people meet often.
var quickConditions = []condition{
	{true, loadQuiet, partBlocks, 1},
	{false, loadQuiet, partBlocks, 1},
	{true, loadOther, partBlocks, 1},
	{false, loadOther, partInterleaved, 1},
	{false, loadQuiet, partNoCheap, 1},
	{false, loadQuiet, partBlocks, 8},
	{false, loadQuiet, partPrograms, 0},
}

// chosen returns the conditions to measure on a machine with this number of CPUs.
func (o *accuracyOptions) chosen(cpus int) []condition {
	list := allConditions()
	if o.quick {
		list = slices.Clone(quickConditions)
	}
	return slices.DeleteFunc(list, func(c condition) bool {
		return !o.conditions.MatchString(c.String()) || c.load == loadOther && cpus < 2
	})
}

// spinners returns which of the CPUs compute. cpu is the one that bench pins to.
func (c condition) spinners(cpus []int, cpu int) []int {
	switch c.load {
	case loadOther:
		return slices.DeleteFunc(slices.Clone(cpus), func(n int) bool { return n == cpu })
	case loadAll:
		return cpus
	}
	return nil
}

// targets returns the steps of each run of the target, as far as only chooses their kinds of call.
func (c condition) targets(only *regexp.Regexp) (runs [][]step) {
	if c.part == partApart {
		for _, s := range chosenSteps(apartSteps, only) {
			runs = append(runs, []step{s})
		}
		return runs
	}
	steps := chosenSteps(timedSteps, only)
	if c.part == partNoCheap {
		steps = slices.DeleteFunc(steps, func(s step) bool { return s.name == cheapCall })
	}
	if len(steps) == 0 {
		return nil
	}
	return [][]step{steps}
}

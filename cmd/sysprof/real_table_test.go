package main_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tally is how often a call was made, and how often it failed.
type tally struct{ calls, errors int }

func (c tally) String() string { return fmt.Sprintf("%d calls, %d errors", c.calls, c.errors) }

// successes are the calls that did not fail.
func (c tally) successes() tally { return tally{calls: c.calls - c.errors} }

// counts are the rows of a summary by name. Those of a second table have its mode behind the name:
// "read (32 bit)".
type counts map[string]tally

// countColumns are the options that make strace, and sysprof, print what counts has, and no times.
var countColumns = []string{"-c", "-U", "calls,errors,name", "-S", "name"}

// parseCounts reads the table that countColumns make.
func parseCounts(t *testing.T, text string) counts {
	t.Helper()
	rows, mode, inside := counts{}, "", false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "System call usage summary for "):
			mode = " (" + f[5] + " " + f[6] + ")"
		case strings.HasPrefix(line, "---"):
			inside = !inside
		case !inside:
		default:
			var c tally
			var err1, err2 error
			c.calls, err1 = strconv.Atoi(f[0])
			if len(f) == 3 {
				c.errors, err2 = strconv.Atoi(f[1])
			}
			if err1 != nil || err2 != nil || len(f) > 3 {
				t.Fatalf("not a row of calls, errors and name: %q in\n%s", line, text)
			}
			rows[f[len(f)-1]+mode] = c
		}
	}
	return rows
}

// without returns the rows but for those named.
func (c counts) without(names ...string) counts {
	rest := maps.Clone(c)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// differing returns the names with unlike rows, in order.
func (c counts) differing(d counts) []string {
	var names []string
	for name, row := range c {
		if d[name] != row {
			names = append(names, name)
		}
	}
	for name := range d {
		if _, ok := c[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c counts) total() (sum tally) {
	for _, row := range c {
		sum.calls += row.calls
		sum.errors += row.errors
	}
	return sum
}

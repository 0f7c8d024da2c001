package drive

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Tally is how often a call was made, and how often it failed.
type Tally struct{ Calls, Errors int }

func (c Tally) String() string { return fmt.Sprintf("%d calls, %d errors", c.Calls, c.Errors) }

// Successes are the calls that did not fail.
func (c Tally) Successes() Tally { return Tally{Calls: c.Calls - c.Errors} }

// Counts are the rows of a summary by name. Those of a second table have its mode behind the name:
// "read (32 bit)".
type Counts map[string]Tally

// CountColumns are the options that make strace, and sysprof, print what counts has, and no times.
var CountColumns = []string{"-c", "-U", "calls,errors,name", "-S", "name"}

// ParseCounts reads the table that countColumns make.
func ParseCounts(t *testing.T, text string) Counts {
	t.Helper()
	rows, mode, inside := Counts{}, "", false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "System call usage summary for "):
			mode = " (" + f[5] + " " + f[6] + ")"
		case strings.HasPrefix(line, "---"):
			inside = !inside
		case !inside:
		default:
			var c Tally
			var err1, err2 error
			c.Calls, err1 = strconv.Atoi(f[0])
			if len(f) == 3 {
				c.Errors, err2 = strconv.Atoi(f[1])
			}
			if err1 != nil || err2 != nil || len(f) > 3 {
				t.Fatalf("not a row of calls, errors and name: %q in\n%s", line, text)
			}
			rows[f[len(f)-1]+mode] = c
		}
	}
	return rows
}

// Without returns the rows but for those named.
func (c Counts) Without(names ...string) Counts {
	rest := maps.Clone(c)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// Differing returns the names with unlike rows, in order.
func (c Counts) Differing(d Counts) []string {
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

// Total adds up all rows.
func (c Counts) Total() (sum Tally) {
	for _, row := range c {
		sum.Calls += row.Calls
		sum.Errors += row.Errors
	}
	return sum
}

package report

import (
	"fmt"
	"slices"
	"strings"

	"sysprof/syscalltab/suggest"
)

// Column is a column of the summary table. The wall columns show the same as their plain counterparts:
// where strace tells CPU time in the system from the time that passed, all of sysprof's times are
// latencies, the time that passed.
type Column uint8

// The columns of strace's -U, in the order in which strace's manual lists them.
const (
	TimePercent Column = iota // share of the time of all calls
	TotalTime                 // seconds in all calls of the row
	MinTime                   // seconds of its shortest call
	MaxTime                   // seconds of its longest call
	AvgTime                   // whole µs a call, rounded down
	Calls                     // how many calls returned
	Errors                    // how many of them failed; blank for 0
	Name                      // the call's name
	WallTotal                 // as TotalTime
	WallMin                   // as MinTime
	WallMax                   // as MaxTime
	WallAvg                   // as AvgTime
)

// SortKey is what the rows of the summary table are sorted by. Rows that are equal in it are in the
// order of their names.
type SortKey uint8

// The sort keys. Names ascend; all others descend, as with strace.
const (
	SortTotalTime SortKey = iota // the default
	SortMinTime
	SortMaxTime
	SortAvgTime
	SortCalls
	SortErrors
	SortName
	SortCPU    // CPU time
	SortOffCPU // time off the CPU, where CPU time was measured
	SortP50
	SortP99
	Unsorted // in the order of the calls' numbers
)

// columnNames has each column's own name, which is also what String returns.
var columnNames = [...]string{
	TimePercent: "time-percent",
	TotalTime:   "total-time",
	MinTime:     "min-time",
	MaxTime:     "max-time",
	AvgTime:     "avg-time",
	Calls:       "calls",
	Errors:      "errors",
	Name:        "name",
	WallTotal:   "wall-total",
	WallMin:     "wall-min",
	WallMax:     "wall-max",
	WallAvg:     "wall-avg",
}

// columnAliases has the other names that strace 7.2 knows, with _ written as - (see columnNamed).
var columnAliases = map[string]Column{
	"time":         TimePercent,
	"time-total":   TotalTime,
	"shortest":     MinTime,
	"time-min":     MinTime,
	"longest":      MaxTime,
	"time-max":     MaxTime,
	"time-avg":     AvgTime,
	"count":        Calls,
	"error":        Errors,
	"syscall":      Name,
	"syscall-name": Name,
	"total-wall":   WallTotal,
	"min-wall":     WallMin,
	"max-wall":     WallMax,
	"avg-wall":     WallAvg,
}

// columnSort is the sort key that a column's name stands for.
var columnSort = [...]SortKey{
	TimePercent: SortTotalTime,
	TotalTime:   SortTotalTime,
	MinTime:     SortMinTime,
	MaxTime:     SortMaxTime,
	AvgTime:     SortAvgTime,
	Calls:       SortCalls,
	Errors:      SortErrors,
	Name:        SortName,
	WallTotal:   SortTotalTime,
	WallMin:     SortMinTime,
	WallMax:     SortMaxTime,
	WallAvg:     SortAvgTime,
}

// sortNames are what else rows can be sorted by: the headings of the table for people.
var sortNames = map[string]SortKey{
	"total":   SortTotalTime,
	"cpu":     SortCPU,
	"off-cpu": SortOffCPU,
	"mean":    SortAvgTime,
	"p50":     SortP50,
	"p99":     SortP99,
	"max":     SortMaxTime,
	"call":    SortName,
	"none":    Unsorted,
	"nothing": Unsorted,
}

// SortKeys lists what ParseSortKey knows, but for other words for the same.
func SortKeys() []string {
	return slices.Concat(columnNames[:], []string{"total", "cpu", "off-cpu", "mean", "p50", "p99", "max", "call", "none"})
}

// ColumnNames lists what ParseColumns knows, but for other words for the same.
func ColumnNames() []string { return slices.Clone(columnNames[:]) }

// String is the column's name as -U takes it.
func (c Column) String() string {
	if int(c) < len(columnNames) {
		return columnNames[c]
	}
	return fmt.Sprintf("column %d", uint8(c))
}

// isWall reports whether the column shows wall-clock time even where others show CPU time.
func (c Column) isWall() bool { return c >= WallTotal && c <= WallAvg }

// DefaultColumns are the columns of a table for which none were chosen. The caller owns the slice.
func DefaultColumns() []Column {
	return []Column{TimePercent, TotalTime, AvgTime, Calls, Errors, Name}
}

// ParseColumns reads strace's -U argument: column names or their aliases, separated by commas, none of
// them twice. The name column is added at the end if it is missing, since without it nothing says what
// a row is about.
func ParseColumns(arg string) ([]Column, error) {
	var columns []Column
	for name := range strings.SplitSeq(arg, ",") {
		c, ok := columnNamed(name)
		if !ok {
			return nil, fmt.Errorf("unknown column %q%s; the columns are %s", name, suggest.DidYouMean(name, columnNames[:]), strings.Join(columnNames[:], ", "))
		}
		if slices.Contains(columns, c) {
			return nil, fmt.Errorf("column %s is given more than once in %q", c, arg)
		}
		columns = append(columns, c)
	}
	if !slices.Contains(columns, Name) {
		columns = append(columns, Name)
	}
	return columns, nil
}

// ParseSortKey reads strace's -S argument: the name or an alias of a column, or none (also nothing); besides, the heading of a
// column of the table for people.
func ParseSortKey(arg string) (SortKey, error) {
	if key, ok := sortNames[strings.ToLower(strings.ReplaceAll(arg, "_", "-"))]; ok {
		return key, nil
	}
	c, ok := columnNamed(arg)
	if !ok {
		return 0, fmt.Errorf("unknown sort key %q%s; the keys are %s", arg, suggest.DidYouMean(arg, SortKeys()), strings.Join(SortKeys(), ", "))
	}
	return columnSort[c], nil
}

// columnNamed finds a column by any of its names. strace knows each name of two words with a hyphen and
// with an underscore.
func columnNamed(name string) (Column, bool) {
	name = strings.ReplaceAll(name, "_", "-")
	if c, ok := columnAliases[name]; ok {
		return c, true
	}
	i := slices.Index(columnNames[:], name)
	return Column(max(i, 0)), i >= 0
}

package report

import (
	"errors"
	"fmt"
	"math"
	"time"

	"sysprof/profile"
	"sysprof/profile/timeline"
)

// jsonOverTime is how latencies were distributed over the time of a run. A cell is three numbers of a list: its slice, its bucket, and
// how many calls it has.
type jsonOverTime struct {
	EndsNs []time.Duration    `json:"ends_ns"` // of the slices
	LowsNs []int64            `json:"lows_ns"` // the least latency of each bucket, and of the one behind the last; not read back
	All    []uint64           `json:"all"`     // cells of all calls
	Rows   []jsonOverTimeCall `json:"rows"`
}

type jsonOverTimeCall struct {
	Name  string   `json:"name"`
	ABI   string   `json:"abi"`
	Nr    uint64   `json:"nr"`
	Calls uint64   `json:"calls"`
	SumNs int64    `json:"sum_ns"`
	Cells []uint64 `json:"cells"`
}

func newJSONOverTime(t *timeline.Timeline) *jsonOverTime {
	j := &jsonOverTime{EndsNs: t.Ends, All: cellNumbers(t.All), Rows: []jsonOverTimeCall{}}
	last := uint16(0)
	for _, c := range t.All {
		last = max(last, c.Bucket)
	}
	for b := range last + 1 {
		low, _ := timeline.Bounds(b)
		j.LowsNs = append(j.LowsNs, low)
	}
	_, high := timeline.Bounds(last)
	j.LowsNs = append(j.LowsNs, high)
	for i := range t.Rows {
		r := &t.Rows[i]
		j.Rows = append(j.Rows, jsonOverTimeCall{r.ABI.Name(r.Nr), r.ABI.String(), r.Nr, r.Calls, r.SumNs, cellNumbers(r.Cells)})
	}
	return j
}

func cellNumbers(cells []timeline.Cell) []uint64 {
	list := make([]uint64, 0, 3*len(cells))
	for _, c := range cells {
		list = append(list, uint64(c.Slice), uint64(c.Bucket), c.Calls)
	}
	return list
}

// timeline checks and converts.
func (j *jsonOverTime) timeline() (*timeline.Timeline, error) {
	if len(j.EndsNs) > timeline.MaxSlices || len(j.Rows) > timeline.MaxRows {
		return nil, fmt.Errorf("there are %d slices, and %d calls: these are too many", len(j.EndsNs), len(j.Rows))
	}
	t := &timeline.Timeline{Ends: j.EndsNs}
	for i, end := range t.Ends {
		if end < 0 || i > 0 && end <= t.Ends[i-1] {
			return nil, errors.New("the slices are out of order")
		}
	}
	var err error
	if t.All, err = cellsOf(j.All, len(t.Ends)); err != nil {
		return nil, err
	}
	for i := range j.Rows {
		from := &j.Rows[i]
		row := timeline.Row{Key: profile.Key{Nr: from.Nr}, Calls: from.Calls, SumNs: from.SumNs}
		if row.ABI, err = abiNamed(from.ABI); err == nil {
			row.Cells, err = cellsOf(from.Cells, len(t.Ends))
		}
		if err == nil && row.SumNs < 0 {
			err = fmt.Errorf("sum_ns is %d", row.SumNs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shortened(from.Name), err)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// cellsOf checks and converts the cells of so many slices.
func cellsOf(numbers []uint64, slices int) (cells []timeline.Cell, err error) {
	if len(numbers)%3 != 0 {
		return nil, errors.New("a cell has not three numbers")
	}
	var sum counter
	for ; len(numbers) > 0; numbers = numbers[3:] {
		slice, bucket, calls := numbers[0], numbers[1], numbers[2]
		if slice >= uint64(slices) || bucket >= timeline.NumBuckets || calls == 0 {
			return nil, fmt.Errorf("there is no cell %d, %d of %d calls", slice, bucket, calls)
		}
		c := timeline.Cell{Slice: uint16(slice), Bucket: uint16(bucket), Calls: calls}
		if last := len(cells) - 1; last >= 0 && (cells[last].Slice > c.Slice || cells[last].Slice == c.Slice && cells[last].Bucket >= c.Bucket) {
			return nil, errors.New("the cells are out of order")
		}
		cells = append(cells, c)
		if sum.add(calls); sum.n == math.MaxUint64 {
			return nil, errors.New("there are more calls than can be counted")
		}
	}
	return cells, nil
}

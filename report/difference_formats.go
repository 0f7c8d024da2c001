package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"sysprof/profile/changes"
)

// The identity of the JSON format of differences, which SCHEMA.md describes.
const (
	jsonDifferenceFormat  = "sysprof-difference"
	jsonDifferenceVersion = 1
)

// jsonSide is what the runs of one side are.
type jsonSide struct {
	Files []string `json:"files"`
	Runs  []Meta   `json:"runs"`
}

type jsonDifferenceRow struct {
	Name    string                 `json:"name"`
	ABI     string                 `json:"abi"`
	Nr      uint64                 `json:"nr"`
	Metrics map[string]*jsonChange `json:"metrics"`
}

type jsonDifferenceGroup struct {
	Name string                 `json:"name"`
	All  map[string]*jsonChange `json:"all"`
	Rows []jsonDifferenceRow    `json:"rows"`
}

func jsonDifferenceRows(from []changes.Row) (rows []jsonDifferenceRow) {
	for i := range from {
		r := &from[i]
		rows = append(rows, jsonDifferenceRow{r.ABI.Name(r.Nr), r.ABI.String(), r.Nr, jsonMetrics(r)})
	}
	return rows
}

// jsonChange has null for what is not known, or has no end.
type jsonChange struct {
	New   *float64 `json:"new"`
	Old   *float64 `json:"old"`
	Ratio *float64 `json:"ratio"`
	Low   *float64 `json:"ratio_low"`
	High  *float64 `json:"ratio_high"`
	Noise bool     `json:"noise"`
}

// WriteJSON writes the difference with a line for each row.
func (d *Difference) WriteJSON(w io.Writer) error {
	j := jsonWriter{to: w, lineEnd: "\n"}
	j.printf("{%q: %q, %q: %d,%s", "format", jsonDifferenceFormat, "version", jsonDifferenceVersion, j.lineEnd)
	j.field("new", d.New.json())
	j.field("old", d.Old.json())
	j.field("all", jsonMetrics(&d.All))
	rows := slices.Values(jsonDifferenceRows(d.Rows))
	row := func(r jsonDifferenceRow) { j.value(r) }
	if d.By == nil {
		writeLines(&j, "rows", rows, "", row)
	} else {
		writeLines(&j, "rows", rows, ",", row)
		j.field("groups_by", d.By)
		writeLines(&j, "groups", slices.Values(d.Groups), "", func(g changes.Group) {
			j.value(jsonDifferenceGroup{g.Name, jsonMetrics(&g.All), jsonDifferenceRows(g.Rows)})
		})
	}
	j.printf("}\n")
	j.flush()
	if j.err != nil {
		return fmt.Errorf("write JSON: %w", j.err)
	}
	return nil
}

func (s *DifferenceSide) json() jsonSide {
	side := jsonSide{Files: s.Files, Runs: s.Metas}
	for i := range side.Runs {
		side.Runs[i].Start = side.Runs[i].Start.UTC()
	}
	return side
}

func jsonMetrics(r *changes.Row) map[string]*jsonChange {
	metrics := make(map[string]*jsonChange)
	for m := range changes.Metric(changes.Metrics) {
		c := &r.Change[m]
		metrics[m.String()] = &jsonChange{finite(c.New), finite(c.Old), finite(c.Ratio), finite(c.Low), finite(c.High), c.Noise}
	}
	return metrics
}

// finite is nil for what JSON has no number for.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// WriteCSV writes a line of column names and a line for each call, in the order of the table; then, if there are groups,
// one for each call of each of them, with its name in the last column.
func (d *Difference) WriteCSV(w io.Writer) error {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	header := []string{"call", "abi", "nr"}
	for m := range changes.Metric(changes.Metrics) {
		for _, what := range []string{"new", "old", "ratio", "ratio_low", "ratio_high", "noise"} {
			header = append(header, m.String()+"_"+what)
		}
	}
	if d.By != nil {
		header = append(header, "group")
	}
	out.Write(header) // errors stay with the writer, see below
	for i := range d.Rows {
		cells := differenceCells(&d.Rows[i])
		if d.By != nil {
			cells = append(cells, "")
		}
		out.Write(cells)
	}
	for i := range d.Groups {
		for j := range d.Groups[i].Rows {
			out.Write(append(differenceCells(&d.Groups[i].Rows[j]), d.Groups[i].Name))
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

func differenceCells(r *changes.Row) []string {
	cells := []string{r.ABI.Name(r.Nr), r.ABI.String(), unsigned(r.Nr)}
	for m := range changes.Metric(changes.Metrics) {
		c := &r.Change[m]
		for _, v := range []float64{c.New, c.Old, c.Ratio, c.Low, c.High} {
			cells = append(cells, csvFloat(v))
		}
		cells = append(cells, strconv.FormatBool(c.Noise))
	}
	return cells
}

// csvFloat is empty for what is not known, or has no end.
func csvFloat(v float64) string {
	if finite(v) == nil {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 10, 64)
}

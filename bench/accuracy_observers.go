package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysprof/bench/process"
)

// foreignBound is the longest that another tracer may take for a run of seconds. perf trace does not end at
// all now and then, while all CPUs are busy.
const foreignBound = 15 * time.Second

// observer is a tracer that says how long calls take.
type observer struct {
	name   string
	before []string // the words before the command
	file   string   // has its results
	parse  func(text []byte) ([]tableRow, error)
	bound  time.Duration
	spread bool // a kind of call may have many rows, one for each thread
	lossy  bool // rows may be missing: what is lost is not judged
}

// tableRow is what a tracer says of the calls of one name.
type tableRow struct {
	name  string
	calls int
	timing
}

// observers returns the sysprofs, and the other tracers that are installed.
func (kit *accuracyKit) observers() (list []observer) {
	if kit.record != "" {
		return []observer{{recordName, kit.recorderWords(), kit.json, parseSysprof, runBound, false, false}}
	}
	for _, s := range kit.sysprofs {
		list = append(list, observer{s.name, kit.sysprofWords(s.path, "--"), kit.json, parseSysprof, runBound, false, false})
	}
	if kit.strace != "" {
		list = append(list, observer{straceC, []string{kit.strace, "-f", "-c", "-w", "-U", "name,total-time,calls", "-o", kit.table, "--"},
			kit.table, foreignRows(straceRow), foreignBound, false, false})
	}
	if kit.perf != "" {
		list = append(list, observer{perfName, []string{kit.perf, "trace", "-s", "-o", kit.table, "--"}, kit.table, foreignRows(perfRow), foreignBound, true, true})
	}
	return list
}

const perfName = "perf"

// sysprofWords returns the command of a sysprof that writes its results to kit.json.
func (kit *accuracyKit) sysprofWords(path string, last ...string) []string {
	return append([]string{path, "-c", "-o", kit.table, "--json", kit.json}, last...)
}

// observe runs the target under a tracer, and returns what that says of its calls.
func (kit *accuracyKit) observe(ctx context.Context, o *observer, words []string, steps []step, c condition) (callTimings, error) {
	if _, err := process.Run(ctx, process.Spec{Words: slices.Concat(o.before, words), Discard: true}, o.bound); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(o.file)
	if err != nil {
		return nil, err
	}
	rows, err := o.parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	found := make(callTimings)
	for _, s := range steps {
		least := s.count(kit.calls, c.threads)
		if o.spread {
			least = 1
		}
		for _, k := range s.kinds {
			t, ok := timingIn(rows, k.names, least)
			if !ok && !o.lossy {
				return nil, fmt.Errorf("no row of %d × %s", least, k.name)
			}
			found[k.name] = t
		}
	}
	return found, nil
}

// timingIn returns the timing of all rows with one of these names and at least that many calls.
func timingIn(rows []tableRow, names []string, least int) (t timing, ok bool) {
	sum, calls := 0.0, 0
	for _, row := range rows {
		if slices.Contains(names, row.name) && row.calls >= least {
			sum += row.Mean * float64(row.calls)
			calls += row.calls
			t.P50 = row.P50
		}
	}
	if calls == 0 {
		return timing{}, false
	}
	t.Mean = sum / float64(calls)
	return t, true
}

// sysprofJSON is what is read of sysprof's JSON: what it prints, however it came to it.
type sysprofJSON struct {
	Overhead *struct {
		WallNs   float64 `json:"wall_ns"`
		Untraced struct {
			Ns     float64 `json:"ns"`
			LowNs  float64 `json:"low_ns"`
			HighNs float64 `json:"high_ns"`
		} `json:"untraced"`
		Total struct {
			Ns float64 `json:"ns"`
		} `json:"total"`
		Lost struct {
			Estimate float64 `json:"estimate"`
			Low      float64 `json:"low"`
			High     float64 `json:"high"`
		} `json:"lost_share"`
	} `json:"overhead"`
	Rows []struct {
		Name    string `json:"name"`
		Nr      uint64 `json:"nr"`
		Calls   int    `json:"calls"`
		Latency struct {
			MeanNs float64 `json:"mean_ns"`
			P50Ns  float64 `json:"p50_ns"`
		} `json:"latency"`
	} `json:"rows"`
	WarningKinds []struct {
		Kind string `json:"kind"`
	} `json:"warning_kinds"`
}

func parseSysprof(text []byte) (rows []tableRow, err error) {
	var said sysprofJSON
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	for _, row := range said.Rows {
		rows = append(rows, tableRow{row.Name, row.Calls, timing{row.Latency.P50Ns, row.Latency.MeanNs}})
	}
	return rows, nil
}

// foreignRows parses a table whose rows begin with the name of a call. A line that is no row has 0 calls.
func foreignRows(parse func(fields []string) (ns float64, calls int)) func([]byte) ([]tableRow, error) {
	return func(text []byte) (rows []tableRow, err error) {
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue
			}
			if ns, calls := parse(fields); calls > 0 {
				rows = append(rows, tableRow{fields[0], calls, timing{Mean: ns / float64(calls)}})
			}
		}
		return rows, nil
	}
}

// straceRow parses a row of strace -U name,total-time,calls. strace prints seconds.
func straceRow(fields []string) (ns float64, calls int) {
	seconds, _ := strconv.ParseFloat(fields[1], 64)
	calls, _ = strconv.Atoi(fields[2])
	return seconds * 1e9, calls
}

// perfRow parses a row of perf trace -s. It begins with the name, calls, errors, and milliseconds.
func perfRow(fields []string) (ns float64, calls int) {
	if len(fields) < 4 {
		return 0, 0
	}
	calls, _ = strconv.Atoi(fields[1])
	ms, _ := strconv.ParseFloat(fields[3], 64)
	return ms * 1e6, calls
}

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sysprof/profile"
	"sysprof/report"
)

// callOnce measures one kind of call once untraced and once under each tracer, in an order shuffled anew.
func (kit *accuracyKit) callOnce(c *timedCall, count int, to *callLatency) error {
	target := []string{kit.k.target, c.name, strconv.Itoa(count), kit.dir}
	runs := []func() error{
		func() error { return to.addTruth(target) },
		func() error { return kit.addSysprof(target, c, count, to) },
	}
	if kit.strace != "" {
		runs = append(runs, func() error {
			mean, err := kit.foreignMean([]string{kit.strace, "-f", "-c", "-w", "-U", "name,total-time,calls", "-o", kit.table, "--"}, target, c, count, straceRow)
			to.Strace = append(to.Strace, mean)
			return err
		})
	}
	if kit.perf != "" {
		runs = append(runs, func() error {
			mean, err := kit.foreignMean([]string{kit.perf, "trace", "-s", "-o", kit.table, "--"}, target, c, 1, perfRow)
			to.Perf = append(to.Perf, mean)
			return err
		})
	}
	for _, i := range rand.Perm(len(runs)) {
		if err := runs[i](); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// addTruth runs the target untraced and adds what it says of its own calls.
func (to *callLatency) addTruth(target []string) error {
	out, err := output(target)
	if err != nil {
		return err
	}
	median, mean, err := medianAndMean(out)
	if err != nil {
		return err
	}
	to.TruthMedian, to.TruthMean = append(to.TruthMedian, median), append(to.TruthMean, mean)
	return nil
}

// addSysprof runs the target under sysprof and adds the row with its calls.
func (kit *accuracyKit) addSysprof(target []string, c *timedCall, count int, to *callLatency) error {
	seen, err := kit.runUnderSysprof(target)
	if err != nil {
		return err
	}
	for i := range seen.Rows {
		row := &seen.Rows[i]
		if slices.Contains(c.names, row.ABI.Name(row.Nr)) && row.Calls >= uint64(count) {
			h := row.Latency()
			to.Median = append(to.Median, float64(h.Quantile(0.5)))
			to.Mean = append(to.Mean, float64(h.Mean()))
			return nil
		}
	}
	return fmt.Errorf("sysprof has no row of %d × %s", count, c.name)
}

// runUnderSysprof runs a command under sysprof and returns what sysprof measured.
func (kit *accuracyKit) runUnderSysprof(command []string) (*profile.Snapshot, error) {
	file := filepath.Join(kit.k.dir, "json")
	if err := runUnder([]string{kit.k.sysprof, "-c", "-o", kit.table, "--json", file, "--"}, command); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	seen, _, err := report.ReadJSON(bytes.NewReader(text))
	return seen, err
}

// runUnder runs a command with the words of a tracer before it.
func runUnder(tracer, command []string) error {
	_, err := output(slices.Concat(tracer, command))
	return err
}

// output runs a command and returns its standard output.
func output(words []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C") // the tables of tracers are parsed
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// medianAndMean returns those of the samples that c/target.c writes.
func medianAndMean(samples []byte) (median, mean float64, err error) {
	ns := make([]int64, len(samples)/8)
	if len(ns) == 0 {
		return 0, 0, fmt.Errorf("the target wrote no samples")
	}
	if err := binary.Read(bytes.NewReader(samples), binary.NativeEndian, ns); err != nil {
		return 0, 0, err
	}
	sum := 0.0
	for _, v := range ns {
		sum += float64(v)
	}
	slices.Sort(ns)
	return float64(ns[len(ns)/2]), sum / float64(len(ns)), nil
}

// foreignMean runs the target under another tracer. It returns the mean latency that the tracer's table
// has for a call, over all rows with at least count calls: perf has a table for each thread.
func (kit *accuracyKit) foreignMean(tracer, target []string, c *timedCall, count int, parse func(fields []string) (ns float64, calls int)) (float64, error) {
	if err := runUnder(tracer, target); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(kit.table)
	if err != nil {
		return 0, err
	}
	ns, calls := 0.0, 0
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 3 && slices.Contains(c.names, fields[0]) {
			if rowNs, n := parse(fields); n >= count {
				ns, calls = ns+rowNs, calls+n
			}
		}
	}
	if calls == 0 {
		return 0, fmt.Errorf("no row of %s:\n%s", c.name, text)
	}
	return ns / float64(calls), nil
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

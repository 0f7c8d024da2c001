package workload

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// printedNs parses a number of nanoseconds, which is all that the helpers print.
func printedNs(stdout, _ string) (Sample, error) {
	ns, err := strconv.ParseFloat(strings.TrimSpace(stdout), 64)
	return Sample{Ns: ns, Units: 1}, err
}

var ddTime = regexp.MustCompile(`copied, ([0-9.e+-]+) s,`)

// ddElapsed parses the summary of GNU dd, which ends in "copied, 1.50217 s, 66.6 kB/s".
func ddElapsed(_, stderr string) (Sample, error) { return seconds("dd", stderr, ddTime) }

var perfBenchTime = regexp.MustCompile(`Total time: ([0-9.]+) \[sec\]`)

// perfBench parses what perf bench prints.
func perfBench(stdout, _ string) (Sample, error) { return seconds("perf bench", stdout, perfBenchTime) }

var (
	sysbenchTime = regexp.MustCompile(`total time: +([0-9.]+)s`)
	sysbenchP99  = regexp.MustCompile(`99th percentile: +([0-9.]+)`)
)

// sysbench parses what sysbench run --percentile=99 prints. Its latencies are in milliseconds.
func sysbench(stdout, _ string) (Sample, error) {
	s, err := seconds("sysbench", stdout, sysbenchTime)
	if found := sysbenchP99.FindStringSubmatch(stdout); err == nil && found != nil {
		ms, _ := strconv.ParseFloat(found[1], 64)
		s.P99Ns = ms * 1e6
	}
	return s, err
}

// fio parses what fio --output-format=json prints of one job. Some versions write notes before the JSON.
func fio(stdout, _ string) (Sample, error) {
	var out struct {
		Jobs []struct {
			Error   int   `json:"error"`
			Runtime int64 `json:"job_runtime"`
			Read    struct {
				TotalIOs int     `json:"total_ios"`
				IOPS     float64 `json:"iops"`
				Latency  struct {
					Percentile map[string]float64 `json:"percentile"`
				} `json:"clat_ns"`
			} `json:"read"`
		} `json:"jobs"`
	}
	start := strings.IndexByte(stdout, '{')
	if start < 0 {
		return Sample{}, fmt.Errorf("fio wrote no JSON: %q", stdout)
	}
	if err := json.Unmarshal([]byte(stdout[start:]), &out); err != nil {
		return Sample{}, fmt.Errorf("fio's JSON: %w", err)
	}
	if len(out.Jobs) != 1 || out.Jobs[0].Error != 0 || out.Jobs[0].Read.IOPS <= 0 {
		return Sample{}, fmt.Errorf("fio did not run: %d jobs", len(out.Jobs))
	}
	read := out.Jobs[0].Read
	// The rate is exact. The run time is rounded to milliseconds.
	ns := float64(read.TotalIOs) / read.IOPS * 1e9
	return Sample{Ns: ns, P99Ns: read.Latency.Percentile["99.000000"], Units: 1}, nil
}

// redisBenchmark parses what redis-benchmark --csv -t get prints: a heading, and a line with the name, the
// rate, and the latencies in milliseconds (average, min, p50, p95, p99, max).
func redisBenchmark(stdout string, requests int) (Sample, error) {
	for line := range strings.Lines(stdout) {
		fields := strings.Split(strings.TrimSpace(strings.ReplaceAll(line, `"`, "")), ",")
		if len(fields) < 8 || fields[0] != "GET" {
			continue
		}
		rate, err1 := strconv.ParseFloat(fields[1], 64)
		p99, err2 := strconv.ParseFloat(fields[6], 64)
		if err1 != nil || err2 != nil || rate <= 0 {
			break
		}
		return Sample{Ns: 1e9 / rate, P99Ns: p99 * 1e6, Units: requests}, nil
	}
	return Sample{}, fmt.Errorf("redis-benchmark did not say how fast it was: %q", stdout)
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)
	wrkCount  = regexp.MustCompile(`([0-9]+) requests in `)
	wrkP99    = regexp.MustCompile(`\n +99% +([0-9.]+)(us|ms|s|m)`)
	wrkFailed = regexp.MustCompile(`Socket errors: connect [0-9]+|Non-2xx or 3xx responses: [0-9]+`)
)

// wrk parses what wrk --latency prints.
func wrk(stdout string) (Sample, error) {
	rate, count, p99 := wrkRate.FindStringSubmatch(stdout), wrkCount.FindStringSubmatch(stdout), wrkP99.FindStringSubmatch(stdout)
	if rate == nil || count == nil || p99 == nil {
		return Sample{}, fmt.Errorf("wrk did not say how fast it was: %q", stdout)
	}
	if failed := wrkFailed.FindString(stdout); strings.HasPrefix(failed, "Non") {
		return Sample{}, fmt.Errorf("wrk: %s", failed)
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	if err != nil || perSecond <= 0 {
		return Sample{}, fmt.Errorf("wrk had no answer: %q", stdout)
	}
	units, _ := strconv.Atoi(count[1])
	slow, err := time.ParseDuration(p99[1] + p99[2])
	return Sample{Ns: 1e9 / perSecond, P99Ns: float64(slow), Units: units}, err
}

var (
	pgbenchRate   = regexp.MustCompile(`tps = ([0-9.]+)`)
	pgbenchCount  = regexp.MustCompile(`number of transactions actually processed: ([0-9]+)`)
	pgbenchFailed = regexp.MustCompile(`number of failed transactions: [1-9][0-9]*`)
)

// pgbench parses what pgbench prints. Only the log of pgbench says how long each transaction took.
func pgbench(stdout string) (Sample, error) {
	rate, count := pgbenchRate.FindStringSubmatch(stdout), pgbenchCount.FindStringSubmatch(stdout)
	if rate == nil || count == nil {
		return Sample{}, fmt.Errorf("pgbench did not say how fast it was: %q", stdout)
	}
	if failed := pgbenchFailed.FindString(stdout); failed != "" {
		return Sample{}, fmt.Errorf("pgbench: %s", failed)
	}
	tps, err := strconv.ParseFloat(rate[1], 64)
	if err != nil || tps <= 0 {
		return Sample{}, fmt.Errorf("pgbench had no answer: %q", stdout)
	}
	units, err := strconv.Atoi(count[1])
	return Sample{Ns: 1e9 / tps, Units: units}, err
}

// pgbenchLatencies parses a log of pgbench -l, and returns nanoseconds. A line begins with the client, the
// transaction, and the latency in microseconds.
func pgbenchLatencies(log string) (ns []float64) {
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); len(fields) >= 3 {
			if us, err := strconv.ParseFloat(fields[2], 64); err == nil {
				ns = append(ns, us*1e3)
			}
		}
	}
	return ns
}

// seconds finds a run time in the output of a program. The first group of the pattern is the seconds.
func seconds(who, text string, pattern *regexp.Regexp) (Sample, error) {
	found := pattern.FindStringSubmatch(text)
	if found == nil {
		return Sample{}, fmt.Errorf("%s did not say how long it took: %q", who, text)
	}
	s, err := strconv.ParseFloat(found[1], 64)
	return Sample{Ns: s * 1e9, Units: 1}, err
}

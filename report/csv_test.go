package report

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"strconv"
	"testing"

	"sysprof/profile"
)

func TestGoldenCSV(t *testing.T) {
	golden(t, "mixed --csv", writeCSV(t, mixed()))
	golden(t, "measured --csv", writeCSV(t, measured()))
	golden(t, "nothing --csv", writeCSV(t, &profile.Snapshot{}))
}

// TestCSVSaysWhatTheSnapshotSays reads cells by the names of their columns.
func TestCSVSaysWhatTheSnapshotSays(t *testing.T) {
	raw, unknown := measured(), measured()
	raw.Overhead = &profile.Overhead{WallNs: 77}
	unknown.Overhead = &profile.Overhead{Source: profile.Calibrated, Calls: 1, WallNs: 77}
	for name, s := range map[string]*profile.Snapshot{
		"mixed": mixed(), "busy": busy(), "measured": measured(), "raw": raw, "unknown": unknown, "gigantic": gigantic(), "endless": endless(),
	} {
		records := must(csv.NewReader(bytes.NewBufferString(writeCSV(t, s))).ReadAll())(t)
		if len(records) != len(s.Rows)+1 {
			t.Fatalf("%s: %d lines for %d rows", name, len(records), len(s.Rows))
		}
		header := records[0]
		if sorted := slices.Sorted(slices.Values(header)); len(slices.Compact(sorted)) != len(header) {
			t.Fatalf("a column is there twice: %q", header)
		}
		for i, record := range records[1:] {
			r := &s.Rows[i]
			check := func(column, want string) {
				t.Helper()
				at := slices.Index(header, column)
				if at < 0 || record[at] != want {
					t.Errorf("%s, %s: %s = %q in column %d, want %q", name, record[0], column, record[at], at, want)
				}
			}
			all, failed := r.Latency(), new(profile.Histogram)
			for _, f := range r.Failed {
				failed.Merge(f.Latency)
			}
			number := func(n int64) string { return strconv.FormatInt(n, 10) }
			check("call", r.ABI.Name(r.Nr))
			check("nr", strconv.FormatUint(r.Nr, 10))
			check("calls", strconv.FormatUint(r.Calls, 10))
			check("errors", strconv.FormatUint(r.Errors, 10))
			check("max_ns", number(r.MaxNs))
			check("p99_ns", number(int64(all.Quantile(0.99))))
			check("ok_calls", strconv.FormatUint(r.OK.Count(), 10))
			check("hold_ns", number(r.HoldNs))
			if failed.Count() == 0 {
				check("failed_p50_ns", "")
				check("errnos", "")
			} else {
				check("failed_p50_ns", number(int64(failed.Quantile(0.5))))
				check("failed_max_ns", number(int64(failed.Max())))
			}
			if r.CPU == nil {
				check("cpu_ns", "")
				check("off_cpu_ns", "")
			} else {
				check("cpu_ns", number(r.CPUNs))
			}
			switch o := s.Overhead; {
			case o == nil:
				check("run_overhead_source", "")
				check("run_wall_ns", "")
			case o.Source == profile.Uncorrected:
				check("run_overhead_source", "uncorrected")
				check("run_overhead_ns", "")
				check("run_wall_ns", "77")
			case o.UntracedNs.Ns == 0:
				check("run_wall_ns", "77")
				check("run_untraced_ns", "")
				check("run_slowdown", "")
			default:
				check("run_untraced_high_ns", number(o.UntracedNs.HighNs))
				check("run_slowdown", strconv.FormatFloat(float64(o.WallNs)/float64(o.UntracedNs.Ns), 'f', 3, 64))
			}
		}
	}
}

// TestCSVSumsDoNotOverflow: a sum may need 128 bits.
func TestCSVSumsDoNotOverflow(t *testing.T) {
	h := new(profile.Histogram)
	h.RecordN(math.MaxInt64, 4)
	s := profile.Merge(&profile.Snapshot{Rows: []profile.Row{{OK: h}}})
	records := must(csv.NewReader(bytes.NewBufferString(writeCSV(t, s))).ReadAll())(t)
	if got, want := records[1][slices.Index(records[0], "sum_ns")], "36893488147419103228"; got != want {
		t.Errorf("sum = %s, want %s", got, want)
	}
}

func writeCSV(t *testing.T, s *profile.Snapshot) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteCSV(&out, s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestMedianAndMean(t *testing.T) {
	var samples bytes.Buffer
	binary.Write(&samples, binary.NativeEndian, []int64{5, 1, 9})
	if median, mean, err := medianAndMean(samples.Bytes()); median != 5 || mean != 5 || err != nil {
		t.Errorf("median %v, mean %v, %v", median, mean, err)
	}
	if _, _, err := medianAndMean(nil); err == nil {
		t.Error("no samples, no error")
	}
}

func TestForeignRows(t *testing.T) {
	if ns, calls := straceRow(strings.Fields("newfstatat 0.001464 102")); ns != 1_464_000 || calls != 102 {
		t.Errorf("strace: %v ns in %d calls", ns, calls)
	}
	if ns, calls := perfRow(strings.Fields("newfstatat 102 0 1.5 0.014 0.016 0.038 2.60%")); ns != 1_500_000 || calls != 102 {
		t.Errorf("perf: %v ns in %d calls", ns, calls)
	}
}

func TestParseSettings(t *testing.T) {
	got, err := parseSettings("unpinned,pinned+load")
	if err != nil || len(got) != 2 || got[0] != (setting{}) || got[1] != (setting{true, true}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseSettings("pinned,idle"); err == nil {
		t.Error("an unknown setting is taken")
	}
}

// Misses are marked and named. A miss that the rounds do not agree on is marked as such.
func TestMissesAreNamed(t *testing.T) {
	s := &settingResult{setting: setting{Pinned: true},
		Calls: []*callLatency{
			{Call: "good", TruthMedian: []float64{100, 100}, Median: []float64{250, 260}, TruthMean: []float64{100, 100}, Mean: []float64{390, 390}},
			{Call: "bad", TruthMedian: []float64{100, 100}, Median: []float64{400, 410}, TruthMean: []float64{100, 100}, Mean: []float64{300, 900}},
		},
		Runs: []*runTime{{Run: "run it", Untraced: []float64{1e6, 1e6}, Traced: []float64{2e6, 2e6},
			Estimate: []float64{1.3e6, 1.3e6}, Low: []float64{1e6, 1.2e6}, High: []float64{2e6, 2e6}, Warned: []bool{true, false}}}}
	var out bytes.Buffer
	if err := s.writeTables(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Missed (pinned): bad median, bad mean ~, run it.", "1 of 2 ✗", "+30.0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

package main

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sysprof/profile/trials"
)

// Ratios are taken within a round. A machine that becomes twice as slow half-way changes none of them.
func TestRatioIsPaired(t *testing.T) {
	s := &series{NsPerOp: map[string][]float64{
		untraced: {100, 100, 200, 200},
		floorGo:  {1100, 1100, 2200, 2200},
		sysprofC: {1300, 1300, 2600, 2600},
	}}
	want := &trials.Estimate{Median: 1.2, Lo: 1.2, Hi: 1.2, Confidence: 0.875}
	if diff := cmp.Diff(want, s.NsPerOp.compared(sysprofC, floorGo), cmpopts.EquateApprox(0, 1e-9), cmpopts.IgnoreUnexported(*want)); diff != "" {
		t.Error(diff)
	}
	if got := s.NsPerOp.compared(sysprofC, straceC); got != nil {
		t.Errorf("compared with what was not measured: %v", got)
	}
	if diff := cmp.Diff([]float64{11, 11, 11, 11}, s.NsPerOp.slowdown(floorGo)); diff != "" {
		t.Error(diff)
	}
}

// TestStacksAgainstFloor: what a stack adds is what sysprof takes longer with it, not what it takes longer than the program.
func TestStacksAgainstFloor(t *testing.T) {
	took := timings{
		untraced: {100, 200, 200},
		floorGo:  {1100, 2200, 2200},
		sysprofC: {1300, 2600, 2600},
		stacked:  {1500, 3000, 3000},
	}
	if got := took.comparedStacks(); got == nil || got.Median != 0.2 || got.Lo != 0.2 {
		t.Errorf("compared: %v, want 0.2", got)
	}
	for _, without := range []string{floorGo, stacked} {
		left := maps.Clone(took)
		delete(left, without)
		if got := left.comparedStacks(); got != nil {
			t.Errorf("without %s: %v", without, got)
		}
	}
}

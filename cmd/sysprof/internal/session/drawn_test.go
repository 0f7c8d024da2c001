package session

import (
	"testing"

	"sysprof/profile"
	"sysprof/profile/inkernel"
	"sysprof/profile/label"
	"sysprof/syscalltab"
)

// TestCopiedOfALostEnd: what was copied at an entry is that call's. Where its end was lost, what the thread does later has the name
// that its process has by then.
func TestCopiedOfALostEnd(t *testing.T) {
	labels, err := label.Parse("comm")
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) uint64 {
		nr, _ := syscalltab.AMD64.Number(name)
		return nr
	}
	s := newSamples(&Config{Stacks: StacksOff, Labels: labels, Outputs: Outputs{Pprof: "unwritten"}}, true)
	draw := func(thread uint64, kind inkernel.DrawnKind, call, process string) {
		s.draw(&inkernel.Drawn{Kind: kind, Thread: thread, Process: process, ABI: syscalltab.AMD64, Nr: number(call), Ns: 1000, Weight: 1, Why: profile.Killed})
	}
	draw(1, inkernel.Copied, "execve", "old")
	draw(2, inkernel.Copied, "execve", "old")
	draw(1, inkernel.Follows, "execve", "new")
	draw(2, inkernel.Returned, "read", "new") // so the end of its execve was lost
	draw(1, inkernel.InFlight, "pause", "new")
	draw(2, inkernel.InFlight, "pause", "new")
	if len(s.drawn.copied) != 0 {
		t.Errorf("kept: %v", s.drawn.copied)
	}

	p := profile.New()
	for _, call := range []string{"execve", "read"} {
		p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: number(call), ExitSeenNs: 1000, CPUNs: -1, GapNs: -1})
	}
	for range 2 {
		p.AddInFlight(profile.InFlight{ABI: syscalltab.AMD64, Nr: number("pause"), SoFarNs: 1000, Why: profile.Killed})
	}
	all, _ := s.drawn.all.All(p.Raw().Snapshot())
	got := make(map[string]uint64)
	for i := range all {
		got[all[i].ABI.Name(all[i].Nr)+" of "+labels.Labels(all[i].Values)[0].Text] += all[i].Calls + all[i].Unfinished
	}
	if len(got) != 3 || got["execve of old"] != 1 || got["read of new"] != 1 || got["pause of new"] != 2 {
		t.Errorf("%v", got)
	}
}

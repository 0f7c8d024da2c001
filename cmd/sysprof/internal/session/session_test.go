package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/syscalltab"
)

// adder is an engine that sees no single calls: it adds up by itself and hands over rows.
type adder struct {
	rows          []*profile.Raw
	counted, done chan struct{}
}

func newAdder(rows ...*profile.Raw) *adder {
	return &adder{rows: rows, counted: make(chan struct{}), done: make(chan struct{})}
}

func (a *adder) Can() Abilities { return Abilities{} }

func (a *adder) Start(sink profile.Sink, entered Entered) error {
	for _, r := range a.rows {
		sink.Counted(r)
	}
	close(a.counted)
	close(a.done)
	return nil
}

func (a *adder) Stop()                                {}
func (a *adder) Counted() <-chan struct{}             { return a.counted }
func (a *adder) Done() <-chan struct{}                { return a.done }
func (a *adder) Progress() Progress                   { return Progress{Elapsed: time.Second} }
func (a *adder) Model() cost.Model                    { return cost.Model{} }
func (a *adder) Warnings() ([]profile.Warning, error) { return nil, nil }
func (a *adder) Launched() Launched                   { return nil }

// counted is what an engine has counted of some reads.
func counted(calls int, ns int64) *profile.Raw {
	p := profile.New()
	nr, _ := syscalltab.AMD64.Number("read")
	for range calls {
		p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, ExitSeenNs: ns, CPUNs: -1, GapNs: -1})
	}
	return p.Raw()
}

// TestAnEngineWithoutSingleCalls fills the same tables by whole rows.
func TestAnEngineWithoutSingleCalls(t *testing.T) {
	engine := newAdder(counted(3, 1_000), counted(4, 2_000))
	outputs := Outputs{Quiet: true}
	s, err := New(Config{Statuses: AllStatuses, Raw: true, Outputs: outputs}, engine)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	<-engine.Counted()
	snapshot := s.Snapshot()
	if len(snapshot.Rows) != 1 || snapshot.Rows[0].Calls != 7 || snapshot.Rows[0].SumNs != 11_000 {
		t.Errorf("rows: %+v", snapshot.Rows)
	}
	table := filepath.Join(t.TempDir(), "table")
	outputs.Tables = table
	files, err := outputs.Open(Streams{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	if out, _ := os.ReadFile(table); !strings.Contains(string(out), "read") {
		t.Errorf("the table:\n%s", out)
	}
}

// TestWhatAnEngineCannotDo is refused before it starts.
func TestWhatAnEngineCannotDo(t *testing.T) {
	for _, stacks := range []StackMode{StacksFull, StacksOff} {
		if _, err := New(Config{Stacks: stacks, Outputs: Outputs{Pprof: "prof.gz"}}, newAdder()); err == nil {
			t.Errorf("stacks %d: a profile of single calls is promised by an engine that sees none", stacks)
		}
	}
}

package session

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// adder is an engine that sees no single calls: it adds up by itself and hands over rows.
type adder struct {
	rows          []*profile.Raw
	counted, done chan struct{}
	can           Abilities
}

func newAdder(rows ...*profile.Raw) *adder {
	return &adder{rows: rows, counted: make(chan struct{}), done: make(chan struct{})}
}

func (a *adder) Can() Abilities { return a.can }

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
func (a *adder) RunsOn() int                          { return 0 }
func (a *adder) StopBy(syscall.Signal, func() bool)   {}
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

// A signal may come while an engine fails to start, and asks for the command then.
func TestAnEngineThatFailsToStart(t *testing.T) {
	engine := Ptrace(ptrace.Options{Command: &ptrace.Command{Path: "/no/such/command", Args: []string{"x"}}}, Truth(0))
	if err := engine.Start(nil, nil); err == nil {
		t.Fatal("it starts")
	}
	if command := engine.Launched(); command != nil {
		t.Errorf("it has launched %v", command)
	}
}

// TestWhatAnEngineCannotDo is refused before it starts.
func TestWhatAnEngineCannotDo(t *testing.T) {
	projection := func(list string) *label.Projection {
		p, err := label.Parse(list)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	outputs := Outputs{Pprof: "prof.gz"}
	single := Abilities{SingleCalls: true}
	for _, c := range []struct {
		name    string
		can     Abilities
		config  Config
		refused string // "": it is possible
	}{
		{"no single calls", Abilities{}, Config{Stacks: StacksOff, Outputs: outputs}, "no single calls"},
		{"no stacks", single, Config{Outputs: outputs}, "--stacks=off"},
		{"no names of threads", single, Config{Stacks: StacksOff, Labels: projection("pid,comm"), Outputs: outputs}, "comm and fd"},
		{"numbers alone", single, Config{Stacks: StacksOff, Labels: projection("pid,errno"), Outputs: outputs}, ""},
		{"tables", Abilities{}, Config{}, ""},
	} {
		engine := newAdder()
		engine.can = c.can
		_, err := New(c.config, engine)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
	}
}

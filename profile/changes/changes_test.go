package changes

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// snapshot is a run of calls with latencies by their numbers.
func snapshot(latencies map[uint64][]int64) *profile.Snapshot {
	p := profile.New()
	for nr, list := range latencies {
		for _, ns := range list {
			p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, ExitSeenNs: ns, CPUNs: -1, GapNs: -1})
		}
	}
	return p.Raw().Snapshot()
}

// around are n latencies from half to one and a half times ns.
func around(r *rand.Rand, n int, ns float64) (list []int64) {
	for range n {
		list = append(list, int64(ns*(0.5+r.Float64())))
	}
	return list
}

func side(runs ...*profile.Snapshot) *Side {
	s := new(Side)
	for _, r := range runs {
		s.Add(r, time.Second)
	}
	return s
}

func rowOf(t *testing.T, rows []Row, nr uint64) *Row {
	t.Helper()
	for i := range rows {
		if rows[i].Nr == nr {
			return &rows[i]
		}
	}
	t.Fatalf("there is no row of call %d", nr)
	return nil
}

const (
	read, write, closeNr, open = 0, 1, 3, 2
)

// TestSameDistribution: of 200 pairs of runs that differ by chance alone, hardly any figure is said to have changed.
func TestSameDistribution(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, runs := range []int{1, 2, 4, 6} {
		changed, all := 0, 0
		for range 200 / runs {
			var sides [2]*Side
			for i := range sides {
				sides[i] = new(Side)
				for range runs {
					sides[i].Add(snapshot(map[uint64][]int64{
						read: around(r, 900+r.IntN(200), 20_000), write: around(r, 20, 1e6), closeNr: around(r, 3, 1e5),
					}), time.Second+time.Duration(r.IntN(1e7)))
				}
			}
			rows, _ := Between(sides[0], sides[1])
			for i := range rows {
				for m := range Metric(Metrics) {
					all++
					if c := rows[i].Change[m]; !c.Noise {
						changed++
					}
				}
			}
		}
		if share := float64(changed) / float64(all); share > 0.05 {
			t.Errorf("%d runs a side: %.1f %% of %d figures are said to have changed", runs, 100*share, all)
		}
	}
}

// TestChangesAreFound: what has doubled is found, with one run and with several, and what has not is not.
func TestChangesAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, runs := range []int{1, 2, 4, 10} {
		news, olds := new(Side), new(Side)
		for range runs {
			olds.Add(snapshot(map[uint64][]int64{read: around(r, 1000, 20_000), write: around(r, 1000, 20_000)}), time.Second)
			news.Add(snapshot(map[uint64][]int64{read: around(r, 2000, 20_000), write: around(r, 1000, 40_000)}), time.Second)
		}
		rows, all := Between(news, olds)
		for _, test := range []struct {
			nr     uint64
			metric Metric
			ratio  float64
		}{
			{read, Count, 2}, {read, Total, 2}, {read, Rate, 2}, {read, P50, 1}, {read, Mean, 1},
			{write, Count, 1}, {write, Total, 2}, {write, P50, 2}, {write, Mean, 2},
		} {
			c := rowOf(t, rows, test.nr).Change[test.metric]
			if math.Abs(c.Ratio/test.ratio-1) > 0.1 || c.Low > test.ratio*1.05 || c.High < test.ratio*0.95 {
				t.Errorf("%d runs: %v of %d is %.2f times (%.2f to %.2f) what it was, want %v", runs, test.metric, test.nr, c.Ratio, c.Low, c.High, test.ratio)
			}
			if c.Noise != (test.ratio == 1) {
				t.Errorf("%d runs: %v of %d: noise %v at %.2f (%.2f to %.2f)", runs, test.metric, test.nr, c.Noise, c.Ratio, c.Low, c.High)
			}
		}
		if c := all.Change[Count]; c.Noise || c.New != 3000 || c.Old != 2000 {
			t.Errorf("%d runs: of all calls: %+v", runs, c)
		}
	}
}

// TestOrder: what has got worse most is first, what has got better most is last, and chance stands between them.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	old := snapshot(map[uint64][]int64{read: around(r, 1000, 1e6), write: around(r, 1000, 1e4), closeNr: around(r, 1000, 1e5), open: around(r, 3, 1e9)})
	of := snapshot(map[uint64][]int64{read: around(r, 1000, 3e5), write: around(r, 1000, 1e5), closeNr: around(r, 1000, 1e6), open: around(r, 3, 9e9)})
	rows, _ := Between(side(of), side(old))
	var order []uint64
	for i := range rows {
		order = append(order, rows[i].Nr)
	}
	if len(order) != 4 || order[0] != closeNr || order[1] != write || order[2] != open || order[3] != read {
		t.Errorf("the order is %v", order)
	}
}

// TestOneSide: a call that one side alone makes is new, or gone.
func TestOneSide(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, runs := range []int{1, 5} {
		news, olds := new(Side), new(Side)
		for range runs {
			news.Add(snapshot(map[uint64][]int64{read: around(r, 100, 1e4), open: around(r, 1, 1e4)}), 0)
			olds.Add(snapshot(map[uint64][]int64{write: around(r, 100, 1e4)}), 0)
		}
		rows, _ := Between(news, olds)
		added, gone, once := rowOf(t, rows, read), rowOf(t, rows, write), rowOf(t, rows, open)
		if !added.Added() || added.Gone() || added.Change[Count].Noise || !math.IsInf(added.Change[Count].Ratio, 1) || !math.IsNaN(added.Change[P50].Ratio) {
			t.Errorf("%d runs: %+v", runs, added)
		}
		if gone.Added() || !gone.Gone() || gone.Change[Count].Noise || gone.Change[Count].Ratio != 0 {
			t.Errorf("%d runs: %+v", runs, gone)
		}
		if c := once.Change[Count]; c.Noise != (runs == 1) { // once may be chance, once in each of five runs is not
			t.Errorf("%d runs: one call: %+v", runs, c)
		}
		if c := added.Change[Rate]; !math.IsNaN(c.Ratio) {
			t.Errorf("%d runs: a rate of unknown duration: %+v", runs, c)
		}
	}
}

// TestUncertainLatencies: where what was taken off each call is not known well, a difference below that is chance.
func TestUncertainLatencies(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, test := range []struct {
		uncertainNs int64
		noise       bool
	}{{100, false}, {5_000, true}} {
		of, old := snapshot(map[uint64][]int64{read: around(r, 1000, 8_000)}), snapshot(map[uint64][]int64{read: around(r, 1000, 4_000)})
		old.Overhead = &profile.Overhead{TransitNs: profile.Estimate{Ns: 6_000, LowNs: 6_000 - test.uncertainNs, HighNs: 6_000 + test.uncertainNs}}
		rows, _ := Between(side(of), side(old))
		for _, m := range []Metric{Total, P50, Mean} {
			if c := rowOf(t, rows, read).Change[m]; c.Noise != test.noise {
				t.Errorf("%v, uncertain by %d ns: %+v", m, test.uncertainNs, c)
			}
		}
	}
}

// TestRateOfUncertainRun: the rate of a command is as uncertain as its run time.
func TestRateOfUncertainRun(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, test := range []struct {
		high  int64
		noise bool
	}{{1_050_000_000, false}, {4_000_000_000, true}} {
		s := snapshot(map[uint64][]int64{read: around(r, 10_000, 1_000)})
		s.Overhead = &profile.Overhead{UntracedNs: profile.Estimate{Ns: 1e9, LowNs: 950_000_000, HighNs: test.high}}
		news, olds := new(Side), new(Side)
		news.Add(s, 2*time.Second)
		olds.Add(s, time.Second)
		rows, _ := Between(news, olds)
		if c := rowOf(t, rows, read).Change[Rate]; c.Noise != test.noise || c.Ratio != 0.5 {
			t.Errorf("up to %d: %+v", test.high, c)
		}
	}
}

// TestGigantic: the largest counts and times make no nonsense.
func TestGigantic(t *testing.T) {
	h := new(profile.Histogram)
	h.RecordN(math.MaxInt64, math.MaxUint64)
	s := &profile.Snapshot{Rows: []profile.Row{{Key: profile.Key{ABI: syscalltab.AMD64}, OK: h}}}
	rows, _ := Between(side(s), side(snapshot(map[uint64][]int64{read: {0}})))
	for m := range Metric(Metrics) {
		if c := rows[0].Change[m]; math.IsNaN(c.New) || math.IsInf(c.New, 0) {
			t.Errorf("%v: %+v", m, c)
		}
	}
	if rows, all := Between(new(Side), new(Side)); len(rows) != 0 || !math.IsNaN(all.Change[Count].Ratio) {
		t.Errorf("nothing against nothing: %v %v", rows, all)
	}
}

func TestParseRules(t *testing.T) {
	for _, test := range []struct {
		list  string
		rules int
		says  string // of the error; "": none
	}{
		{"p99:+20%", 1, ""},
		{"p99:20%", 1, ""},
		{"p50:+5%,p99:+20%,mean:+1.5%,total:+0%,count:-0%,rate:-10%", 6, ""},
		{"p99(read,write):+20%", 1, ""},
		{"p99(read,write):+20%,count(%network,/^get(p|e)):+5%", 2, ""},
		{"p99():+20%", 0, "no system call"},
		{"", 0, "want one like"},
		{",", 0, "want one like"},
		{"p99", 0, "want one like"},
		{"p99:", 0, "percentage"},
		{"p99:+20", 0, "percentage"},
		{"p99:%", 0, "percentage"},
		{"p99:nan%", 0, "percentage"},
		{"p99:+inf%", 0, "percentage"},
		{"p99:0x1p4%", 0, "percentage"},
		{"p99:1_0%", 0, "percentage"},
		{"p99:1e99%", 0, "percentage"},
		{"p99:-100%", 0, "100 %"},
		{"p98:+20%", 0, `(did you mean p`},
		{"medain:+20%", 0, "there are total, count"},
		{"p99(nosuch):+20%", 0, `"nosuch"`},
		{"p99(read:+20%", 0, "as in"},
		{"p99:+20%(read)", 0, "percentage"},
		{"p99:+20%,", 0, "want one like"},
		{strings.Repeat("p99:1%,", 2000) + "p99:1%", 0, "more than"},
	} {
		rules, err := ParseRules(test.list)
		switch {
		case test.says == "" && (err != nil || len(rules) != test.rules):
			t.Errorf("%q: %d rules, %v", test.list, len(rules), err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%.40q: %v, want %q in it", test.list, err, test.says)
		}
	}
}

// TestViolations: a rule is about growth or about decline, about some calls or about all, and never about chance.
func TestViolations(t *testing.T) {
	row := func(nr uint64, ratio float64, noise bool) Row {
		r := Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr}}
		for m := range r.Change {
			r.Change[m] = Change{Old: 100, New: 100 * ratio, Ratio: ratio, Noise: noise}
		}
		return r
	}
	rows := []Row{row(read, 1.5, false), row(write, 0.8, false), row(open, 9, true), row(closeNr, 2, false), row(9, math.NaN(), true)}
	for _, test := range []struct {
		rule string
		want []uint64
	}{
		{"p99:+20%", []uint64{closeNr, read}},
		{"p99:+50%", []uint64{closeNr}}, // 50 % is not more than 50 %
		{"p99:+200%", nil},
		{"p99(read):+20%", []uint64{read}},
		{"p99(!close):+20%", []uint64{read}},
		{"p99(open):+20%", nil},
		{"rate:-10%", []uint64{write}},
		{"rate:-30%", nil},
		{"count:+0%", []uint64{closeNr, read}},
		{"count:-0%", []uint64{write}},
	} {
		rules, err := ParseRules(test.rule)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range rules[0].Violations(rows) {
			got = append(got, r.Nr)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %v, want %v", test.rule, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: %v, want %v", test.rule, got, test.want)
			}
		}
	}
}

// FuzzParseRules: what is parsed says what it was parsed from, what is refused is refused in one line.
func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{
		"p99:+20%", "p99(read,write):+20%,rate:-10%", "count(/^(a|b):):+0%", "p50():1%", "(:)", "total(read", ",:%", "mean:-0%", "p99(\n):+1%", "rate:1e9%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		rules, err := ParseRules(list)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(list, "\n") {
				t.Errorf("%q is refused in several lines: %q", list, err)
			}
			return
		}
		var texts []string
		for _, r := range rules {
			texts = append(texts, r.Text)
			if math.IsNaN(r.Share) || math.IsInf(r.Share, 0) || r.Share <= -1 {
				t.Errorf("%q: a share of %v", list, r.Share)
			}
		}
		if again := strings.Join(texts, ","); again != list {
			t.Errorf("%q was read as %q", list, again)
		}
	})
}

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/syscalltab"
)

// grouped is of some processes of a server, one of which has a name that is to control a terminal, and one only waits.
func grouped() *profile.Snapshot {
	p, g, memo := profile.New(), profile.NewGrouper(), new(profile.GroupMemo)
	key := func(i uint32) *profile.Values { return &profile.Values{i} }
	for i, n := range []int{9_000, 700, 0, 40, 3, 2, 1} {
		for j := range n {
			for nr, ns := range []int{600 + j%300, 3_000 + 7*j} {
				c := &profile.Call{ABI: syscalltab.AMD64, Nr: uint64(nr), ExitSeenNs: int64(ns * (i + 1)), CPUNs: -1, GapNs: -1, Errno: int32(11 * (j % 10 / 9))}
				p.Add(c)
				g.Add(c, key(uint32(i)), key(0), memo)
			}
		}
	}
	waits := profile.InFlight{PID: 6002, TID: 6002, Thread: "post\x1bgres", ABI: syscalltab.AMD64, Nr: 232, SoFarNs: 1_500_000_000, Why: profile.Detached}
	p.AddInFlight(waits)
	g.AddInFlight(&waits, key(2), key(0))
	raw := p.Raw()
	s := raw.Snapshot()
	all := g.All(100)
	list := cost.CorrectGroups(s, all)
	for i := range list {
		number := all[i].Key[0]
		title := []string{"checkpointer", "walwriter", "autovacuum launcher", "\x1b[31mevil\n"}[min(number, 3)]
		list[i].Values = []string{strconv.Itoa(6000 + int(number)), title}
		list[i].Who = fmt.Sprintf("postgres (%d) %s", 6000+number, title)
		list[i].Name = "postgres " + title
	}
	s.Groups = profile.NewGroups([]string{"pid", "comm"}, list)
	return s
}

// TestGroups prints groups as tables. A golden file is named by the flags that make it.
func TestGroups(t *testing.T) {
	for name, table := range map[string]Groups{
		"grouped --by=pid,comm --top=3":            {Top: 3},
		"grouped --by=pid,comm --top=3 COLUMNS=80": {Top: 3, Table: Table{Width: 80}},
		"grouped --by=pid,comm -c":                 {Top: 100, Summary: &Summary{}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table.Write(&out, grouped()); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.String())
			if strings.ContainsAny(out.String(), "\x1b\r\x07") {
				t.Error("a name controls the terminal")
			}
		})
	}
	var out bytes.Buffer
	if err := (Groups{Top: 3}).Write(&out, mixed()); err != nil || out.Len() > 0 {
		t.Errorf("without groups: %v, %q", err, &out)
	}
}

// TestGroupsForMachines: JSON and CSV have all groups, and the calls of the whole.
func TestGroupsForMachines(t *testing.T) {
	s := grouped()
	golden(t, "grouped --by=pid,comm --json", writeJSON(t, s, meta))
	var text bytes.Buffer
	if err := WriteCSV(&text, s); err != nil {
		t.Fatal(err)
	}
	golden(t, "grouped --by=pid,comm --csv", text.String())
	lines, err := csv.NewReader(&text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := make(map[string]int)
	for i, name := range lines[0] {
		column[name] = i
	}
	calls := uint64(0)
	for _, line := range lines[1:] {
		n, _ := strconv.ParseUint(line[column["calls"]], 10, 64)
		calls += n
		if want := fmt.Sprintf("postgres (%s) %s", line[column["by_pid"]], line[column["by_comm"]]); line[column["who"]] != want {
			t.Errorf("%q is %q", line[column["who"]], want)
		}
	}
	if calls != s.Total.Calls {
		t.Errorf("the lines have %d calls, the whole %d", calls, s.Total.Calls)
	}
	var j struct {
		Groups []struct {
			Who    string
			Values struct {
				PID  int
				Comm string
			}
			Calls uint64
		}
	}
	if err := json.Unmarshal([]byte(writeJSON(t, s, meta)), &j); err != nil {
		t.Fatal(err)
	}
	if first := j.Groups[0]; first.Who != "postgres (6000) checkpointer" || first.Values.PID != 6000 || first.Values.Comm != "checkpointer" || first.Calls != 18_000 {
		t.Errorf("the first group is %+v", first)
	}
}

// folded has a group of others.
func folded() *profile.Snapshot {
	s := grouped()
	s.Groups = s.Groups.Top(2)
	return s
}

// TestDamagedGroups: what no run can have written is an error that says where.
func TestDamagedGroups(t *testing.T) {
	row := `{"abi":"amd64","nr":0,"calls":2,"sum_ns":5,"min_ns":1,"max_ns":4,"buckets":[[1,1,1],[4,4,1]]}`
	document := func(groups string) string {
		return `{"format":"sysprof","version":1,"groups_by":["pid","comm"],"groups":[` + groups + `]}`
	}
	s, _, err := ReadJSON(strings.NewReader(document(`{"who":"a","values":{"pid":7,"comm":"x","more":"y"},"rows":[` + row + `]}`)))
	if err != nil {
		t.Fatal(err)
	}
	if g := s.Groups.List[0]; g.Values[0] != "7" || g.Values[1] != "x" || g.Calls != 2 {
		t.Errorf("it is %+v", g)
	}
	for groups, want := range map[string]string{
		`7`:                                "groups: item 0",
		`{"who":"a","values":{"pid":1.5}}`: "a text or a whole number",
		`{"who":"a","values":{"pid":[]}}`:  "a text or a whole number",
		`{"who":"bad","rows":[` + strings.Replace(row, `"calls":2`, `"calls":3`, 1) + `]}`:          "bad: ",
		`{"who":"a","rows":[` + strings.Replace(row, `"calls":2`, `"calls":0`, 1) + `]}`:            "no calls",
		`{"who":"a","rows":[` + strings.Replace(row, `[1,1,1]`, `[5,1,1]`, 1) + `]}`:                "out of order",
		`{"who":"a","rows":[` + strings.Replace(row, `[1,1,1]`, `[9,9,1]`, 1) + `]}`:                "out of order",
		`{"who":"a","rows":[` + strings.Replace(row, `[1,1,1]`, `[1,1]`, 1) + `]}`:                  "2 numbers",
		`{"who":"a","rows":[` + strings.Replace(row, `"sum_ns":5`, `"sum_ns":-5`, 1) + `]}`:         "negative",
		`{"who":"a","rows":[` + strings.Replace(row, `"max_ns":4`, `"max_ns":0`, 1) + `]}`:          "below the minimum",
		`{"who":"a","rows":[` + strings.Replace(row, `"calls":2`, `"calls":2,"errors":3`, 1) + `]}`: "3 failed",
		`{"who":"a","rows":[` + strings.Replace(row, `amd64`, `z80`, 1) + `]}`:                      "unknown abi",
		`{"who":"a","rows":[],"in_flight":[null]}`:                                                  "in_flight 0",
		`{"who":"a","rows":[],"in_flight":[{"abi":"amd64"}]}`:                                       "in_flight 0",
	} {
		if _, _, err := ReadJSON(strings.NewReader(document(groups))); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", groups, err, want)
		}
	}
}

// threeTimes makes the calls of a group three times as long.
func threeTimes(g *profile.Group) {
	for i := range g.Rows {
		r := &g.Rows[i]
		r.SumNs, r.MaxNs = 3*r.SumNs, 3*r.MaxNs
		for j := range r.Buckets {
			r.Buckets[j].LowNs, r.Buckets[j].HighNs = 3*r.Buckets[j].LowNs, 3*r.Buckets[j].HighNs
		}
	}
}

// TestDifferenceOfGroups: groups of the same name are compared, whatever their numbers.
func TestDifferenceOfGroups(t *testing.T) {
	slower := func() *profile.Snapshot {
		s := grouped()
		for i := range s.Groups.List {
			g := &s.Groups.List[i]
			if g.Name == "postgres walwriter" {
				threeTimes(g)
			}
			g.Values[0] = "1" + g.Values[0]
		}
		return s
	}
	d := differenceOf(1, slower, grouped)
	d.Top = 2
	var out bytes.Buffer
	if err := d.Write(&out, 120, false, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "slower group --against", out.String())
	if len(d.Groups) != 4 || d.Groups[0].Name != "postgres walwriter" || d.Groups[0].All.Ns() <= 0 || d.Groups[1].All.Ns() != 0 {
		t.Errorf("the first of %d groups is %q", len(d.Groups), d.Groups[0].Name)
	}
	var text, table bytes.Buffer
	if err := errors.Join(d.WriteJSON(&text), d.WriteCSV(&table)); err != nil {
		t.Fatal(err)
	}
	golden(t, "slower group --against --json", text.String())
	golden(t, "slower group --against --csv", table.String())

	other := func() *profile.Snapshot {
		s := grouped()
		s.Groups.By = []string{"fd", "comm"}
		return s
	}
	d = differenceOf(1, other, grouped)
	out.Reset()
	if err := d.Write(&out, 0, false, false); err != nil || !strings.Contains(out.String(), "fd,comm (was pid,comm)") || d.Groups != nil {
		t.Errorf("groups by other fields: %v\n%s", err, &out)
	}
}

package page_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/stack/symbol"
	"sysprof/profile/timeline"
	"sysprof/report"
	"sysprof/report/page"
	"sysprof/syscalltab"
)

// TestBrowserTable: the cells of the page are those of the table for people, in its order, and it sorts and opens rows.
func TestBrowserTable(t *testing.T) {
	s := profile.Merge(whole().Snapshot)
	s.Rows = s.Rows[:len(s.Rows)-1] // of another ABI, which has a table of its own there
	s = profile.Merge(s)
	file, _ := written(t, page.Page{Snapshot: s})
	p := open(t, file)

	var text bytes.Buffer
	check(t, (report.Table{}).Write(&text, s))
	var want []string
	for line := range strings.Lines(text.String()) {
		if !strings.ContainsAny(line, "─·") {
			want = append(want, strings.Join(strings.Fields(strings.Map(func(r rune) rune {
				if '▁' <= r && r <= '█' {
					return ' '
				}
				return r
			}, line)), " "))
		}
	}
	const cells = `[...document.querySelectorAll("#table tbody tr:not(.detail), #table tfoot tr")].map(line => {
		const cells = [...line.cells].map(cell => cell.textContent).filter(text => text !== "");
		return cells.slice(1).concat(cells[0]).join(" ");
	}).join("\n")`
	if d := cmp.Diff(strings.Join(want, "\n"), p.eval(cells)); d != "" {
		t.Errorf("table for people (-), page (+):\n%s", d)
	}

	names := `[...document.querySelectorAll("#table tbody bdi")].map(name => name.textContent).join(" ")`
	heading := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#table th button")].find(b => b.textContent === %q)`, name)
	}
	p.is(names, "futex read openat getpid")
	for _, step := range []struct{ heading, order, sort string }{
		{"calls", "read openat futex getpid", "descending"},
		{"calls", "getpid futex openat read", "ascending"},
		{"call", "futex getpid openat read", "ascending"},
		{"call", "read openat getpid futex", "descending"},
		{"p50", "futex openat read getpid", "descending"},
		{"errors", "openat futex getpid read", "descending"},
	} {
		p.click(heading(step.heading))
		p.is(names, step.order)
		p.is(heading(step.heading)+`.closest("th").ariaSort`, step.sort)
		p.is(`document.querySelectorAll("th[aria-sort=ascending], th[aria-sort=descending]").length`, 1)
	}

	button := `[...document.querySelectorAll("#table tbody button")].find(b => b.textContent === "futex")`
	p.is(button+".ariaExpanded", false)
	p.click(button)
	p.is(button+".ariaExpanded", true)
	detail := button + `.closest("tr").nextElementSibling`
	p.is(detail+`.className`, "detail")
	p.is(`[...`+detail+`.querySelectorAll(".errnos td:first-child")].map(e => e.textContent).join(" ")`, "EAGAIN ETIMEDOUT")
	p.is(`[...`+detail+`.querySelectorAll(".errnos td:nth-child(2)")].map(e => e.textContent).join(" ")`, "70 20")
	p.is(detail+`.querySelectorAll("rect.ok").length > 10 && `+detail+`.querySelectorAll("rect.failed").length > 10`, true)
	p.is(detail+`.querySelector("dl").textContent.includes("p99.9")`, true)
	p.click(heading("calls")) // it stays open, below its row
	p.is(detail+`.className`, "detail")
	p.click(button)
	p.is(`document.querySelectorAll(".detail").length`, 0)

	p.write(element("#filter"), "EA")
	p.is(names, "read")
	p.is(`document.querySelector("#shown").value`, "1 of 4 rows")
}

// TestBrowserGroups: they open to their calls, and these to distributions; the calls of all are there, too.
func TestBrowserGroups(t *testing.T) {
	whole := whole()
	whole.Snapshot.Groups = groups("few", "Many", "more")
	file, _ := written(t, whole)
	p := open(t, file)
	names := `[...document.querySelectorAll("#table tbody bdi")].map(name => name.textContent).join(" ")`
	button := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#table tbody button")].find(b => b.textContent === %q)`, name)
	}
	p.is(`[...document.querySelectorAll("#by label")].map(l => l.textContent.trim()).join(" ")`, "comm calls")
	p.is(names, "more Many few")
	p.click(button("few"))
	p.is(names, "more Many few futex read")
	p.is(`document.querySelector(".detail").innerText.split(/\s*\n\s*/).join("|")`, "1 call had not returned when tracing ended:|poll: 1 detached (thread 77) after 7.00 s")
	p.click(button("Many"))
	p.is(names, "more Many futex read few futex read")
	p.is(`[...`+button("Many")+`.closest("tr").nextElementSibling.cells].slice(0, 9).map(c => c.textContent).join(" ")`, "futex 44.9 10.0 s 2 1 ≤ 5.00 s ≤ 5.00 s ≤ 5.00 s 5.00 s")
	p.click(button("futex"))
	p.is(`document.querySelectorAll(".detail figure rect").length > 0`, true)
	p.keep("groups")
	p.click(`[...document.querySelectorAll("#table th button")].find(b => b.textContent === "total")`) // ascending
	p.is(names, "few read futex Many read futex more")
	p.write(element("#filter"), "mA")
	p.is(names, "Many read futex")
	p.eval(`(() => { const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()`)
	p.click(`document.querySelector("#by input[value=false]")`)
	p.is(names, "getpid openat read read (32 bit) futex")
	p.click(`document.querySelector("#by input[value=true]")`)
	p.is(names, "few read futex Many read futex more")
}

// TestBrowserNumbers: times and counts are written as package report writes them, with the same rounding.
func TestBrowserNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	times := []int64{0, 1, 999, 1000, 1125, 1375, 9994, 9995, 9996, 12_250, 12_350, 99_949, 99_950, 99_951, 100_500, 101_500, 999_499, 999_500, 59_999_000_000, 999_499_999_999, 999_500_000_000,
		3_599_999_999_999, 3_600_000_000_000, 86_400_000_000_000, 31_557_600_000_000_000, 1 << 62}
	for range 300 {
		times = append(times, rng.Int64N(1<<rng.IntN(62)+1))
	}
	var rows []*profile.Row
	for i, ns := range times {
		h := new(profile.Histogram)
		h.Record(ns)
		h.RecordN(0, uint64(rng.IntN(1<<rng.IntN(20)+1)))
		rows = append(rows, &profile.Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: uint64(10_000 + i)}, OK: h})
	}
	samePeople(t, profile.NewSnapshot(rows, nil), len(times))
	most, least := new(profile.Histogram), new(profile.Histogram) // 100.0 and 0.0 are not said of them
	most.RecordN(1_000_000, 100)
	least.Record(20_000)
	samePeople(t, profile.NewSnapshot([]*profile.Row{
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 10_000}, OK: most}, {Key: profile.Key{ABI: syscalltab.AMD64, Nr: 10_001}, OK: least}}, nil), 2)
}

// samePeople demands that so many rows have the same shares, totals and counts on the page and in the table for people.
func samePeople(t *testing.T, s *profile.Snapshot, rows int) {
	t.Helper()
	file, _ := written(t, page.Page{Snapshot: s})
	var text bytes.Buffer
	check(t, (report.Table{}).Write(&text, s))
	want := make(map[string]string)
	for line := range strings.Lines(text.String()) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[2] != "" && !strings.Contains(line, "·") && !strings.Contains(line, "─") {
			want[fields[len(fields)-1]] = strings.Join(fields[:4], " ")
		}
	}
	p := open(t, file)
	got, _ := p.eval(`Object.fromEntries([...document.querySelectorAll("#table tbody tr")].map(tr => [tr.cells[0].textContent, [1, 2, 3].map(i => tr.cells[i].textContent).join(" ")]))`).(map[string]any)
	if len(got) != rows {
		t.Fatalf("there are %d rows, want %d", len(got), rows)
	}
	for name, cells := range got {
		if cells != want[name] {
			t.Errorf("%s has %q, and %q in the table for people", name, cells, want[name])
		}
	}
}

// TestBrowserNotes: what stands under the table for people stands on the page.
func TestBrowserNotes(t *testing.T) {
	whole := whole()
	file, _ := written(t, whole)
	p := open(t, file)
	var notes bytes.Buffer
	check(t, report.Notes(&notes, whole.Snapshot, whole.Meta, 0, true))
	text := p.eval(`document.body.innerText`).(string)
	for line := range strings.Lines(notes.String()) {
		if line = strings.TrimSpace(line); !strings.Contains(text, line) {
			t.Errorf("the page does not say %q", line)
		}
	}
	for _, fact := range []string{`serve --port '80 80'`, "6.18.5 x86_64", "sysprof (devel)"} {
		if !strings.Contains(text, fact) {
			t.Errorf("the page does not say %q", fact)
		}
	}
	p.is(`document.title`, "sysprof: serve (42)")
	p.keep("whole")
}

// TestBrowserHeatMap: it has a column for each slice, of all calls and of one.
func TestBrowserHeatMap(t *testing.T) {
	file, _ := written(t, whole())
	p := open(t, file)
	p.is(`[...document.querySelectorAll("#timeof option")].map(o => o.textContent).join(" ")`, "all calls futex read (32 bit) read openat getpid")
	columns := `new Set([...document.querySelectorAll("#heat rect")].map(r => r.getAttribute("x"))).size`
	p.is(columns, 100)
	p.is(`Math.round(parseFloat(document.querySelector("#heat rect").getAttribute("width")))`, 9)
	all := p.eval(`document.querySelectorAll("#heat rect").length`).(float64)
	p.eval(`(() => { const s = document.querySelector("#timeof"); s.selectedIndex = 5; s.dispatchEvent(new Event("change")); })()`)
	p.is(columns, 100)
	if one := p.eval(`document.querySelectorAll("#heat rect").length`).(float64); one >= all || one < 100 {
		t.Errorf("getpid has %v cells, and all calls %v", one, all)
	}
	p.is(`/^0 ns to 30.0 ms: \d+ calls? of \d+ ns to \d+ ns$/.test(document.querySelector("#heat title").textContent)`, true)
	p.is(`document.querySelector("#heat svg").getBBox().width <= 960`, true)
}

func frame(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".f")].find(f => f.textContent === %q)`, name)
}

func TestBrowserFlameGraph(t *testing.T) {
	file, _ := written(t, whole())
	p := open(t, file)
	p.until(`document.querySelectorAll(".f").length > 0`)
	visible := `[...document.querySelectorAll(".f")].filter(f => f.textContent !== "").map(f => [Math.round(parseFloat(f.style.width)), f.textContent].join(" ")).join(", ")`
	p.is(visible, "100 all, 100 main, 92 serve, 92 lock, 92 sys_futex, 8 Log, 8 sys_write")
	p.is(`document.querySelector("#reset").disabled`, true)

	p.click(frame("Log"))
	p.is(visible, "100 main, 100 all, 100 Log, 100 sys_write")
	p.is(`document.querySelector("#reset").disabled`, false)
	p.is(`document.querySelector("#frame").textContent`, "Log: 1.00 s in 10 calls, 1.00 s of it without waiting; 7.7 % of all, 100.0 % of what is shown (/src/Log.c)")
	p.click(element("#reset"))
	p.is(visible, "100 all, 100 main, 92 serve, 92 lock, 92 sys_futex, 8 Log, 8 sys_write")

	p.click(`document.querySelector("#metric input[value=c]")`)
	p.is(visible, "100 all, 100 main, 100 serve, 99 read_file, 96 sys_read, 3 sys_openat")
	p.click(frame("read_file"))
	p.is(visible, "100 serve, 100 main, 100 all, 100 read_file, 97 sys_read, 3 sys_openat")
	p.click(`document.querySelector("#metric input[value=w]")`)
	p.is(visible, "100 serve, 100 main, 100 all, 100 read_file, 88 sys_read, 12 sys_openat")
	p.click(frame("all"))
	p.is(visible, "100 all, 100 main, 6 serve, 6 read_file, 6 sys_read, 94 Log, 94 sys_write")

	p.write(element("#find"), "SYS_WRITE")
	p.is(`[...document.querySelectorAll(".f.hit")].filter(f => f.textContent !== "").map(f => f.textContent).join(" ")`, "sys_write")
	p.is(`document.querySelector("#found").value`, "found in 93.6 %")

	find := func(text string) string {
		return fmt.Sprintf(`(() => { const f = document.querySelector("#find"); f.value = %q; f.dispatchEvent(new Event("input")); return document.querySelector("#found").value; })()`, text)
	}
	p.is(find("lO"), "found in 93.5 %")
	p.is(find("r"), "found in 100.0 %") // what is found in what is found does not count twice
	p.is(find("lock"), "found in 0.0 %")
	p.is(find(""), "")

	p.eval(`document.querySelector("#frames").focus()`)
	for _, step := range []struct{ key, at string }{
		{"ArrowDown", "main"}, {"ArrowDown", "serve"}, {"ArrowRight", "Log"}, {"ArrowRight", "Log"}, {"ArrowLeft", "serve"}, {"ArrowUp", "main"}, {"Escape", "all"}, {"ArrowUp", "all"},
	} {
		p.press(step.key)
		p.is(`document.querySelector("#frame").textContent.split(":")[0]`, step.at)
	}
}

// TestBrowserLargeFlameGraph: 16,000 samples are drawn, and zoomed, without making people wait.
func TestBrowserLargeFlameGraph(t *testing.T) {
	file, text := written(t, large())
	p := open(t, file)
	p.until(`document.querySelectorAll(".f").length > 100`)
	took := p.eval(`(() => {
		const times = 40, start = performance.now();
		for (let i = 0; i < times; i += 2) {
			const all = document.querySelectorAll(".f");
			all[Math.floor(all.length * i / times)].click();
			document.body.offsetWidth;
			document.querySelector("#reset").click();
			document.body.offsetWidth;
		}
		return (performance.now() - start) / times;
	})()`).(float64)
	t.Logf("a page of %d KB; %v frames are shown, and to zoom takes %.1f ms", len(text)>>10, p.eval(`document.querySelectorAll(".f").length`), took)
	if took > 1000 {
		t.Errorf("to zoom takes %.0f ms", took)
	}
}

// TestBrowserHostileNames: they are text, nothing runs, and nothing is wider than the window.
func TestBrowserHostileNames(t *testing.T) {
	file, _ := written(t, evil())
	p := open(t, file)
	p.until(`document.querySelectorAll(".f").length > 0`)
	p.is(`window.hit`, "<nil>")
	p.is(`document.images.length + document.querySelectorAll("b").length`, 0)
	for _, width := range []int{1400, 500} {
		p.size(width, 900)
		p.until(fmt.Sprintf(`innerWidth === %d`, width))
		p.is(`document.documentElement.scrollWidth <= innerWidth`, true)
	}
	p.is(`document.querySelectorAll("#table tbody button").length`, len(hostile))
	p.is(`Math.max(...[...document.querySelectorAll("#table tbody tr")].map(tr => tr.clientHeight)) < 100`, true)
	for _, name := range []string{"script", "markup", "long", "style"} {
		p.is(fmt.Sprintf(`[...document.querySelectorAll("#table bdi")].some(b => b.textContent === %q)`, hostile[name]), true)
		p.is(fmt.Sprintf(`[...document.querySelectorAll(".f")].some(f => f.textContent === %q.slice(0, 300))`, hostile[name]), true)
		p.is(fmt.Sprintf(`[...document.querySelectorAll("#warnings li")].some(li => li.textContent === %q)`, hostile[name]), true)
	}
	p.is(`document.querySelector("#warnings").textContent.includes("a\ufffdb\ufffd[31m\ufffdc\ufffd")`, true)
	p.size(1400, 1000)
	p.click(`[...document.querySelectorAll("#table tbody button")].find(b => b.textContent.length === 5010)`)
	p.is(`document.querySelector("tr.child") !== null`, true)
	p.is(`document.documentElement.scrollWidth <= innerWidth`, true)
	p.keep("hostile")
}

// TestBrowserManyRows: 2,000 rows are there, are sorted, and open.
func TestBrowserManyRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const many = 2000
	var rows []*profile.Row
	var slices timeline.Builder
	for i := range uint64(many) {
		rows = append(rows, &profile.Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 1000 + i}, OK: latencies(rng, 1+rng.IntN(40), 100+1e6*rng.Float64())})
	}
	s := profile.NewSnapshot(rows, nil)
	slices.Add(time.Second, s)
	file, text := written(t, page.Page{Snapshot: s, Timeline: slices.Timeline()})
	p := open(t, file)
	lines := `document.querySelectorAll("#table tbody tr").length`
	p.is(lines, many)
	took := p.eval(`(() => { const start = performance.now(); [...document.querySelectorAll("#table th button")].find(b => b.textContent === "max").click(); document.body.offsetWidth; return performance.now() - start; })()`)
	t.Logf("a page of %d KB; to sort it takes %.0f ms", len(text)>>10, took)
	p.is(`(() => {
		const ns = text => { const [n, unit] = text.split(" "); return n * {ns: 1, "µs": 1e3, ms: 1e6, s: 1e9}[unit]; };
		const all = [...document.querySelectorAll("#table tbody tr")].map(tr => ns(tr.cells[8].textContent));
		return all.every((x, i) => i === 0 || all[i - 1] >= x);
	})()`, true)
	p.click(`document.querySelectorAll("#table tbody button")[1999]`)
	p.is(lines, many+1)
	p.is(`document.querySelectorAll(".detail rect").length > 0`, true)
}

// TestBrowserDarkAndPaper: the page follows the reader's colours, and paper is white, as wide as the paper, and has no controls.
func TestBrowserDarkAndPaper(t *testing.T) {
	file, _ := written(t, whole())
	p := open(t, file)
	back := `getComputedStyle(document.body).backgroundColor`
	p.media("screen", "light")
	p.is(back, "rgb(255, 255, 255)")
	p.media("screen", "dark")
	p.is(back, "rgb(20, 23, 27)")
	// Text is readable: 4.5 is what WCAG 2.2 demands.
	contrast := `(() => {
		const light = color => { const [r, g, b] = color.match(/[\d.]+/g).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const solid = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } };
		let least = 21, which = "";
		for (const e of document.querySelectorAll("h1, h2, dt, dd, li, td, th, .f:not(.above), .note, legend, label, button, output")) {
			if (!e.textContent || !e.checkVisibility() || e.disabled) continue;
			const [a, b] = [light(getComputedStyle(e).color), light(solid(e))].sort((x, y) => y - x), c = (a + 0.05) / (b + 0.05);
			if (c < least) [least, which] = [c, e.outerHTML.slice(0, 100)];
		}
		return least >= 4.5 ? "enough" : least.toFixed(2) + " in " + which;
	})()`
	p.is(contrast, "enough")
	p.keep("dark")
	p.media("screen", "light")
	p.is(contrast, "enough")

	p.click(`document.querySelector("#table tbody button")`)
	p.media("print", "dark")
	p.is(back, "rgb(255, 255, 255)")
	p.is(contrast, "enough")
	p.size(703, 1000) // A4 within margins of 12 mm
	p.until(`innerWidth === 703`)
	p.is(`document.documentElement.scrollWidth <= innerWidth && document.querySelector("#table").getBoundingClientRect().right <= innerWidth`, true)
	p.is(`[...document.querySelectorAll("input, select, #reset")].filter(e => e.checkVisibility()).length`, 0)
	p.is(`document.querySelectorAll(".detail figure svg").length > 0 && document.querySelector("#heat svg").checkVisibility() && document.querySelector("#frames").checkVisibility()`, true)
	p.keep("paper")
}

// TestBrowserEmpty: a run without calls, and one that is not known to be of anything.
func TestBrowserEmpty(t *testing.T) {
	for _, one := range []page.Page{
		{Snapshot: &profile.Snapshot{}},
		{Snapshot: &profile.Snapshot{}, Timeline: &timeline.Timeline{}, Stacks: &page.Stacks{Computing: computing}},
		{Snapshot: &profile.Snapshot{}, Timeline: &timeline.Timeline{Ends: []time.Duration{5}}, Stacks: &page.Stacks{Computing: computing, Samples: []cost.Sample{sample("read", profile.NotStopped, 0, 0, 0)}}},
		{Snapshot: &profile.Snapshot{Rows: []profile.Row{{Totals: profile.Totals{Calls: 1}}}}},
	} {
		if one.Stacks != nil {
			one.Stacks.Find = func(uint32) []*symbol.Location { return nil }
		}
		file, _ := written(t, one)
		p := open(t, file)
		p.is(`document.querySelector("h1").textContent`, "sysprof")
		if len(one.Snapshot.Rows) == 0 {
			p.is(`document.querySelector("#table tbody").innerText.trim()`, "no system calls were counted")
		}
	}
}

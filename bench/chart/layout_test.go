package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot/font"
)

// Nothing overlaps in the drawing: the positions are read back from the SVG. The texts are taken to be
// wider than in the font that the layout is computed with, since a viewer may not have that font.
func TestNothingOverlaps(t *testing.T) {
	for _, test := range []struct {
		name            string
		rows, series    int
		rowName, tracer string
		most            float64
	}{
		{"all workloads and tracers", 35, 10, "attached/pgbench-TPC-B-%d", "strace --seccomp-bpf %d", 3000},
		{"long names", 35, 10, "batch/a-program-with-a-very-long-name-%d", "a tracer with many long options %d", 3000},
		{"three tracers", 33, 3, "batch/%d", "tracer %d", 1500},
		{"one of each", 1, 1, "a%d", "b%d", 1},
		{"more tracers than rows are high", 2, 10, "a%d", "b%d", 20},
		{"small slowdowns", 5, 2, "batch/xz-%d", "sysprof %d", 1.02},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rows []Row
			for i := range test.rows {
				row := Row{Name: fmt.Sprintf(test.rowName, i)}
				for s := range test.series {
					// In every third row all tracers have the same figure.
					value := math.Pow(test.most, float64((i+1)*(s+1)%7)/6)
					if i%3 == 0 {
						value = test.most
					}
					row.Points = append(row.Points, Point{fmt.Sprintf(test.tracer, s), value, 0.7 * value, 1.1 * value})
				}
				rows = append(rows, row)
			}
			var svg bytes.Buffer
			if err := Slowdowns(&svg, rows); err != nil {
				t.Fatal(err)
			}
			checkOverlaps(t, readDrawing(t, svg.Bytes()), rows)
		})
	}
}

// checkOverlaps checks a drawing of rows in which every tracer has a point in every row.
func checkOverlaps(t *testing.T, d *drawing, rows []Row) {
	t.Helper()
	for i, text := range d.texts {
		if !d.page.contains(text.box) {
			t.Errorf("%q leaves the page: %v, the page is %v", text.what, text.box, d.page)
		}
		for _, other := range d.texts[:i] {
			if text.intersects(other.box) {
				t.Errorf("%q at %v and %q at %v overlap", text.what, text.box, other.what, other.box)
			}
		}
		for _, mark := range d.marks {
			if text.intersects(mark.box) {
				t.Errorf("%q at %v and a mark at %v (%s) overlap", text.what, text.box, mark.box, mark.what)
			}
		}
	}
	series := seriesOf(rows)
	points := 0
	for i, mark := range d.marks {
		if !mark.closed {
			continue
		}
		points++
		for _, other := range d.marks[:i] {
			if other.closed && mark.intersects(other.box) {
				t.Errorf("two points overlap: %v and %v", mark.box, other.box)
			}
		}
	}
	if want := len(series) * (len(rows) + 1); points != want {
		t.Errorf("%d points are drawn, want %d, those of the legend included", points, want)
	}
	checkLegend(t, d, series)
	for _, row := range rows {
		if !slices.ContainsFunc(d.texts, func(e element) bool { return e.what == row.Name }) {
			t.Errorf("row %s is not named in the drawing", row.Name)
		}
	}
}

// checkLegend checks that the legend names the series, with a sample point for each before the names, and
// that nothing else is within its box.
func checkLegend(t *testing.T, d *drawing, series []string) {
	t.Helper()
	var legend box
	named := 0
	for _, text := range d.texts {
		if slices.Contains(series, text.what) {
			legend = legend.union(text.box)
			named++
		}
	}
	if named != len(series) {
		t.Fatalf("%d of %d tracers are named in the drawing", named, len(series))
	}
	legend.x0 -= 20
	for _, text := range d.texts {
		if !slices.Contains(series, text.what) && text.intersects(legend) {
			t.Errorf("%q at %v and the legend at %v overlap", text.what, text.box, legend)
		}
	}
	samples := 0
	for _, mark := range d.marks {
		if mark.intersects(legend) {
			samples++
		}
	}
	if samples != len(series) {
		t.Errorf("%d marks are in the legend at %v, want only the samples of %d tracers", samples, legend, len(series))
	}
}

// box is a rectangle on the page. Its y axis points up.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) intersects(o box) bool {
	return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1
}

func (b box) contains(o box) bool {
	return b.x0 <= o.x0 && o.x1 <= b.x1 && b.y0 <= o.y0 && o.y1 <= b.y1
}

// union returns the box around both. A zero box is empty.
func (b box) union(o box) box {
	if b == (box{}) {
		return o
	}
	return box{min(b.x0, o.x0), min(b.y0, o.y0), max(b.x1, o.x1), max(b.y1, o.y1)}
}

// element is a text, or a mark: a point, a line of an interval, or a line of an axis.
type element struct {
	box
	what   string // the text, or the path
	closed bool   // a mark that is a point
}

type drawing struct {
	page         box
	texts, marks []element
}

// readDrawing reads the elements of an SVG as the plotting library writes it: absolute coordinates
// within one group that turns the y axis upside down.
func readDrawing(t *testing.T, svg []byte) *drawing {
	t.Helper()
	d := new(drawing)
	for parse := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := parse.Token()
		if err == io.EOF {
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := make(map[string]string)
		for _, a := range start.Attr {
			attr[a.Name.Local] = a.Value
		}
		switch start.Name.Local {
		case "svg":
			size := numbers(attr["viewBox"])
			d.page = box{size[0], size[1], size[2], size[3]}
		case "text":
			var text string
			if err := parse.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}
			d.texts = append(d.texts, element{what: text, box: textBox(text, attr)})
		case "path":
			if !strings.Contains(attr["style"], "fill:#FFFFFF") { // the page itself
				d.marks = append(d.marks, element{what: attr["d"], box: pathBox(attr["d"]), closed: strings.ContainsAny(attr["d"], "ZA")})
			}
		}
	}
}

var fontSize = regexp.MustCompile(`font-size:([0-9.]+)px`)

// textBox returns where the ink of a text may be. Its position is the left end of the base line.
func textBox(text string, attr map[string]string) box {
	size, _ := strconv.ParseFloat(fontSize.FindStringSubmatch(attr["style"])[1], 64)
	const viewerFont = 1.2 // DejaVu Sans
	face := font.DefaultCache.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, font.Length(size))
	width := viewerFont * face.Width(text).Points()
	x, y := numbers(attr["x"])[0], -numbers(attr["y"])[0]
	return box{x, y - 0.21*size, x + width, y + 0.73*size}
}

var command = regexp.MustCompile(`([MLAZ])([^MLAZ]*)`)

// pathBox returns the box around a path of lines, or around a circle of arcs.
func pathBox(path string) box {
	b := box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, c := range command.FindAllStringSubmatch(path, -1) {
		at, radius := numbers(c[2]), 0.0
		if c[1] == "Z" {
			continue
		}
		if c[1] == "A" { // each half of a circle ends at its leftmost or its rightmost point
			radius, at = at[0], at[len(at)-2:]
		}
		b = b.union(box{at[0], at[1] - radius, at[0], at[1] + radius})
	}
	return b
}

func numbers(text string) (list []float64) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, _ := strconv.ParseFloat(word, 64)
		list = append(list, n)
	}
	return list
}

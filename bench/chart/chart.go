// Package chart draws how much longer programs take under tracers, as SVG. It lays out and draws what
// it is given; it measures and computes nothing.
package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Row is one program.
type Row struct {
	Name   string
	Points []Point
}

// Point is one figure of a program: the one under the tracer that Series names, with its interval.
type Point struct {
	Series           string
	Value, Low, High float64
}

// Slowdowns draws the rows from the top down. Each tracer has a point in a row, on a logarithmic axis.
// The legend stands at the right of the plot.
func Slowdowns(w io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return fmt.Errorf("there is nothing to draw")
	}
	p := newPlot(rows)
	legend, err := addSeries(p, rows)
	if err != nil {
		return err
	}
	canvas := render(p, legend, len(seriesOf(rows)))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// The plotting library names Liberation Sans only. Few machines have that font.
	_, err = w.Write(bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,sans-serif;")))
	return err
}

// newPlot returns the axes, without any figures.
func newPlot(rows []Row) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Title.Padding = "Run time under a tracer ÷ untraced", margin
	p.X.Label.Text = "slowdown"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Min, p.X.Max = limits(rows)
	var names []string
	for _, row := range slices.Backward(rows) { // the axis starts at the bottom
		names = append(names, row.Name)
	}
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(rows))-0.5
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	return p
}

// limits returns a range of the axis that has all figures, and 1, in it.
func limits(rows []Row) (low, high float64) {
	low, high = 1, 1
	for _, row := range rows {
		for _, point := range row.Points {
			if point.drawable() {
				low, high = min(low, point.Low), max(high, point.High)
			}
		}
	}
	return low / 1.5, high * 1.5
}

// drawable reports whether a logarithmic axis can show the point with its interval.
func (p *Point) drawable() bool { return p.Value > 0 && p.Low > 0 && !math.IsInf(p.High, 0) }

// figures are the points of one tracer, in all rows, and their intervals.
type figures struct {
	plotter.XYs
	plotter.XErrors
}

// addSeries adds the figures of all tracers to the plot, and returns the legend that names them. Each
// tracer has a lane of its own in every row, so that equal figures do not cover each other.
func addSeries(p *plot.Plot, rows []Row) (*plot.Legend, error) {
	series := seriesOf(rows)
	all := make([]figures, len(series))
	for i, row := range rows {
		for _, point := range row.Points {
			if !point.drawable() {
				continue
			}
			s := slices.Index(series, point.Series)
			y := float64(len(rows)-1-i) + laneOffset(s, len(series))
			all[s].XYs = append(all[s].XYs, plotter.XY{X: point.Value, Y: y})
			all[s].XErrors = append(all[s].XErrors, struct{ Low, High float64 }{point.Value - point.Low, point.High - point.Value})
		}
	}
	if err := addRules(p, len(rows)); err != nil {
		return nil, err
	}
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.Padding = true, true, 5
	legend.TextStyle.Font.Variant = "Sans"
	for s, name := range series {
		if len(all[s].XYs) == 0 {
			continue
		}
		points, err := addFigures(p, all[s], s)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", name, err)
		}
		legend.Add(name, points)
	}
	return &legend, nil
}

// seriesOf lists the tracers, in the order in which they first occur.
func seriesOf(rows []Row) (series []string) {
	for _, row := range rows {
		for _, point := range row.Points {
			if !slices.Contains(series, point.Series) {
				series = append(series, point.Series)
			}
		}
	}
	return series
}

// colours are Okabe and Ito's: people with any kind of colour blindness can tell them apart.
var colours = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x80, 0x80, 0x80, 0xff}, {0x99, 0x44, 0x00, 0xff},
}

var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}}

// addFigures adds the points of the tracer with number s and their intervals.
func addFigures(p *plot.Plot, f figures, s int) (*plotter.Scatter, error) {
	points, err := plotter.NewScatter(f)
	if err != nil {
		return nil, err
	}
	intervals, err := plotter.NewXErrorBars(f)
	if err != nil {
		return nil, err
	}
	points.Color, points.Shape, points.Radius = colours[s%len(colours)], glyphs[s%len(glyphs)], glyphRadius
	intervals.Color, intervals.CapWidth = points.Color, 0
	p.Add(intervals, points)
	return points, nil
}

// addRules adds a vertical line at 1, which is no slowdown, and faint lines between the rows.
func addRules(p *plot.Plot, rows int) error {
	top := float64(rows) - 0.5
	rules := []plotter.XYs{{{X: 1, Y: -0.5}, {X: 1, Y: top}}}
	for y := 0.5; y < top; y++ {
		rules = append(rules, plotter.XYs{{X: p.X.Min, Y: y}, {X: p.X.Max, Y: y}})
	}
	for i, ends := range rules {
		line, err := plotter.NewLine(ends)
		if err != nil {
			return err
		}
		line.Color = color.Gray{0xb0}
		if i > 0 {
			line.Color, line.Width = color.Gray{0xe0}, 0.5
		}
		p.Add(line)
	}
	return nil
}

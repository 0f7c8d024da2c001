// Package chart draws how much longer programs take under tracers.
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
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Row is one program.
type Row struct {
	Name   string
	Points []Point
}

// Point is one figure of a program: that of the tracer that Series names, with its interval.
type Point struct {
	Series           string
	Value, Low, High float64
}

// colours are Okabe and Ito's, which people tell apart who do not see all colours.
var colours = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x80, 0x80, 0x80, 0xff}, {0x99, 0x44, 0x00, 0xff},
}

var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}}

// Slowdowns draws the rows as SVG, from the first at the top down: a point for each tracer, on a
// logarithmic axis.
func Slowdowns(w io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return fmt.Errorf("there is nothing to draw")
	}
	p := plot.New()
	p.Title.Text = "Run time under a tracer ÷ untraced"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Label.Text = "slowdown"
	names := make([]string, len(rows)) // the y axis starts at the bottom
	byName := make(map[string]*figures)
	var order []string
	for i, row := range rows {
		y := float64(len(rows) - 1 - i)
		names[len(rows)-1-i] = row.Name
		for _, point := range row.Points {
			f := byName[point.Series]
			if f == nil {
				f = new(figures)
				byName[point.Series] = f
				order = append(order, point.Series)
			}
			if point.Value > 0 && point.Low > 0 && !math.IsInf(point.High, 0) {
				f.points = append(f.points, plotter.XY{X: point.Value, Y: y})
				f.spreads = append(f.spreads, struct{ Low, High float64 }{point.Value - point.Low, point.High - point.Value})
			}
		}
	}
	for i, name := range order {
		if err := byName[name].draw(p, name, i, len(order)); err != nil {
			return err
		}
	}
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(rows)) - 0.5}})
	if err != nil {
		return err
	}
	one.Color = color.Gray{0xb0}
	p.Add(one)
	p.NominalY(names...)
	p.X.Min, p.X.Max = limits(rows)
	p.Legend.Top = true
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	canvas := vgsvg.New(24*vg.Centimeter, vg.Length(len(rows)+6)*0.7*vg.Centimeter)
	p.Draw(draw.New(canvas))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// The plotting library names its own font alone, which few have.
	_, err = w.Write(bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,sans-serif;")))
	return err
}

// figures are those of one tracer.
type figures struct {
	points  plotter.XYs
	spreads plotter.XErrors
}

// draw puts the figures of the i-th of n tracers on the plot, each a little below the one before.
func (f *figures) draw(p *plot.Plot, name string, i, n int) error {
	if len(f.points) == 0 {
		return nil
	}
	points := slices.Clone(f.points)
	for j := range points {
		points[j].Y += 0.35 - 0.7*float64(i)/float64(max(1, n-1))
	}
	scatter, err := plotter.NewScatter(points)
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	scatter.Color, scatter.Shape, scatter.Radius = colours[i%len(colours)], glyphs[i%len(glyphs)], vg.Points(2.5)
	bars, err := plotter.NewXErrorBars(struct {
		plotter.XYer
		plotter.XErrorer
	}{points, f.spreads})
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	bars.Color, bars.CapWidth = scatter.Color, 0
	p.Add(bars, scatter)
	p.Legend.Add(name, scatter)
	return nil
}

// limits hold all figures, and 1, and leave room for the legend at the right.
func limits(rows []Row) (low, high float64) {
	low, high = 1, 1
	for _, row := range rows {
		for _, point := range row.Points {
			if point.Low > 0 {
				low = min(low, point.Low)
			}
			if !math.IsInf(point.High, 0) {
				high = max(high, point.High)
			}
		}
	}
	return max(0.5*low, 0.1), 8 * high
}

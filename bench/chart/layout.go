package chart

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The sizes of the chart. The names and the legend get the space that they need beside the plot.
const (
	plotWidth   = 16 * vg.Centimeter
	laneHeight  = vg.Length(6)
	rowGap      = vg.Length(6)  // between the last lane of a row and the first of the next
	leastRow    = vg.Length(18) // the name of a row needs a line of text
	glyphRadius = vg.Length(2)
	margin      = vg.Length(8)

	titleHeight  = vg.Length(22)
	titleAndAxis = titleHeight + 34 // the axis with its numbers and its label

	// fallbackFont is how much wider a text may get in the font that the viewer has. The layout is
	// computed with Liberation Sans, which is as wide as Arial; DejaVu Sans is wider by a fifth.
	fallbackFont = 1.25
)

// render draws the plot of that many series, and the legend in a column of its own at the right.
func render(p *plot.Plot, legend *plot.Legend, series int) *vgsvg.Canvas {
	names := vg.Length(0)
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		names = max(names, p.Y.Tick.Label.Width(tick.Label))
	}
	// The library puts the names' right ends, as wide as it takes them to be, before this padding.
	p.Y.Padding = (fallbackFont-1)*names + margin
	legendWidth := fallbackFont * legend.Rectangle(draw.Canvas{}).Size().X
	rows := vg.Length(p.Y.Max - p.Y.Min)
	height := max(rows*rowHeight(series), legend.Rectangle(draw.Canvas{}).Size().Y)

	canvas := vgsvg.New(names+p.Y.Padding+plotWidth+legendWidth+4*margin, height+titleAndAxis+2*margin)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	inner := draw.Crop(all, margin, -margin, margin, -margin)
	p.Draw(draw.Crop(inner, 0, -legendWidth-2*margin, 0, 0))
	legend.Draw(draw.Crop(inner, inner.Size().X-legendWidth, 0, 0, -titleHeight))
	return canvas
}

func rowHeight(series int) vg.Length {
	return max(leastRow, vg.Length(series)*laneHeight+rowGap)
}

// laneOffset returns how far the lane of the tracer with number s is above the middle of a row. The unit
// is the height of a row.
func laneOffset(s, series int) float64 {
	lanesAbove := float64(series-1)/2 - float64(s)
	return lanesAbove * float64(laneHeight/rowHeight(series))
}

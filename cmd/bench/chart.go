package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// chart is a picture: panels below each other, each a bar for every server.
type chart struct {
	file, title string
	panels      []panel
}

// panel is one figure of all servers.
type panel struct{ title, figure, unit string }

func charts() []chart {
	return []chart{
		{"bench-axfr.svg", "Big AXFR, records/s", []panel{
			{"cold: the first transfer after the start", "axfr/cold", "records/s"}, {"warm, one connection", "axfr/warm", "records/s"},
			{"warm, 8 connections", "axfr/warm 8 connections", "records/s"}, {"warm, TSIG, one connection", "axfr/warm TSIG", "records/s"}}},
		{"bench-small.svg", "Small zones by AXFR, zones/s", []panel{
			{"cold, 50 per connection", "small/cold 50 per connection", "zones/s"}, {"warm, 50 per connection", "small/warm 50 per connection", "zones/s"},
			{"warm, 1 per connection", "small/warm 1 per connection", "zones/s"}, {"warm, pipelined by 10", "small/warm pipelined by 10", "zones/s"}}},
		{"bench-soa.svg", "SOA over UDP, processor time of the server, us/query (less is better)", []panel{
			{"cold: each zone once, after the start", "soa/cold cpu", "us/query"}, {"warm", "soa/warm cpu", "us/query"}}},
		{"bench-ixfr.svg", "IXFR of 20 changes of the big zone, transfers/s", []panel{{"50 per connection, 8 clients", "ixfr/20 changes", "transfers/s"}}},
		{"bench-start.svg", "Start, and memory (less is better)", []panel{
			{"from the start to serving all zones, s", "start/to serving", "s"}, {"memory then, MB", "start/memory", "MB"}}},
	}
}

const (
	chartWidth = 760
	barsFrom   = 190 // where bars begin
	barsTo     = 640 // where the longest ends; its value is written behind it
	barHeight  = 14
	barStep    = 22
	panelGap   = 42
	chartTop   = 64
	logFrom    = 30 // the greatest value over the least from which the scale is logarithmic
)

// The style holds for light and dark: the picture has a ground of its own, so it
// can be read wherever it is put.
const chartStyle = `<style>
.ground{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#59636e}.line{stroke:#d1d9e0}.ours{fill:#0969da}.peer{fill:#8c959f}.limit{fill:#d4a72c}.span{stroke:#1f2328}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#f0f6fc}.faint{fill:#9198a1}.line{stroke:#3d444d}.ours{fill:#4493f8}.peer{fill:#6e7681}.limit{fill:#bb8009}.span{stroke:#f0f6fc}}
text{font:12px system-ui,sans-serif}.title{font-weight:600;font-size:15px}.head{font-weight:600}
</style>
`

// draw makes the picture in SVG.
func (r *report) draw(c chart) string {
	var body strings.Builder
	y := chartTop
	for _, p := range c.panels {
		y = r.drawPanel(&body, p, y)
	}
	y -= panelGap - barStep // below the last
	title := html.EscapeString(c.title)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s">
<title>%[3]s</title>
%[4]s<rect class="ground" width="100%%" height="100%%" rx="6"/>
<text class="ink title" x="16" y="28">%[3]s</text>
`, chartWidth, y, title, chartStyle) + body.String() + "</svg>\n"
}

// scale is where a value's bar ends.
type scale struct {
	low, high float64
	log       bool
}

func newScale(values []float64) scale {
	s := scale{low: math.Inf(1)}
	for _, v := range values {
		s.low, s.high = min(s.low, v), max(s.high, v)
	}
	if s.low > 0 && s.high/s.low > logFrom {
		s.log, s.low = true, math.Pow(10, math.Floor(math.Log10(s.low)))
		if s.high/s.low < 10 {
			s.low /= 10
		}
	} else {
		s.low = 0
	}
	return s
}

func (s scale) at(v float64) float64 {
	part := v / s.high
	if s.log {
		part = math.Log(max(v, s.low)/s.low) / math.Log(s.high/s.low)
	}
	return barsFrom + part*(barsTo-barsFrom)
}

// tick is a power of ten on a scale.
func tick(v float64) string {
	suffix := ""
	switch {
	case v >= 1e6:
		v, suffix = v/1e6, " M"
	case v >= 1e3:
		v, suffix = v/1e3, " k"
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + suffix
}

// drawPanel draws below y and says where the next panel may begin.
func (r *report) drawPanel(w *strings.Builder, p panel, y int) int {
	var names []string
	var figures []figure
	var values []float64
	for _, s := range r.servers() {
		if f, ok := r.figure(p.figure, s, p.unit); ok && f.Median > 0 {
			names, figures, values = append(names, s), append(figures, f), append(values, f.Min, f.Max)
		}
	}
	title := p.title
	if len(figures) == 0 {
		fmt.Fprintf(w, "<text class=\"ink head\" x=\"16\" y=\"%d\">%s</text>\n<text class=\"faint\" x=\"16\" y=\"%d\">not measured</text>\n", y, html.EscapeString(title), y+barStep)
		return y + barStep + panelGap
	}
	s := newScale(values)
	if s.log {
		title += " (logarithmic scale)"
	}
	fmt.Fprintf(w, "<text class=\"ink head\" x=\"16\" y=\"%d\">%s</text>\n", y, html.EscapeString(title))
	top := y + 10
	bottom := top + len(figures)*barStep
	if s.log {
		for v := s.low; v <= s.high; v *= 10 {
			fmt.Fprintf(w, "<line class=\"line\" x1=\"%.1f\" x2=\"%.1[1]f\" y1=\"%d\" y2=\"%d\"/><text class=\"faint\" x=\"%.1[1]f\" y=\"%[4]d\" text-anchor=\"middle\">%s</text>\n", s.at(v), top, bottom, bottom+14, tick(v))
		}
	}
	for i, f := range figures {
		class := "peer"
		switch f.Server {
		case "sqlite", "postgres":
			class = "ours"
		case limit:
			class = "limit"
		}
		at := top + i*barStep + (barStep-barHeight)/2
		fmt.Fprintf(w, "<text class=\"ink\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", barsFrom-8, at+11, html.EscapeString(r.label(names[i])))
		fmt.Fprintf(w, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", class, barsFrom, at, max(s.at(f.Median)-barsFrom, 1), barHeight)
		end := s.at(f.Median)
		if f.Max > f.Min {
			end = s.at(f.Max)
			fmt.Fprintf(w, "<line class=\"span\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%[3]d\"/>", s.at(f.Min), end, at+barHeight/2)
		}
		fmt.Fprintf(w, "<text class=\"ink\" x=\"%.1f\" y=\"%d\">%s</text>\n", end+6, at+11, short(f.Median))
	}
	return bottom + panelGap
}

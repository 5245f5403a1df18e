package render

import (
	"fmt"
	"sync"
	"time"

	"dnsctl/report"
)

// Progress shows how far long work is, on standard error. On a terminal it is
// one line that is drawn again, with an estimate of the time left, once the work
// has taken a second; elsewhere it is one line per target when that is through.
// It may be used by several goroutines.
type Progress struct {
	o       *Output
	began   time.Time
	mu      sync.Mutex
	started map[string]time.Time // by target and phase
	drawn   time.Time
	line    bool // a line is on the screen
}

// redraw is how often the line is drawn.
const redraw = 100 * time.Millisecond

// patience is how long work may take before its progress is shown.
const patience = time.Second

// Progress starts showing progress.
func (o *Output) Progress() *Progress {
	return &Progress{o: o, began: o.Now(), started: map[string]time.Time{}}
}

// Update shows how far the work on one target is; its name is in Server.
func (p *Progress) Update(r report.Progress) {
	target, phase, done, total := r.Server, r.Phase, r.Done, r.Total
	if p.o.Quiet || !p.o.Redraws {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	key := target + "\x00" + phase
	start, known := p.started[key]
	if !known {
		start = now
		p.started[key] = now
	}
	if now.Sub(p.began) < patience || now.Sub(p.drawn) < redraw && done != total {
		return
	}
	p.drawn, p.line = now, true
	text := fmt.Sprintf("%s: %s %d", target, phase, done)
	if total > 0 {
		text = fmt.Sprintf("%s: %s %d of %d", target, phase, done, total)
		if done > 0 && done < total && now.After(start) {
			left := time.Duration(float64(now.Sub(start)) / float64(done) * float64(total-done))
			text += ", about " + Short(left) + " left"
		}
	}
	if p.o.Width > 0 {
		text = cut(text, p.o.Width-1)
	}
	fmt.Fprintf(p.o.Err, "\r\x1b[K%s", Clean(text))
}

// Done takes the line off the screen; what follows starts on a clean one.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.line {
		fmt.Fprint(p.o.Err, "\r\x1b[K")
		p.line = false
	}
}

// Short is a length of time in one or two units: "40 s", "3 min", "2 h 5 min".
func Short(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < time.Second:
		return "1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

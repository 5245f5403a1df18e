package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// budgetMB is what mdns may keep of zones' content in measureBudget: far less
// than the big zone takes.
const budgetMB = 32

// cacheBytes is the metric of what mdns keeps of zones' content.
const cacheBytes = "dnsctl_mdns_cache_bytes"

// measureBudget transfers all zones with a budget that they do not fit in. The
// clients count the records, so that the service is known to be whole.
func measureBudget(ctx context.Context, b *bench, name string) {
	h := b.loadedHouse(ctx, name)
	usual := h.env
	h.stop()
	h.env = append(slices.Clip(usual), fmt.Sprintf("DNSCTL_MDNS_MEMORY=%dMiB", budgetMB))
	t := b.table(name)
	for range b.repeat {
		h.stop()
		h.start(ctx)
		watch, stop := context.WithCancel(ctx)
		most := make(chan float64, 1)
		go func() { most <- h.most(watch, cacheBytes) }()
		wall, got := b.big(h.addr, nil, nil, manyConns, true)
		t.add("budget/axfr 8 connections", "records/s", "", float64(got.records)/wall)
		wall, zones := b.smallZones(h.desc(), smallCold)
		t.add("budget/small 50 per connection", "zones/s", "", float64(zones)/wall)
		wall, got = b.big(h.addr, nil, nil, 1, true)
		t.add("budget/axfr", "records/s", "", float64(got.records)/wall)
		stop()
		t.add("budget/content at most", "MB", fmt.Sprintf("<= %d", budgetMB), <-most/(1<<20))
		t.add("budget/memory of the process at most", "MB", "", status(h.pid(), "VmHWM"))
	}
	t.done()
	h.stop()
	h.env = usual
	h.start(ctx)
}

// most is the greatest value of a metric until ctx ends, read every 10 ms.
func (h *house) most(ctx context.Context, metric string) (greatest float64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := h.metrics(context.WithoutCancel(ctx))
		if err == nil {
			greatest = max(greatest, valueOf(text, metric))
		}
		select {
		case <-ctx.Done():
			return greatest
		case <-tick.C:
		}
	}
}

// metric is the present value of a metric.
func (h *house) metric(ctx context.Context, name string) float64 {
	text, err := h.metrics(ctx)
	h.bed.must("read the metrics of mdns", err)
	return valueOf(text, name)
}

func (h *house) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.http+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// valueOf is the value of a metric without labels in Prometheus's text format; 0
// when it is not there.
func valueOf(text, metric string) float64 {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == metric {
			v, _ := strconv.ParseFloat(value, 64)
			return v
		}
	}
	return 0
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// profile is what the processor time of mdns went to during one thing that
// clients asked of it.
type profile struct {
	What    string  `json:"what"`
	Server  string  `json:"server"`
	Top     []spot  `json:"top"`
	Seconds float64 `json:"seconds"` // of processor time that was sampled
}

// spot is a function with its share of the samples: its own, not that of what it
// calls.
type spot struct {
	Function string  `json:"function"`
	Percent  float64 `json:"percent"`
}

// profileTop is how many functions are kept of each profile.
const profileTop = 8

// measureProfile runs what the other measures run, once, on a dnsctl whose
// processor profile can be taken (cmd/bench/profiled): nothing of it is a figure.
func measureProfile(ctx context.Context, b *bench, name string) {
	b.bed.must("make the folder of profiles", os.MkdirAll(b.profile, 0o755))
	usual := b.bin
	defer func() { b.bin = usual }()
	b.bin = b.buildGo(ctx, "dnsctl/cmd/bench/profiled")
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, name)
		h.importBig(ctx, b.bigFile)
		h.importSmall(ctx)
		h.ask = b.everything()
		at := testbed.FreeAddr(in)
		h.env = append(h.env, "BENCH_PROFILE="+at)
		h.start(ctx)
		questions := make([][]byte, b.zones)
		for i := range questions {
			questions[i] = question{zone: smallZone(i), typ: zone.TypeSOA}.frame()[wire.LengthPrefix:]
		}
		for _, c := range []struct {
			what string
			run  func()
		}{
			{"big AXFR, cold", func() { b.big(h.addr, nil, nil, 1, true) }},
			{"small zones, cold", func() { b.smallZones(h.desc(), smallCold) }},
			{"", func() { b.big(h.addr, nil, nil, 1, true) }}, // makes the messages
			{"big AXFR, warm", func() { b.big(h.addr, nil, nil, 1, false) }},
			{"big AXFR, warm, TSIG", func() { b.big(h.addr, nil, &h.key, 1, false) }},
			{"small zones, warm, 50 per connection", func() { b.smallZones(h.desc(), smallShapes[0]) }},
			{"small zones, warm, 1 per connection", func() { b.smallZones(h.desc(), smallShapes[1]) }},
			{"SOA over UDP", func() {
				_, _, err := flood(h.addr, questions, b.sample)
				in.must("ask for SOAs", err)
			}},
		} {
			if c.what == "" {
				c.run()
				continue
			}
			file := filepath.Join(b.profile, strings.NewReplacer(",", "", " ", "-").Replace(c.what)+"-"+name+".pprof")
			in.must("begin a profile", fetch(ctx, "http://"+at+"/start", ""))
			c.run()
			in.must("end a profile", fetch(ctx, "http://"+at+"/stop", file))
			p, err := readProfile(ctx, b.bin, file)
			in.must("read "+file, err)
			p.What, p.Server = c.what, name
			b.report.Profiles = append(b.report.Profiles, p)
			fmt.Fprintf(b.out, "%-40s %-17s %.2f s, in %s\n", "profile/"+c.what, name, p.Seconds, file)
		}
	})
}

// fetch gets a URL, and writes what comes into a file when it has a name.
func fetch(ctx context.Context, url, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	case file == "":
		return nil
	}
	return os.WriteFile(file, body, 0o644)
}

// readProfile has the Go tool say which functions a profile was in.
func readProfile(ctx context.Context, program, file string) (profile, error) {
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount", fmt.Sprint(profileTop), program, file).CombinedOutput()
	if err != nil {
		return profile{}, fmt.Errorf("go tool pprof: %w: %s", err, last(string(out)))
	}
	return parseTop(string(out))
}

// parseTop reads what pprof -top prints: a line with the time that was sampled,
// and behind a line of heads one for each function.
func parseTop(text string) (p profile, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	table := false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Duration:"):
			_, total, ok := strings.Cut(line, "Total samples = ")
			word, _, _ := strings.Cut(total, " ")
			word, _, _ = strings.Cut(word, "(")
			d, perr := time.ParseDuration(strings.TrimSpace(word))
			if !ok || perr != nil {
				return p, fmt.Errorf("pprof says %q", line)
			}
			p.Seconds = d.Seconds()
		case strings.HasPrefix(line, "flat "):
			table = true
		case table && len(f) >= 6:
			share, perr := strconv.ParseFloat(strings.TrimSuffix(f[1], "%"), 64)
			if perr != nil {
				return p, fmt.Errorf("pprof says %q", line)
			}
			name := strings.TrimSuffix(strings.Join(f[5:], " "), " (inline)")
			p.Top = append(p.Top, spot{name, share})
		}
	}
	if p.Top == nil {
		return p, fmt.Errorf("pprof says no function: %s", last(text))
	}
	return p, nil
}

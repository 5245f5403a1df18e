package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTopOfAProfileIsRead(t *testing.T) {
	t.Parallel()
	p, err := parseTop(`File: profiled
Type: cpu
Duration: 1.20s, Total samples = 980ms (81.67%)
Showing nodes accounting for 700ms, 71.43% of 980ms total
Dropped 12 nodes (cum <= 4.90ms)
      flat  flat%   sum%        cum   cum%
     500ms 51.02% 51.02%      510ms 52.04%  internal/runtime/syscall.Syscall6
     200ms 20.41% 71.43%      200ms 20.41%  dnsctl/mdns.(*stream).send (inline)
`)
	if err != nil || p.Seconds != 0.98 || !slices.Equal(p.Top, []spot{{"internal/runtime/syscall.Syscall6", 51.02}, {"dnsctl/mdns.(*stream).send", 20.41}}) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "Duration: 1s, Total samples = much\n", "flat x\n 1 2 3 4 5 f\n1 x% 3 4 5 f\n"} {
		if p, err := parseTop(bad); err == nil {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

// TestProfilesAreReadByTheGoTool has the tool read a profile of this process.
func TestProfilesAreReadByTheGoTool(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		_ = strings.Repeat("x", 1<<16)
	}
	pprof.StopCPUProfile()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := readProfile(t.Context(), self, file); err != nil || p.Seconds <= 0 || len(p.Top) == 0 || len(p.Top) > profileTop {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestWhatTheRunTook(t *testing.T) {
	t.Parallel()
	r := &report{Took: []took{{"soa", "nsd", 2}, {"axfr", "sqlite", 3}, {"axfr", "nsd", 5}}}
	if got := r.tookTable(); got != head("measure", "s", "longest with", "s")+row("axfr", "8.00", "NSD", "5.00")+row("soa", "2.00", "NSD", "2.00") {
		t.Errorf("%s", got)
	}
	r.Profiles = []profile{{What: "SOA", Server: "sqlite", Seconds: 1, Top: []spot{{"f", 51.2}, {"g", 4}}}}
	if got := r.profileTable(); !strings.HasSuffix(got, row("SOA", "dnsctl on SQLite", "1.00", "f 51%, g 4%")) {
		t.Errorf("%s", got)
	}
}

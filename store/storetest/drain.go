package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
)

// inService makes servers that are in service in a pool.
func (e *env) inService(p fleet.Pool, names ...string) {
	e.t.Helper()
	for _, n := range names {
		e.server(n, p)
		if err := e.SetServerState(e.t.Context(), n, fleet.Active, by("bootstrap")); err != nil {
			e.t.Fatal(err)
		}
	}
}

var drainTests = map[string]func(*testing.T, *env){
	"a drain keeps who, why and since when, until it ends": func(t *testing.T, e *env) {
		e.inService(e.pool("eu"), "ns1", "ns2")
		at := e.clock.Now().UTC().Truncate(time.Millisecond)
		d := report.Drain{Reason: "new disk", By: report.Actor{UID: 3, User: "ada", Host: "h"}, Since: at}
		who := fleet.By{Actor: d.By, Command: "drain", Action: "drain", Comment: d.Reason}
		drain := func(d report.Drain) fleet.Server {
			t.Helper()
			if err := e.DrainServer(t.Context(), "ns1", d, nil, who); err != nil {
				t.Fatal(err)
			}
			v, err := e.Server(t.Context(), "ns1")
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if v := drain(d); v.State != fleet.Draining || v.Drain == nil || *v.Drain != d {
			t.Fatalf("%s, %+v", v.State, v.Drain)
		}
		if err := e.EndDrain(t.Context(), "ns1", d, fleet.Drained, who); err != nil {
			t.Fatal(err)
		}
		head, _ := e.Head(t.Context())
		again := d
		again.Since = at.Add(time.Hour)
		if v := drain(again); v.State != fleet.Drained || *v.Drain != d {
			t.Fatalf("again: %s, %+v", v.State, v.Drain)
		}
		if now, _ := e.Head(t.Context()); now != head {
			t.Error("changing nothing has a feed entry")
		}
		again.Reason = "and new memory"
		if v := drain(again); v.State != fleet.Drained || *v.Drain != again {
			t.Fatalf("for another reason: %s, %+v", v.State, v.Drain)
		}
		if err := e.EndDrain(t.Context(), "ns1", d, fleet.Active, who); err == nil {
			t.Error("the end of the first drain ended the second")
		}
		if err := e.EndDrain(t.Context(), "ns1", again, fleet.Active, who); err != nil {
			t.Fatal(err)
		}
		if v, err := e.Server(t.Context(), "ns1"); err != nil || v.State != fleet.Active || v.Drain != nil {
			t.Errorf("%+v, %v", v, err)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{Server: "ns1", Limit: 4})
		if err != nil || events[0].Action != "drain" || events[0].Comment != d.Reason || !strings.Contains(events[0].Before, "and new memory") {
			t.Errorf("%+v, %v", events, err)
		}
		if err := e.DrainServer(t.Context(), "ns9", d, nil, who); err == nil {
			t.Error("an unknown server was drained")
		}
	},
	"a drain leaves each pool its servers in service": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		e.inService(eu, "ns1", "ns2")
		e.inService(us, "ns3")
		e.server("ns4", us) // joining: it neither counts nor is counted
		err := e.UpdateServer(t.Context(), "ns2", by("server set"), func(v *fleet.Server) error {
			v.Pools = []fleet.Pool{eu, us}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		check := func(server string, below []string, want string) {
			t.Helper()
			err := e.DrainServer(t.Context(), server, report.Drain{Reason: "r", Since: e.clock.Now()}, below, by("drain"))
			exit, hint := report.ExitOf(err)
			v, _ := e.Server(t.Context(), server)
			switch {
			case want == "" && (err != nil || v.State != fleet.Draining):
				t.Errorf("%s: %v, %s", server, err, v.State)
			case want != "" && (exit != report.ExitWithheld || v.State.Out() || !strings.Contains(err.Error(), "pool "+want) || !strings.Contains(hint, "--below-floor "+want)):
				t.Errorf("%s: %v (%s), exit %d, %s", server, err, hint, exit, v.State)
			}
		}
		check("ns4", nil, "")
		check("ns1", nil, "")
		check("ns2", nil, "eu")
		check("ns2", []string{"us"}, "eu")
		check("ns2", []string{"eu"}, "")
		check("ns3", []string{"eu"}, "us")
		if err := e.UpdatePool(t.Context(), "us", by("pool set"), func(p *fleet.Pool) error { p.MinActive = 0; return nil }); err != nil {
			t.Fatal(err)
		}
		check("ns3", nil, "")
	},
	"drains at once do not pass the floor together": func(t *testing.T, e *env) {
		p := e.pool("eu")
		var names []string
		for i := range 6 {
			names = append(names, fmt.Sprintf("ns%d", i))
		}
		e.inService(p, names...)
		if err := e.UpdatePool(t.Context(), "eu", by("pool set"), func(p *fleet.Pool) error { p.MinActive = 4; return nil }); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		drained := 0
		for _, n := range names {
			other := e.open(store.Options{})
			wg.Go(func() {
				err := other.DrainServer(context.Background(), n, report.Drain{Reason: "r", Since: time.Now()}, nil, by("drain"))
				if exit, _ := report.ExitOf(err); err != nil && exit != report.ExitWithheld {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					drained++
				}
			})
		}
		wg.Wait()
		if drained != 2 {
			t.Errorf("%d of 6 were drained, want 2", drained)
		}
	},
	"only what has been outstanding for long is late": func(t *testing.T, e *env) {
		e.server("ns1")
		task := report.Task{Server: "ns1", Zone: name("a.example."), Want: report.Present, Incarnation: "i", Serial: 1}
		gone := report.Task{Server: "ns1", Zone: name("b.example."), Want: report.Absent, Incarnation: "i", Serial: 1}
		if err := e.PutTasks(t.Context(), []report.Task{task, gone}); err != nil {
			t.Fatal(err)
		}
		for after, want := range map[time.Duration]int{-time.Second: 0, time.Second: 1} {
			if n, err := e.Late(t.Context(), "ns1", e.clock.Now().Add(after)); err != nil || n != want {
				t.Errorf("before %s: %d, %v", after, n, err)
			}
		}
		if n, err := e.Late(t.Context(), "ns9", e.clock.Now().Add(time.Hour)); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	},
}

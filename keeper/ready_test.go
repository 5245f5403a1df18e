package keeper_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/report"
)

// written is what a leader has written down.
type written struct {
	server fleet.Server
	health map[int64]fleet.Health
	late   int
	err    error
	reads  atomic.Int32
}

func (w *written) Server(_ context.Context, name string) (fleet.Server, error) {
	w.reads.Add(1)
	if name != w.server.Name {
		return fleet.Server{}, fleet.ErrNoServer
	}
	return w.server, w.err
}

func (w *written) Health(context.Context) (map[int64]fleet.Health, error) { return w.health, w.err }

func (w *written) Late(context.Context, string, time.Time) (int, error) { return w.late, w.err }

func readiness(t *testing.T, h http.Handler, name string) (status int, code, reason string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /servers/{name}/ready", h)
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/servers/"+name+"/ready", nil))
	var body struct {
		Server, Code, Reason string
		Ready                bool
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || body.Server != name || body.Ready != (rec.Code == http.StatusOK) {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	return rec.Code, body.Code, body.Reason
}

func TestReadinessSaysWhatKeepsAServerFromService(t *testing.T) {
	t.Parallel()
	seen := func(h fleet.Health) map[int64]fleet.Health {
		h.Server = 1
		return map[int64]fleet.Health{1: h}
	}
	drain := &report.Drain{Reason: "new disk"}
	for name, tt := range map[string]struct {
		w      *written
		status int
		code   string
		reason string
	}{
		"in service":                   {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Told: true})}, 200, "", ""},
		"drained":                      {&written{server: fleet.Server{State: fleet.Drained, Drain: drain}, health: seen(fleet.Health{Told: true})}, 503, "drained", "new disk"},
		"draining":                     {&written{server: fleet.Server{State: fleet.Draining}}, 503, "draining", "it is taken out of service"},
		"joining":                      {&written{server: fleet.Server{State: fleet.Joining}}, 503, "joining", "it was not yet proven to serve all its zones"},
		"never seen":                   {&written{server: fleet.Server{State: fleet.Active}}, 503, "unseen", "no leader has looked at it yet"},
		"back, and not seen since":     {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Blocked: "drained"})}, 200, "", ""},
		"blocked":                      {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Blocked: "marker-wrong", Reason: "of rndc://key"})}, 503, "blocked", "nothing is written to it: marker-wrong"},
		"unreachable":                  {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Blocked: "unreachable"})}, 503, "unreachable", "its control channel does not answer, and it shows no sound marker"},
		"unreachable, told of changes": {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Blocked: "unreachable", Told: true})}, 200, "", ""},
		"behind":                       {&written{server: fleet.Server{State: fleet.Active}, health: seen(fleet.Health{Told: true}), late: 3}, 503, "behind", "3 zones outstanding for more than 30s"},
		"the database does not answer": {&written{err: errors.New("no")}, 503, "unknown", "the database cannot be read"},
	} {
		tt.w.server.ID, tt.w.server.Name = 1, "ns1"
		status, code, reason := readiness(t, &keeper.Ready{Store: tt.w, Now: time.Now}, "ns1")
		if status != tt.status || code != tt.code || reason != tt.reason {
			t.Errorf("%s: %d %q: %s", name, status, code, reason)
		}
	}
	if status, code, _ := readiness(t, &keeper.Ready{Store: &written{}, Now: time.Now}, "ns9"); status != 404 || code != "unknown" {
		t.Errorf("%d %q", status, code)
	}
}

func TestReadinessIsCheapAndOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &written{server: fleet.Server{ID: 1, Name: "ns1", State: fleet.Active}, health: map[int64]fleet.Health{1: {Server: 1, Told: true}}}
		r := &keeper.Ready{Store: w, Now: time.Now}
		for range 100 {
			if status, _, _ := readiness(t, r, "ns1"); status != 200 {
				t.Fatal(status)
			}
		}
		if n := w.reads.Load(); n != 1 {
			t.Errorf("100 questions at once read %d times", n)
		}
		w.err = errors.New("gone")
		time.Sleep(time.Hour) //nolint:forbidigo // synctest's time
		for range 100 {
			if status, code, _ := readiness(t, r, "ns1"); status != 200 {
				t.Fatalf("%d %q: a database that is gone takes servers out of service", status, code)
			}
		}
		if n := w.reads.Load(); n != 2 {
			t.Errorf("a database that is gone was asked %d times", n-1)
		}
		w.err, w.late = nil, 1
		time.Sleep(2 * time.Second) //nolint:forbidigo // synctest's time
		if status, _, _ := readiness(t, r, "ns1"); status != 503 {
			t.Errorf("%d after it is back", status)
		}
	})
}

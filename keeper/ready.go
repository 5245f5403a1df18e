package keeper

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
)

// ReadyStore is what Ready reads: what the leader has written down.
type ReadyStore interface {
	Server(ctx context.Context, name string) (fleet.Server, error)
	Health(ctx context.Context) (map[int64]fleet.Health, error)
	// Late counts the zones of a server that have been outstanding since before a
	// time.
	Late(ctx context.Context, server string, before time.Time) (int, error)
}

const (
	// lateAfter is how long a change may be on its way to a nameserver before that
	// counts as behind: whatever is changed is outstanding for a moment.
	lateAfter = 30 * time.Second
	readyAge  = time.Second     // an answer is given again for so long
	readyTime = 2 * time.Second // bounds looking
)

// Ready answers GET /servers/NAME/ready for load balancers: 200 while a
// nameserver is fit for service, else 503 with the reason, as JSON. Every replica
// answers alike, from what the leader has written down; nobody is asked. When the
// database cannot be read, the last answer stands: that is no reason to take
// nameservers out of service.
type Ready struct {
	Store ReadyStore
	Now   func() time.Time

	mu     sync.Mutex
	last   map[string]readiness
	err    error // of the last look
	looked time.Time
}

// readiness is the answer. Code is one of a few words: drained, draining, joining,
// unreachable, blocked, behind, unseen, unknown; "" when it is ready.
type readiness struct {
	Server string    `json:"server"`
	Ready  bool      `json:"ready"`
	Code   string    `json:"code"`
	Reason string    `json:"reason"`
	Behind int       `json:"behind"` // zones that have been outstanding for long
	AsOf   time.Time `json:"as_of"`
}

// ServeHTTP implements http.Handler.
func (r *Ready) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := req.PathValue("name")
	out, err := r.of(req.Context(), name)
	status := http.StatusOK
	switch {
	case errors.Is(err, fleet.ErrNoServer):
		status, out = http.StatusNotFound, readiness{Server: name, Code: "unknown", Reason: "there is no such server", AsOf: r.Now().UTC()}
	case err != nil:
		status, out = http.StatusServiceUnavailable, readiness{Server: name, Code: "unknown", Reason: "the database cannot be read", AsOf: r.Now().UTC()}
	case !out.Ready:
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // nobody may be there any more
}

// of is the present answer, or the last one where there is no other.
func (r *Ready) of(ctx context.Context, name string) (readiness, error) {
	r.mu.Lock()
	defer r.mu.Unlock() // one looks, the others take what it finds
	last, known := r.last[name]
	if known && r.Now().Sub(last.AsOf) < readyAge {
		return last, nil
	}
	if r.err != nil && r.Now().Sub(r.looked) < readyAge { // the next ones do not wait for it again
		return last, unless(known, r.err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	out, err := r.look(ctx, name)
	if errors.Is(err, fleet.ErrNoServer) {
		delete(r.last, name)
		return out, err
	}
	if r.err, r.looked = err, r.Now(); err != nil {
		return last, unless(known, err)
	}
	if r.last == nil {
		r.last = make(map[string]readiness)
	}
	r.last[name] = out
	return out, nil
}

// unless is the error where no answer is known.
func unless(known bool, err error) error {
	if known {
		return nil
	}
	return err
}

func (r *Ready) look(ctx context.Context, name string) (readiness, error) {
	now := r.Now()
	out := readiness{Server: name, AsOf: now.UTC().Truncate(time.Millisecond)}
	s, err := r.Store.Server(ctx, name)
	if err != nil {
		return out, err
	}
	health, err := r.Store.Health(ctx)
	if err != nil {
		return out, err
	}
	if out.Behind, err = r.Store.Late(ctx, name, now.Add(-lateAfter)); err != nil {
		return out, err
	}
	out.Code, out.Reason = unfit(s, health[s.ID], out.Behind)
	out.Ready = out.Code == ""
	return out, nil
}

// unfit says why a server is not fit for service. A control channel that fails is
// no reason while the server shows a sound marker: it is told of changes all the
// same.
func unfit(s fleet.Server, h fleet.Health, behind int) (code, reason string) {
	switch {
	case s.State.Out():
		if s.Drain != nil {
			reason = s.Drain.Reason
		}
		return string(s.State), cmp.Or(reason, "it is taken out of service")
	case s.State == fleet.Joining:
		return string(s.State), "it was not yet proven to serve all its zones"
	case fleet.State(h.Blocked).Out(): // undrain has proven it, and no leader has looked since
	case h.Server == 0:
		return "unseen", "no leader has looked at it yet"
	case h.Blocked == "unreachable" && !h.Told:
		return h.Blocked, "its control channel does not answer, and it shows no sound marker"
	case h.Blocked != "" && !h.Told:
		return "blocked", "nothing is written to it: " + h.Blocked
	case behind > 0:
		return "behind", fmt.Sprintf("%s outstanding for more than %s", report.Count(behind, "zone"), lateAfter)
	}
	return "", ""
}

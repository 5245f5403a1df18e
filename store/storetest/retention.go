package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/zone"
)

const day = 24 * time.Hour

func (e *env) expire(r fleet.Retention) {
	e.t.Helper()
	if err := e.Expire(e.t.Context(), r, "keeper", by("retention")); err != nil {
		e.t.Fatal(err)
	}
	if err := e.Sweep(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) status() store.Status {
	e.t.Helper()
	st, err := e.Status(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return st
}

var retentionTests = map[string]func(*testing.T, *env){
	"what is past does not grow without end": func(t *testing.T, e *env) {
		bulk(t)
		p := e.pool("eu")
		v := e.server("ns1", p)
		z := e.create(content(t, "a.example.", 1, 3), p)
		r := fleet.Retention{Deleted: 3 * day, History: 5 * day, Events: 8 * day, Feed: 2 * day}
		var st store.Status
		for d := range 24 {
			for i := range 20 {
				z = e.change(z, 3+i%2)
			}
			e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: e.create(content(t, fmt.Sprintf("d%d.example.", d), 1, 20), p), Delete: true}}})
			c := copyOf("ns1", "gone.example.", 1)
			c.Taken, c.Expires = e.clock.Now(), e.clock.Now().Add(4*day)
			if _, err := e.AddCopy(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if err := e.AddForeignDeletion(t.Context(), v.ID, name("gone.example.")); err != nil {
				t.Fatal(err)
			}
			if err := e.PutReplica(t.Context(), fleet.Replica{ID: fmt.Sprint(d)}); err != nil {
				t.Fatal(err)
			}
			head, err := e.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := e.SetCursor(t.Context(), "keeper", head, fleet.Lease{}); err != nil {
				t.Fatal(err)
			}
			e.expire(r)
			st = e.status()
			if st.Changes > 6*20 || st.Events > 9*25 || st.Deleted > 4 || st.Copies > 5 || st.Unswept != 0 || st.RRsets > 6 {
				t.Fatalf("day %d: %+v", d, st)
			}
			now := e.clock.Now()
			for what, oldest := range map[string]struct {
				at   *time.Time
				keep time.Duration
			}{"change": {st.OldestChange, r.History}, "event": {st.OldestEvent, r.Events}, "deleted": {st.OldestDeleted, r.Deleted}, "copy": {st.OldestCopy, 4 * day}} {
				if oldest.at == nil || now.Sub(*oldest.at) > oldest.keep+time.Minute {
					t.Fatalf("day %d: the oldest %s is of %v, now %v", d, what, oldest.at, now)
				}
			}
			e.clock.advance(day)
		}
		if st.Changes < 5*20 || st.Events < 8*20 || st.Deleted < 3 || st.Copies < 4 || st.ChangeOctets == 0 || st.CopyOctets == 0 {
			t.Errorf("more went than should have: %+v", st)
		}
		if n, err := e.ForeignDeletions(t.Context(), v.ID, time.UnixMilli(0)); err != nil || n < 7 || n > 8 {
			t.Errorf("%d foreign deletions, %v", n, err)
		}
		if all, _, err := e.Replicas(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("%d replicas, %v", len(all), err)
		}
		// The feed is cut behind the last thousand, past which readers begin anew.
		if st.FeedFrom != 1 {
			t.Errorf("the feed begins at %d of %d", st.FeedFrom, st.Feed)
		}
		// IXFR goes as far back as is kept.
		if d, err := e.Deltas(t.Context(), z.Edition.ID, z.Edition.Serial-90, z.Edition.Serial, 1<<30); err != nil || len(d) != 90 {
			t.Errorf("%d changes, %v", len(d), err)
		}
		if d, err := e.Deltas(t.Context(), z.Edition.ID, z.Edition.Serial-200, z.Edition.Serial, 1<<30); err != nil || d != nil {
			t.Errorf("%d changes from before what is kept, %v", len(d), err)
		}
		// The names of the zones that are purged still have their last serial.
		if last, err := e.LastSerial(t.Context(), name("d0.example.")); err != nil || last == nil || *last != 1 {
			t.Errorf("last serial %v, %v", last, err)
		}
	},
	"the feed is kept for its time and for who has not read it": func(t *testing.T, e *env) {
		many := func(n int) {
			var c fleet.Commit
			for i := range n {
				c.Creates = append(c.Creates, newZone(content(t, fmt.Sprintf("z%d-%d.example.", i, e.clock.Now().UnixNano()), 1, 0)))
			}
			e.commit(c)
		}
		many(1200)
		e.clock.advance(10 * day)
		many(1100)
		head, _ := e.Head(t.Context())
		r := fleet.Retention{Feed: day}
		e.expire(r)
		if st := e.status(); st.FeedFrom != 1 {
			t.Fatalf("the keeper has read nothing, and the feed begins at %d", st.FeedFrom)
		}
		if err := e.SetCursor(t.Context(), "keeper", head, fleet.Lease{}); err != nil {
			t.Fatal(err)
		}
		e.expire(r)
		if st := e.status(); st.FeedFrom != 1201 {
			t.Fatalf("the feed begins at %d", st.FeedFrom)
		}
		if _, err := e.Feed(t.Context(), 1199, 1); !errors.Is(err, fleet.ErrFeedGone) {
			t.Errorf("what is gone: %v", err)
		}
		if rest, err := e.Feed(t.Context(), 1200, 2000); err != nil || len(rest) != 1100 {
			t.Errorf("%d entries, %v", len(rest), err)
		}
	},
	"nothing goes that is kept for ever, or young": func(t *testing.T, e *env) {
		p := e.pool("eu")
		e.server("ns1", p)
		z := e.change(e.create(content(t, "a.example.", 1, 3), p), 4)
		gone := e.create(content(t, "b.example.", 1, 3), p)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: gone, Delete: true}}})
		before := e.status()
		e.clock.advance(10 * 365 * day)
		e.expire(fleet.Retention{})
		e.clock.advance(-10 * 365 * day)
		e.expire(fleet.Retention{Deleted: day, History: day, Events: day, Feed: day})
		after := e.status()
		before.Octets, after.Octets = 0, 0
		if fmt.Sprint(before.Changes, before.Events, before.Deleted, before.FeedFrom) != fmt.Sprint(after.Changes, after.Events, after.Deleted, after.FeedFrom) {
			t.Errorf("%+v, before %+v", after, before)
		}
		if d, err := e.Deltas(t.Context(), z.Edition.ID, zone.Serial(1), 2, 1<<20); err != nil || len(d) != 1 {
			t.Errorf("%v, %v", d, err)
		}
	},
	"versions go back as far as changes are kept, and events say what they did for longer": func(t *testing.T, e *env) {
		z := e.create(content(t, "a.example.", 1, 3), e.pool("eu"))
		for i := range 3 {
			z = e.change(z, 4+i%2)
		}
		e.clock.advance(6 * day)
		z = e.change(z, 9)
		serials := func() (out []zone.Serial) {
			versions, err := e.Versions(t.Context(), z.Edition.ID)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range versions {
				if out = append(out, v.Serial); v.Whole != (i < len(versions)-1) {
					t.Errorf("version %+v is number %d of %d", v, i, len(versions))
				}
			}
			return out
		}
		if got := serials(); !slices.Equal(got, []zone.Serial{5, 4, 3, 2, 1}) {
			t.Fatalf("versions %v", got)
		}
		d, err := e.Delta(t.Context(), z.Edition.ID, 5)
		if err != nil || d.From() != 4 || d.To() != 5 || len(d.Added) != 5 {
			t.Fatalf("delta %+v, %v", d, err)
		}
		e.expire(fleet.Retention{Deleted: 30 * day, History: 5 * day, Events: 30 * day, Feed: 30 * day})
		if got := serials(); !slices.Equal(got, []zone.Serial{5, 4}) {
			t.Fatalf("versions %v", got)
		}
		if _, err := e.Delta(t.Context(), z.Edition.ID, 4); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("an expired change: %v", err)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{Zone: z.Name, Database: true})
		if err != nil || len(events) != 5 {
			t.Fatalf("events %+v, %v", events, err)
		}
		if ev := events[2]; *ev.From != 2 || *ev.Serial != 3 || *ev.Added != 1 || *ev.Removed != 0 || ev.ZoneID != z.ID {
			t.Errorf("event %+v", ev)
		}
		if events, err := e.Events(t.Context(), fleet.EventFilter{Zone: z.Name, Since: e.clock.Now().Add(-day)}); err != nil || len(events) != 1 {
			t.Errorf("since: %+v, %v", events, err)
		}
	},
}

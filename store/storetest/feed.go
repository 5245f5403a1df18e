package storetest

import (
	"errors"
	"fmt"
	"testing"

	"dnsctl/fleet"
)

// feed reads the whole feed in pieces and fails unless it has no gaps.
func (e *env) feed() []fleet.FeedEntry {
	e.t.Helper()
	var all []fleet.FeedEntry
	for {
		after := int64(len(all))
		piece, err := e.Feed(e.t.Context(), after, 3)
		if err != nil {
			e.t.Fatal(err)
		}
		if len(piece) == 0 {
			return all
		}
		for i, f := range piece {
			if f.Pos != after+1+int64(i) || len(f.ID) != 32 {
				e.t.Fatalf("entry %+v after %d", f, after)
			}
		}
		all = append(all, piece...)
	}
}

var feedTests = map[string]func(*testing.T, *env){
	"every change has its entry": func(t *testing.T, e *env) {
		p := e.pool("eu")
		z := e.create(content(t, "Example.org.", 1, 1), p)
		z = e.change(z, 2)
		e.delete(z, false)
		if err := e.undelete(e.zone("example.org."), 3); err != nil {
			t.Fatal(err)
		}
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: z, SerialStyle: "date"}}}) // changes nothing that is served
		e.server("ns1", p)
		var got []string
		for _, f := range e.feed() {
			got = append(got, fmt.Sprint(f.Kind, " ", f.Serial))
			if f.Kind != fleet.FeedConfig && (f.Zone != z.Name || f.ZoneID != z.ID || f.Edition != z.Edition.ID || f.ZoneKind != fleet.Ordinary || f.Version == 0) {
				t.Errorf("entry %+v", f)
			}
		}
		if want := "[config 0 member 1 content 2 member 2 content 3 member 3 config 0]"; fmt.Sprint(got) != want {
			t.Fatalf("feed is %v", got)
		}
	},
	"an entry is found by its position": func(t *testing.T, e *env) {
		e.pool("eu")
		f, err := e.FeedEntry(t.Context(), 1)
		if err != nil || f.Kind != fleet.FeedConfig || f.At.IsZero() {
			t.Fatalf("entry %+v, %v", f, err)
		}
		for _, pos := range []int64{0, 2, -1} {
			if _, err := e.FeedEntry(t.Context(), pos); !errors.Is(err, fleet.ErrNotFound) {
				t.Errorf("entry %d: %v", pos, err)
			}
		}
	},
	"compacting keeps one entry in a thousand, those of markers, and the last": func(t *testing.T, e *env) {
		v := e.server("ns1")
		for batch := range 10 {
			var c fleet.Commit
			for i := range 350 {
				c.Creates = append(c.Creates, newZone(content(t, fmt.Sprintf("z%d-%d.example.", batch, i), 1, 0)))
			}
			e.commit(c)
		}
		if err := e.SetMarker(t.Context(), v.ID, 1234, true); err != nil {
			t.Fatal(err)
		}
		kept, err := e.FeedEntry(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.CompactFeed(t.Context(), 1<<40); err != nil {
			t.Fatal(err)
		}
		if again, err := e.FeedEntry(t.Context(), 1000); err != nil || again.ID != kept.ID {
			t.Errorf("entry 1000: %+v, %v", again, err)
		}
		if _, err := e.FeedEntry(t.Context(), 1234); err != nil {
			t.Errorf("entry of a marker: %v", err)
		}
		if _, err := e.FeedEntry(t.Context(), 1235); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("entry 1235: %v", err)
		}
		head, _ := e.Head(t.Context())
		if head != 3501 {
			t.Fatalf("head %d", head)
		}
		if _, err := e.Feed(t.Context(), head-1001, 10); !errors.Is(err, fleet.ErrFeedGone) {
			t.Errorf("reading what is gone: %v", err)
		}
		if rest, err := e.Feed(t.Context(), head-1000, 5000); err != nil || len(rest) != 1000 {
			t.Errorf("%d entries, %v", len(rest), err)
		}
		if err := e.CompactFeed(t.Context(), 10); err != nil {
			t.Error(err)
		}
	},
}

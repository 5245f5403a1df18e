package store

import (
	"context"
	"fmt"
	"strings"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// edit changes the content of editions.
func (w *commit) edit(ctx context.Context) error {
	if len(w.Edits) == 0 {
		return nil
	}
	editions := make([]edition, 0, len(w.Edits))
	for i, e := range w.Edits {
		ed, err := w.editOne(ctx, len(w.Creates)+i, e)
		if err != nil {
			return err
		}
		editions = append(editions, ed)
	}
	for i, e := range w.Edits {
		if c := w.have[e.Zone.ID]; e.Staged.ID != 0 {
			editions[i].chunked = e.Staged.Chunked
		} else if c.chunked {
			var err error
			if editions[i].chunked, err = w.keepChunks(ctx, c.content, e); err != nil {
				return err
			}
		}
	}
	if err := w.dropRRsets(ctx); err != nil {
		return fmt.Errorf("drop RRsets: %w", err)
	}
	err := w.t.upsert(ctx, "rrsets", rrsetKey, rrsetColumns, func(yield func([]any) bool) {
		for _, e := range w.Edits {
			for row := range rrsetRows(w.have[e.Zone.ID].content, keyed(e.Put)) {
				if !yield(row) {
					return
				}
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write RRsets: %w", err)
	}
	if err := w.writeDeltas(ctx); err != nil {
		return fmt.Errorf("write deltas: %w", err)
	}
	if err := w.t.upsert(ctx, "editions", []string{"id"}, editionColumns, editionRows(editions, w.now)); err != nil {
		return fmt.Errorf("write editions: %w", err)
	}
	return nil
}

// editOne checks one edit and notes what follows from it; i is its event.
func (w *commit) editOne(ctx context.Context, i int, e fleet.Edit) (edition, error) {
	c, err := w.at(e.Zone)
	switch {
	case err != nil:
		return edition{}, err
	case c.edition != e.Zone.Edition.ID:
		return edition{}, fmt.Errorf("zone %q: edition %d: %w", e.Zone.Name, e.Zone.Edition.ID, fleet.ErrNoZone)
	case c.version != e.Base, c.deleted.Valid && !c.undelete:
		return edition{}, fmt.Errorf("zone %q: %w", e.Zone.Name, fleet.ErrConflict)
	case c.purged.Valid:
		return edition{}, fmt.Errorf("zone %q: %w", e.Zone.Name, fleet.ErrPurged)
	}
	soa := newSOA(e)
	serial, err := serialOf(e.Zone.Name, soa)
	if err != nil {
		return edition{}, err
	}
	if !serial.Ahead(c.serial) {
		return edition{}, fmt.Errorf("zone %q: serial %d is not ahead of %d", e.Zone.Name, serial, c.serial)
	}
	if d := e.Delta; d.OldSOA.Data != "" && d.From() != c.serial {
		return edition{}, fmt.Errorf("zone %q: the delta starts at serial %d, the zone is at %d", e.Zone.Name, d.From(), c.serial)
	}
	if e.Staged.ID != 0 {
		if err := w.useStaged(ctx, e.Zone.Name, e.Staged); err != nil {
			return edition{}, err
		}
		if err := w.bury(ctx, c.content); err != nil {
			return edition{}, err
		}
		c.content = e.Staged.ID
	}
	from := c.serial
	c.version++
	c.serial = serial
	removed, added := e.Delta.Records()
	w.event(i, report.Event{Action: "edit", ZoneID: e.Zone.ID, Zone: e.Zone.Name, From: &from, Serial: &serial, Removed: &removed, Added: &added,
		Before: fmt.Sprintf("serial %d", from), Result: fmt.Sprintf("+%d -%d records", added, removed)})
	w.announce(fleet.FeedContent, e.Zone.Name, e.Zone.ID, c)
	return edition{id: c.edition, zone: e.Zone.ID, content: c.content, version: c.version, serial: serial, soa: soa,
		signed: e.Signed, rrsets: e.RRsets, records: e.Records, octets: e.Octets}, nil
}

// newSOA is the SOA after an edit.
func newSOA(e fleet.Edit) zone.RRset {
	if e.Delta.NewSOA.Data != "" {
		return e.Delta.NewSOA
	}
	if e.Staged.ID != 0 {
		return e.Staged.SOA
	}
	for _, set := range e.Put {
		if set.Type == zone.TypeSOA {
			return set
		}
	}
	return zone.RRset{}
}

// bury marks content as dead; Sweep removes it.
func (w *commit) bury(ctx context.Context, content int64) error {
	if _, err := w.t.exec(ctx, `UPDATE contents SET state = 'dead' WHERE id = ?`, content); err != nil {
		return fmt.Errorf("give up content: %w", err)
	}
	return nil
}

// dropRRsets deletes the RRsets that edits drop, many at a time.
func (w *commit) dropRRsets(ctx context.Context) error {
	const piece = 50
	const one = `content_id = ? AND owner = ? AND type = ? AND covers = ?`
	var where []string
	var args []any
	flush := func() error {
		if len(where) == 0 {
			return nil
		}
		_, err := w.t.exec(ctx, `DELETE FROM rrsets WHERE `+strings.Join(where, ` OR `), args...)
		where, args = where[:0], args[:0]
		return err
	}
	for _, e := range w.Edits {
		for _, id := range e.Drop {
			where = append(where, one)
			args = append(args, w.have[e.Zone.ID].content, []byte(id.Owner), int64(id.Type), int64(id.Covers))
			if len(where) == piece {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (w *commit) writeDeltas(ctx context.Context) error {
	return w.s.d.insert(ctx, w.t, "deltas", deltaColumns, func(yield func([]any) bool) {
		for i, e := range w.Edits {
			if e.Delta.OldSOA.Data == "" {
				continue
			}
			c := w.have[e.Zone.ID]
			removed, added := packSide(e.Delta.OldSOA, e.Delta.Removed), packSide(e.Delta.NewSOA, e.Delta.Added)
			row := []any{c.edition, c.version, int64(e.Delta.From()), int64(e.Delta.To()), removed, added, len(removed) + len(added),
				w.eventID[len(w.Creates)+i], w.now, e.Epoch}
			if !yield(row) {
				return
			}
		}
	})
}

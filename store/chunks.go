package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// Chunks are a copy of the RRsets of large contents (see chunk). The import of
// such a content writes them, and an edit writes those again that it touches, in
// its transaction. editions.chunked is the version that they are of: who changes
// an edition and does not keep them leaves it behind, and they count no more
// until Rechunk has made them again.

// selectChunks is one statement, which sees one state of the database without a
// transaction.
const selectChunks = `SELECT e.version, e.rrsets, k.data FROM editions e JOIN zones z ON z.id = e.zone_id JOIN chunks k ON k.content_id = e.content_id
	WHERE e.id = ? AND e.chunked = e.version AND z.purged_at IS NULL ORDER BY k.first`

// errNoChunks says that an edition has no chunks that are current.
var errNoChunks = errors.New("no chunks")

// loadChunks is load from chunks: errNoChunks where there are none, errChunk
// where they are damaged.
func (s *Store) loadChunks(ctx context.Context, edition int64, read func(int64, iter.Seq[zone.RRset])) (*zone.Snapshot, int64, error) {
	if _, bad := s.badChunks.Load(edition); bad {
		return nil, 0, errNoChunks
	}
	stmt, err := s.prepared(ctx, selectChunks) //nolint:sqlclosecheck // the store keeps it until it is closed
	if err != nil {
		return nil, 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	// Reading from the database takes as long as making RRsets of what was read, so
	// one is done beside the other.
	chunks := make(chan chunkRow, 8)
	go readChunkRows(ctx, stmt, edition, chunks)
	defer func() {
		stop()
		for range chunks { // until it has ended
		}
	}()
	var b *zone.Builder
	var apex, last zone.Key
	var version int64
	var rrsets int
	for c := range chunks {
		if c.err != nil {
			return nil, 0, c.err
		}
		version, rrsets = c.version, c.rrsets
		if b == nil {
			if b, apex, err = chunkedZone(c); err != nil {
				return nil, 0, err
			}
		}
		given := b.Len()
		err := readSets(c.n, c.sets, func(k zone.Key, set zone.RRset) error {
			b.AddKeyed(k, set)
			last = k
			return nil
		})
		switch {
		case err != nil:
			return nil, 0, err
		case !b.Sorted() || !last.Under(apex): // between the apex and a name below it there is nothing else
			return nil, 0, fmt.Errorf("%w: it is out of order", errChunk)
		case b.Len() > given:
			read(version, b.From(given))
		}
	}
	switch {
	case ctx.Err() != nil: // it may have ended the reading
		return nil, 0, ctx.Err()
	case b == nil:
		return nil, 0, errNoChunks
	case b.Len() != rrsets:
		return nil, 0, fmt.Errorf("%w: %d RRsets, the zone has %d", errChunk, b.Len(), rrsets)
	}
	snap, err := b.Build()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errChunk, err)
	}
	return snap, version, nil
}

// chunkRow is a row of selectChunks, its chunk opened; or why there is none.
type chunkRow struct {
	version int64
	rrsets  int // of the whole zone
	n       int
	sets    string
	err     error
}

// readChunkRows reads the rows of selectChunks until there are no more, one cannot
// be read, or ctx ends; then it closes the channel.
func readChunkRows(ctx context.Context, stmt *sql.Stmt, edition int64, to chan<- chunkRow) {
	defer close(to)
	rows, err := stmt.QueryContext(ctx, edition)
	if err != nil {
		to <- chunkRow{err: err} // there is room
		return
	}
	defer rows.Close()
	var data sql.RawBytes
	for more := true; more; {
		var c chunkRow
		if more = rows.Next(); more {
			if c.err = rows.Scan(&c.version, &c.rrsets, &data); c.err == nil {
				c.n, c.sets, c.err = openChunk(data)
			}
			more = c.err == nil
		} else if c.err = rows.Err(); c.err == nil {
			return
		}
		select {
		case to <- c:
		case <-ctx.Done():
			return
		}
	}
}

// chunkedZone begins a zone with its first chunk, which has the SOA.
func chunkedZone(c chunkRow) (b *zone.Builder, apex zone.Key, err error) {
	err = readSets(c.n, c.sets, func(k zone.Key, set zone.RRset) error {
		if set.Type == zone.TypeSOA {
			b, apex = zone.NewBuilder(set.Owner, c.rrsets), k
		}
		return nil
	})
	if err == nil && b == nil {
		err = fmt.Errorf("%w: there is no SOA in the first one", errChunk)
	}
	return b, apex, err
}

// giveUpChunks notes that an edition's chunks are not to be read: here, and where
// the database can be written for all others, until they are made again.
func (s *Store) giveUpChunks(ctx context.Context, edition int64, why error) {
	s.log.Error("the chunks of a zone cannot be used, its rows are read instead", "edition", edition, "err", why)
	s.badChunks.Store(edition, true)
	err := s.change(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE editions SET chunked = 0 WHERE id = ?`, edition)
		return err
	})
	if err != nil {
		s.log.Warn("the chunks of a zone cannot be given up in the database", "edition", edition, "err", err)
	}
}

// Chunks says how many current chunks are kept of an edition; 0 when it is read
// from rows.
func (s *Store) Chunks(ctx context.Context, edition int64) (n int, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.get(ctx, &n, `SELECT count(*) FROM editions e JOIN chunks k ON k.content_id = e.content_id WHERE e.id = ? AND e.chunked = e.version`, edition)
	})
	return n, err
}

// mostChunks is how many chunks an edit writes again; one that touches more
// leaves that to Rechunk.
const mostChunks = 64

// keepChunks brings the chunks of a content to what an edit makes of it. False
// says that they are given up.
func (w *commit) keepChunks(ctx context.Context, content int64, e fleet.Edit) (bool, error) {
	changes := make([]change, 0, len(e.Put)+len(e.Drop))
	for _, set := range e.Put {
		changes = append(changes, change{set.ID(), set})
	}
	for _, id := range e.Drop {
		changes = append(changes, change{id: id})
	}
	slices.SortFunc(changes, func(a, b change) int { return a.id.Compare(b.id) })
	for n := 0; len(changes) > 0; n++ {
		if n == mostChunks {
			return false, nil
		}
		mine, err := w.keepChunk(ctx, content, changes)
		if errors.Is(err, errChunk) || errors.Is(err, sql.ErrNoRows) {
			w.s.log.Error("a chunk cannot be changed, the zone's are given up", "zone", e.Zone.Name.String(), "err", err)
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("write chunks: %w", err)
		}
		changes = changes[mine:]
	}
	return true, nil
}

// change is what becomes of one RRset; without data it goes.
type change struct {
	id  zone.ID
	set zone.RRset
}

// keepChunk carries out those changes that are in the first one's chunk, and
// returns how many they are.
func (w *commit) keepChunk(ctx context.Context, content int64, changes []change) (int, error) {
	var first, data, next []byte
	err := w.t.row(ctx, `SELECT first, data FROM chunks WHERE content_id = ? AND first <= ? ORDER BY first DESC LIMIT 1`, content, []byte(changes[0].id.Owner)).Scan(&first, &data)
	if err != nil {
		return 0, err
	}
	err = w.t.get(ctx, &next, `SELECT first FROM chunks WHERE content_id = ? AND first > ? ORDER BY first LIMIT 1`, content, first)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	n := len(changes)
	if err == nil {
		n, _ = slices.BinarySearchFunc(changes, zone.Key(next), func(c change, k zone.Key) int { return c.id.Compare(zone.ID{Owner: k}) })
	}
	merged, err := merge(data, changes[:n])
	if err != nil {
		return 0, err
	}
	if _, err := w.t.exec(ctx, `DELETE FROM chunks WHERE content_id = ? AND first = ?`, content, first); err != nil {
		return 0, err
	}
	return n, w.s.d.insert(ctx, w.t, "chunks", chunkColumns, func(yield func([]any) bool) {
		from := zone.Key(first) // the chunk stays that of all owners from there on
		for k, data := range chunked(each(merged), "") {
			if from != "" {
				k, from = from, ""
			}
			if !yield([]any{content, []byte(k), slices.Clone(data)}) {
				return
			}
		}
	})
}

var chunkColumns = []string{"content_id", "first", "data"}

func each(sets []rrsetOf) iter.Seq2[zone.Key, zone.RRset] {
	return func(yield func(zone.Key, zone.RRset) bool) {
		for _, s := range sets {
			if !yield(s.key, s.set) {
				return
			}
		}
	}
}

// merge is the RRsets of a chunk after changes, which are in canonical order.
func merge(data []byte, changes []change) ([]rrsetOf, error) {
	var out []rrsetOf
	take := func() {
		if c := changes[0]; c.set.Data != "" {
			out = append(out, rrsetOf{c.id.Owner, c.set})
		}
		changes = changes[1:]
	}
	err := readChunk(data, func(k zone.Key, set zone.RRset) error {
		id := zone.ID{Owner: k, Type: set.Type, Covers: set.Covers}
		for len(changes) > 0 && changes[0].id.Compare(id) < 0 {
			take()
		}
		if len(changes) > 0 && changes[0].id == id {
			take()
			return nil
		}
		out = append(out, rrsetOf{k, set})
		return nil
	})
	for len(changes) > 0 {
		take()
	}
	return out, err
}

// Rechunk makes the chunks of large zones that have none which are current, in
// short transactions. It may be run at any time; what is edited meanwhile is left
// to the next time.
func (s *Store) Rechunk(ctx context.Context) error {
	var editions []int64
	err := s.view(ctx, func(t *tx) error {
		editions = nil
		return t.all(ctx, &editions, `SELECT e.id FROM editions e JOIN zones z ON z.id = e.zone_id
			WHERE e.rrsets >= ? AND e.chunked <> e.version AND z.deleted_at IS NULL ORDER BY e.id`, chunksFrom)
	})
	for _, id := range editions {
		if err == nil {
			err = s.rechunk(ctx, id)
		}
		if errors.Is(err, errNoChunks) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("make chunks: %w", err)
	}
	return nil
}

// rechunk makes the chunks of one edition; errNoChunks when it is changed, or
// somebody else makes them, meanwhile.
func (s *Store) rechunk(ctx context.Context, edition int64) error {
	token := -1 - rand.Int64N(1<<62)
	var content, version int64
	var apex zone.Key
	err := s.change(ctx, func(t *tx) error {
		c, err := t.contentOf(ctx, edition)
		if err != nil {
			return err
		}
		content, version, apex = c.id, c.version, c.apex.Key()
		_, err = t.exec(ctx, `UPDATE editions SET chunked = ? WHERE id = ? AND version = ?`, token, edition, version)
		return err
	})
	if err != nil {
		return err
	}
	mine := func(ctx context.Context, t *tx) error {
		var n int64
		err := t.get(ctx, &n, `SELECT chunked FROM editions WHERE id = ? AND version = ?`+s.d.forUpdate(), edition, version)
		if errors.Is(err, sql.ErrNoRows) || err == nil && n != token {
			return errNoChunks
		}
		return err
	}
	for more := true; more; {
		err := s.change(ctx, func(t *tx) error {
			if err := mine(ctx, t); err != nil {
				return err
			}
			var err error
			more, err = t.dropChunks(ctx, content)
			return err
		})
		if err != nil {
			return err
		}
	}
	sets := func(yield func(zone.Key, zone.RRset) bool) {
		stop := errors.New("stop")
		cerr := s.Content(ctx, edition, func(k zone.Key, set zone.RRset) error {
			if !yield(k, set) {
				return stop
			}
			return nil
		})
		if !errors.Is(cerr, stop) {
			err = cerr
		}
	}
	if werr := s.inTurns(ctx, "chunks", chunkColumns, chunkRows(content, sets, apex), mine); werr != nil {
		return werr
	}
	if err != nil {
		return err
	}
	return s.change(ctx, func(t *tx) error {
		if err := mine(ctx, t); err != nil {
			return err
		}
		s.badChunks.Delete(edition)
		_, err := t.exec(ctx, `UPDATE editions SET chunked = version WHERE id = ?`, edition)
		return err
	})
}

// chunkRows yields chunks as rows of chunkColumns. A row is used again.
func chunkRows(content int64, sets iter.Seq2[zone.Key, zone.RRset], apex zone.Key) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		row := []any{content, nil, nil}
		for first, data := range chunked(sets, apex) {
			row[1], row[2] = []byte(first), slices.Clone(data)
			if !yield(row) {
				return
			}
		}
	}
}

// dropSome is how many chunks one step of a sweep deletes.
const dropSome = 500

// dropChunks deletes some of a content's chunks; more says that there are others.
func (t *tx) dropChunks(ctx context.Context, content int64) (more bool, err error) {
	n, err := t.exec(ctx, `DELETE FROM chunks WHERE content_id = ? AND first IN (SELECT first FROM chunks WHERE content_id = ? ORDER BY first LIMIT ?)`, content, content, dropSome)
	return n == dropSome, err
}

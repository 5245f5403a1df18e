package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/secret"
	"dnsctl/store"
	"dnsctl/testbed"
	"dnsctl/zone"
)

const (
	receivers  = 4
	writeBatch = 200  // zones of one commit, as many as zone import puts into one
	writeRate  = 2000 // zones a second where they are offered at a rate
	writeTime  = 5    // samples' time that a rate is offered for
)

// committed is a version that is in the database.
type committed struct {
	zone   string
	serial zone.Serial
	at     time.Time // when its commit had returned
}

// writers is what changes zones, and who is told of it.
type writers struct {
	b      *bench
	house  *house
	store  *store.Store
	editor *edit.Editor
	to     []*receiver
	rounds int
}

// measureWrite has zones changed by this process, with the packages that
// zone import and record set use, until four receivers have NOTIFY of each.
func measureWrite(ctx context.Context, b *bench, name string) {
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, name)
		h.importSmall(ctx)
		s, err := store.Open(ctx, h.url, store.Options{})
		in.must("open the store", err)
		defer s.Close()
		w := &writers{b: b, house: h, store: s, editor: &edit.Editor{Store: s, Now: time.Now}}
		for i := range receivers {
			r := receive(in, h.addr, h.key)
			w.to = append(w.to, r)
			h.dnsctl(ctx, "server", "add", fmt.Sprintf("ns%d", i+1), "--new", "--type", "bind", "--address", r.addr,
				"--control", "rndc://"+testbed.FreeAddr(in), "--stats", "http://"+testbed.FreeAddr(in))
		}
		in.must("write the markers", w.markers(ctx, s, filepath.Join(h.dir, "identity.age")))
		h.start(ctx)
		in.must("wait for the first NOTIFY", w.warmUp(ctx))
		t := b.table(name)
		for range b.repeat {
			w.slowly(ctx, t)
			w.batches(ctx, t, fmt.Sprintf("write/%d zones/s", writeRate), writeRate)
			w.batches(ctx, t, "write/changed zones", 0)
		}
		t.done()
	})
}

// markers makes the marker zone of every server. Its control channel is not
// there; mdns tells a server all the same when that shows a sound marker.
func (w *writers) markers(ctx context.Context, s *store.Store, identity string) error {
	recipient, err := s.Recipient(ctx)
	if err != nil {
		return err
	}
	sealer, err := secret.NewAge(recipient, secret.AgeOptions{File: identity})
	if err != nil {
		return err
	}
	servers, err := s.Servers(ctx)
	if err != nil {
		return err
	}
	for _, srv := range servers {
		id, err := s.Identity(ctx)
		if err != nil {
			return err
		}
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		entry, err := s.FeedEntry(ctx, head)
		if err != nil {
			return err
		}
		txt, err := fleet.Mark{Store: id.Store, Epoch: id.Epoch, Server: srv.ID, Pos: head, Entry: entry.ID}.TXT(ctx, sealer)
		if err != nil {
			return err
		}
		var pools []int64
		for _, p := range srv.Pools {
			pools = append(pools, p.ID)
		}
		if _, err := w.editor.Marker(ctx, srv.Marker, txt, pools, edit.Meta{Command: "bench"}); err != nil {
			return err
		}
	}
	return nil
}

// warmUp changes one zone until all receivers are told of it.
func (w *writers) warmUp(ctx context.Context) error {
	end := time.Now().Add(2 * time.Minute)
	for time.Now().Before(end) {
		c, err := w.one(ctx, 0)
		if err != nil {
			return err
		}
		if left := w.await(ctx, []committed{c}, 2*time.Second); left == 0 {
			return nil
		}
	}
	return fmt.Errorf("not every receiver was told within two minutes")
}

// one sets an address of small zone i.
func (w *writers) one(ctx context.Context, i int) (committed, error) {
	w.rounds++
	apex := zone.MustParseName(smallZone(i) + ".")
	ops := []edit.Op{{Verb: edit.Set, Owner: zone.MustParseName("www." + apex.String()), Type: zone.TypeA, Data: []string{string([]byte{198, 19, byte(w.rounds >> 8), byte(w.rounds)})}}}
	res, err := w.editor.Records(ctx, apex, ops, edit.Meta{Command: "bench"})
	return committed{apex.String(), res.Serial, time.Now()}, err
}

// slowly changes zones one by one, ten a second.
func (w *writers) slowly(ctx context.Context, t *table) {
	next := time.NewTicker(changeEvery)
	defer next.Stop()
	var done []committed
	for i := range w.b.changes {
		<-next.C
		c, err := w.one(ctx, i%w.b.zones)
		w.b.bed.must("edit a record", err)
		done = append(done, c)
	}
	waits := w.waits(ctx, done)
	t.add("write/commit to NOTIFY at 10/s p50", "ms", "", percentile(waits, 0.5))
	t.add("write/commit to NOTIFY at 10/s p99", "ms", "<= 20", percentile(waits, 0.99))
}

// batches changes all zones, over and over, some at once: at a rate, or as fast
// as it goes when the rate is 0.
func (w *writers) batches(ctx context.Context, t *table, name string, rate int) {
	for _, r := range w.to {
		r.forget()
	}
	var done []committed
	since, begin := usedBy(w.house), time.Now()
	for batch := 0; time.Since(begin) < writeTime*w.b.sample; batch++ {
		if rate > 0 {
			due := begin.Add(time.Duration(batch) * time.Second * writeBatch / time.Duration(rate))
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(due)):
			}
		}
		some, err := w.batch(ctx, batch)
		w.b.bed.must("change zones", err)
		done = append(done, some...)
	}
	wall := time.Since(begin).Seconds()
	waits := w.waits(ctx, done)
	all := time.Since(begin).Seconds()
	if rate > 0 {
		t.add(name+" committed", "zones/s", "", float64(len(done))/wall)
		t.add(name+", commit to NOTIFY p50", "ms", "", percentile(waits, 0.5))
		t.add(name+", commit to NOTIFY p99", "ms", "", percentile(waits, 0.99))
		return
	}
	t.add(name+" committed", "zones/s", "", float64(len(done))/wall)
	t.add(name+" told to all", "zones/s", ">= 2000", float64(len(done))/all)
	t.add(name+", behind at the end", "s", "", all-wall)
	w.b.bed.must("wait until the leader has settled all changes", w.settled(ctx))
	t.add(name+" settled", "zones/s", "", float64(len(done))/time.Since(begin).Seconds())
	t.spent(w.house, name, "us/zone", since, float64(len(done)), 1e6)
}

// batch changes the next zones in one commit.
func (w *writers) batch(ctx context.Context, n int) (done []committed, err error) {
	w.rounds++
	count := min(writeBatch, w.b.zones)
	sources := make([]edit.Source, count)
	for i := range sources {
		sources[i] = smallSource((n*count+i)%w.b.zones, fmt.Sprintf("bench TXT %d\n", w.rounds))
	}
	err = w.editor.Import(ctx, sources, edit.ImportOptions{}, edit.Meta{Command: "bench"}, func(src edit.Source, res edit.Result, e error) {
		if e != nil {
			err = e
			return
		}
		done = append(done, committed{res.Zone.String(), res.Serial, time.Now()})
	})
	return done, err
}

// settled waits until the leader's stored cursor is past all changes: it has seen
// them on every receiver. The cursor is stored once a second.
func (w *writers) settled(ctx context.Context) error {
	head, err := w.store.Head(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("not within two minutes"))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		switch pos, err := w.store.Cursor(ctx, "keeper"); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || pos >= head:
			return err
		}
		<-tick.C
	}
}

// waits is how long each receiver waited for each version, in milliseconds.
func (w *writers) waits(ctx context.Context, done []committed) (ms []float64) {
	if left := w.await(ctx, done, 2*time.Minute); left > 0 {
		w.b.bed.Fatalf("%d of %d changes were not told to all receivers within two minutes", left, len(done))
	}
	for _, r := range w.to {
		for _, c := range done {
			at, _ := r.heard(c.zone, c.serial)
			ms = append(ms, max(at.Sub(c.at).Seconds()*1000, 0))
		}
	}
	return ms
}

// await waits until all receivers were told of all versions, and says how many
// of these were not in time.
func (w *writers) await(ctx context.Context, done []committed, patience time.Duration) (left int) {
	end := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for len(done) > 0 && w.all(done[0]) {
			done = done[1:]
		}
		if len(done) == 0 || time.Now().After(end) || ctx.Err() != nil {
			return len(done)
		}
		<-tick.C
	}
}

func (w *writers) all(c committed) bool {
	for _, r := range w.to {
		if _, ok := r.heard(c.zone, c.serial); !ok {
			return false
		}
	}
	return true
}

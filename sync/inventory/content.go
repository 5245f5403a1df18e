package inventory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

const (
	contentRoom   = 4 << 20 // RRsets being compared at once by all sessions of a Fleet; 32 octets each
	contentAtOnce = 4       // zones of one server
	contentTries  = 5       // of a zone that changes meanwhile
	contentPause  = 300 * time.Millisecond
	namedRRsets   = 3 // how many differing RRsets of a kind are named
)

// contents compares the content of zones that are otherwise in agreement with
// what the nameserver transfers.
func (l *look) contents(ctx context.Context) error {
	var chosen []*listed
	for i := range l.list.zones {
		e := &l.list.zones[i]
		w, h := l.rows[e.key], l.have[e.key]
		if (l.o.Deep || l.o.Closely[e.key] || l.odd[e.key]) && (e.stand == agreed || w != nil && h != nil && l.in.Agrees(w, h)) {
			chosen = append(chosen, e)
		}
	}
	var mu sync.Mutex                    // of the driver, which belongs to one goroutine, and of what follows
	found := make(map[zone.Key]zone.SOA) // what was compared with
	done := 0
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(contentAtOnce)
	for _, e := range chosen {
		group.Go(func() error {
			c, err := l.compare(all, e.name(), &mu)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			l.progress("contents", done, len(chosen), 100)
			moved := c.Unknown == "" && c.have != (zone.SOA{})
			if e.stand == agreed {
				if c.Content == (plan.Content{}) && (!moved || c.want.Serial == c.have.Serial) {
					return nil
				}
				l.keep(e, l.list.state(e), plan.Probe{Asked: true, Serves: true, Serial: e.want})
			}
			h := l.have[e.key]
			h.Content = c.Content
			if moved { // it is classed by its serials as they are now
				h.Probe.Serial, h.Probe.SOA = c.have.Serial, c.have.Rdata()
				found[e.key] = c.want
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := l.fetch(ctx); err != nil {
		return err
	}
	for k, soa := range found {
		if w := l.rows[k]; w != nil {
			w.Serial, w.SOA = soa.Serial, soa.Rdata()
		}
	}
	return nil
}

// Compare compares the content of one zone that the server should have.
func (s *Session) Compare(ctx context.Context, name zone.Name) (plan.Content, error) {
	c, err := s.compare(ctx, name, new(sync.Mutex))
	if err == nil && c.moved {
		c.Unknown = alwaysMoving
	}
	return c.Content, err
}

// compared is what comparing found.
type compared struct {
	plan.Content
	moved      bool // the serials were never the same
	want, have zone.SOA
}

// compare looks again when a serial moved while it did: content of two serials
// differs, of course.
func (s *Session) compare(ctx context.Context, name zone.Name, driver *sync.Mutex) (compared, error) {
	var c compared
	for try := range contentTries {
		if try > 0 {
			if err := Pause(ctx, contentPause); err != nil {
				return c, err
			}
		}
		z, err := s.f.Store.Zone(ctx, name)
		switch {
		case errors.Is(err, fleet.ErrNoZone) || err == nil && z.Deleted != nil:
			return compared{}, nil // deleted meanwhile: there is nothing to compare it with
		case err != nil:
			return c, fmt.Errorf("read zone %q: %w", name, err)
		}
		if c, err = s.compareOnce(ctx, name, z.Edition, driver); err != nil || !c.moved {
			return c, err
		}
	}
	// What the database has by now: the serial that was compared with is old.
	z, err := s.f.Store.Zone(ctx, name)
	switch {
	case errors.Is(err, fleet.ErrNoZone) || err == nil && z.Deleted != nil:
		return compared{}, nil
	case err != nil:
		return c, fmt.Errorf("read zone %q: %w", name, err)
	}
	if c.want, err = zone.ParseSOA(z.Edition.SOA.Data.First()); err == nil && c.want.Serial == c.have.Serial {
		c.moved, c.Unknown = false, alwaysMoving
	}
	return c, err
}

const alwaysMoving = "it changes all the time"

func (s *Session) compareOnce(ctx context.Context, name zone.Name, e fleet.Edition, driver *sync.Mutex) (c compared, err error) {
	s.f.once.Do(func() { s.f.room = semaphore.NewWeighted(contentRoom) })
	room := int64(min(max(e.RRsets, 1), contentRoom))
	if err := s.f.room.Acquire(ctx, room); err != nil {
		return c, err
	}
	defer s.f.room.Release(room)
	d := &digest{seed: maphash.MakeSeed(), rows: make([]row, 0, e.RRsets)}
	err = s.f.Store.Content(ctx, e.ID, func(k zone.Key, set zone.RRset) error {
		if set.Type == zone.TypeSOA {
			if c.want, err = zone.ParseSOA(set.Data.First()); err != nil {
				return err
			}
		}
		d.want(k, set)
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("read the content of zone %q: %w", name, err)
	}
	if c.want == (zone.SOA{}) { // its content went since
		c.moved = true
		return c, nil
	}
	d.sort()
	var bad error
	put := func(k zone.Key, set zone.RRset) {
		if set.Type == zone.TypeSOA {
			c.have, bad = zone.ParseSOA(set.Data.First())
		}
		d.got(k, set)
	}
	why, err := s.walk(ctx, name, driver, d, put)
	if err != nil || why != "" {
		c.Unknown = why
		return c, err
	}
	if bad != nil {
		c.Unknown = bad.Error()
		return c, nil
	}
	if c.want.Serial != c.have.Serial {
		c.moved = true
		return c, nil
	}
	c.Differs, c.Limit, err = s.difference(ctx, e, d)
	return c, err
}

// walk gets a zone's content from the server: by transfer, or where that fails as
// a copy over the control channel. why says why it cannot be had.
func (s *Session) walk(ctx context.Context, name zone.Name, driver *sync.Mutex, d *digest, put func(zone.Key, zone.RRset)) (why string, err error) {
	denied := s.transfer(name, func(q Question) error { return s.f.DNS.Walk(ctx, q, put) })
	if denied == nil || ctx.Err() != nil {
		return "", ctx.Err()
	}
	d.forget()
	driver.Lock()
	defer driver.Unlock()
	ex, err := s.Driver.Export(ctx, name)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return fmt.Sprintf("%v; nor can it be copied: %v", denied, err), nil
	case ex.Content == nil:
		return fmt.Sprintf("%v; a copy came without content", denied), nil
	}
	for set := range ex.Content.All() {
		put(set.Owner.Key(), set)
	}
	return "", nil
}

// difference says in words what differs, "" when nothing does that matters; limit
// when all of it is what servers of this kind make of such content.
func (s *Session) difference(ctx context.Context, e fleet.Edition, d *digest) (what, limit string, err error) {
	if d.agrees() {
		return "", "", nil
	}
	// Names and records were not kept: the database is read again for what differs.
	missing, other := kind{text: "missing"}, kind{text: "with other records or TTL"}
	alterer, _ := s.Type.(nameserver.Alterer)
	var limits []string
	fixable, signed := d.extra.n, false // the apex comes first, and its signatures before its keys
	err = s.f.Store.Content(ctx, e.ID, func(k zone.Key, set zone.RRset) error {
		signed = signed || set.Type == zone.TypeRRSIG
		i, there := d.find(d.id(k, set))
		if !there || d.rows[i].seen && d.rows[i].want == d.rows[i].got {
			return nil
		}
		if alterer != nil {
			how, harmless := alterer.Alters(set, signed)
			switch {
			case harmless && d.rows[i].seen:
				return nil
			case how == "" || harmless:
				fixable++
			case !slices.Contains(limits, how):
				limits = append(limits, how)
			}
		} else {
			fixable++
		}
		if d.rows[i].seen {
			other.add(set)
		} else {
			missing.add(set)
		}
		return nil
	})
	if err != nil {
		return "", "", fmt.Errorf("read the content of the zone again: %w", err)
	}
	d.extra.text = "not in the database"
	var parts []string
	for _, k := range []kind{missing, other, d.extra} {
		if k.n > 0 {
			parts = append(parts, k.String())
		}
	}
	if fixable == 0 {
		limit = strings.Join(limits, "; ")
	}
	return strings.Join(parts, "; "), limit, nil
}

// Pause waits, or ends with ctx and its error.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

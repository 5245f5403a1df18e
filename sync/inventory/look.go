package inventory

import (
	"context"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"maps"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/plan"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// LookOptions say how closely to look.
type LookOptions struct {
	Deep     bool                  // primaries, keys and content of every zone
	Brief    bool                  // zones in agreement are only counted, unless they are looked at closely
	Again    bool                  // a further look of one run, which need not read every zone's settings once more
	Closely  map[zone.Key]bool     // primaries and keys of these at least, content where it is true
	Progress func(report.Progress) // may be nil
}

// look is one whole look at a server. Both sides pass by: of the server a small
// list is kept, of the database nothing, and only zones of which something is to be
// said, or that are to be told of in any case, are kept in full.
type look struct {
	*Session
	o    LookOptions
	in   *plan.Input
	list list
	seed maphash.Seed
	odd  map[zone.Key]bool          // zones whose content is to be compared, as a witness speaks against it
	rows map[zone.Key]*fleet.Wanted // of zones that are wanted and not plainly agreed
	have map[zone.Key]*plan.Have    // of zones that are there and not plainly agreed
}

// Look reads everything a plan rests on. An error means that the inventory
// could not be read whole.
func (s *Session) Look(ctx context.Context, o LookOptions) (plan.Input, error) {
	in := s.input()
	l := look{Session: s, o: o, in: &in, seed: maphash.MakeSeed(), rows: make(map[zone.Key]*fleet.Wanted), have: make(map[zone.Key]*plan.Have), odd: make(map[zone.Key]bool)}
	for _, part := range []func(context.Context) error{l.read, l.match, l.ask, l.complete, l.settings, l.witnesses, l.contents} {
		if err := part(ctx); err != nil {
			return in, err
		}
	}
	for _, e := range l.list.zones {
		if e.stand == agreed {
			in.Agreed++
		}
	}
	in.Wanted = make([]fleet.Wanted, 0, len(l.rows))
	for _, k := range slices.Sorted(maps.Keys(l.rows)) {
		in.Wanted = append(in.Wanted, *l.rows[k])
	}
	in.Have = make([]plan.Have, 0, len(l.have))
	for _, h := range l.have {
		in.Have = append(in.Have, *h)
	}
	return in, nil
}

// progress tells how far a part has come, now and then.
func (l *look) progress(phase string, done, total, every int) {
	if l.o.Progress != nil && (done%every == 0 || done == total) {
		l.o.Progress(report.Progress{Server: l.Server.Name, Phase: phase, Done: done, Total: total})
	}
}

// read lists the server's zones. The server is read before the database: what was
// made and added meanwhile is missing from a list then, and never mistaken for a
// zone nobody wants.
func (l *look) read(ctx context.Context) error {
	err := l.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		l.list.add(z)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the zones of server %s: %w", l.Server.Name, err)
	}
	l.list.sort()
	return nil
}

// match goes through what is wanted, in one snapshot and in the list's order, and
// keeps in full what cannot be in agreement whatever the server will answer.
func (l *look) match(ctx context.Context) error {
	i := 0
	_, err := l.f.Store.Wanted(ctx, l.Server.ID, func(w fleet.Wanted) error {
		if w.Kind != fleet.Ordinary {
			return nil
		}
		k := w.Name.Key()
		for i < len(l.list.zones) && l.list.zones[i].key < k {
			i++
		}
		if i == len(l.list.zones) || l.list.zones[i].key != k {
			l.rows[k] = &w
			return nil
		}
		e := &l.list.zones[i]
		e.want, e.soa, e.pools, e.stand = w.Serial, l.hash(w.SOA), l.list.setOf(w.Pools), agreed
		_, closely := l.o.Closely[k]
		h := plan.Have{ZoneState: l.list.state(e), Probe: plan.Probe{Asked: true, Serves: true, Serial: w.Serial, SOA: w.SOA}}
		if !l.o.Brief || closely || !l.in.Agrees(&w, &h) {
			l.rows[k] = &w
			l.keep(e, h.ZoneState, plan.Probe{})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what server %s should have: %w", l.Server.Name, err)
	}
	return nil
}

// hash is that of an SOA's rdata, of which the letter case of names does not count.
func (l *look) hash(soa string) uint64 {
	return maphash.String(l.seed, zonefile.Canonical(zone.TypeSOA, soa))
}

// keep keeps a zone in full: something is to be said of it.
func (l *look) keep(e *listed, z nameserver.ZoneState, p plan.Probe) *plan.Have {
	h := &plan.Have{ZoneState: z, Probe: p}
	e.stand, l.have[e.key] = open, h
	return h
}

// ask asks the server for the SOA of every zone that is wanted and there.
func (l *look) ask(ctx context.Context) error {
	var asked []int32 // numbers in the list
	for i := range l.list.zones {
		e := &l.list.zones[i]
		switch {
		case e.stand == unwanted, l.list.kinds[e.kind].Role == nameserver.Other:
			continue
		case e.stand == open:
			l.have[e.key].Probe = plan.Probe{Asked: true, Lost: true, Err: "no answer"}
		}
		asked = append(asked, int32(i))
	}
	lost, err := l.soas(ctx, asked)
	if err == nil && len(lost) < len(asked) { // it may only have been busy
		_, err = l.soas(ctx, lost)
	}
	if err != nil {
		return fmt.Errorf("ask server %s for its SOAs: %w", l.Server.Name, err)
	}
	return nil
}

// soas asks for the SOAs of some zones, and returns those without an answer.
func (l *look) soas(ctx context.Context, asked []int32) (lost []int32, err error) {
	done := 0
	question := func(i int) Question { return l.Question(l.list.zones[asked[i]].name()) }
	err = l.f.DNS.SOAs(ctx, len(asked), question, func(i int, p plan.Probe) {
		p.Asked = true
		e := &l.list.zones[asked[i]]
		switch {
		case e.stand == open:
			l.have[e.key].Probe = p
		case !p.Serves || p.Serial != e.want || l.hash(p.SOA) != e.soa:
			l.keep(e, l.list.state(e), p)
		}
		if p.Lost {
			lost = append(lost, asked[i])
		}
		done++
		l.progress("questions", done, len(asked), 500)
	})
	return lost, err
}

// complete adds what the database says of the zones that are kept, the server's
// marker, and the lists of the store.
func (l *look) complete(ctx context.Context) error {
	var marks []nameserver.ZoneState
	var names []zone.Name
	for i := range l.list.zones {
		if e := &l.list.zones[i]; e.stand == unwanted {
			z := l.list.state(e)
			if l.keep(e, z, plan.Probe{}); fleet.IsMarkerName(z.Name) {
				marks = append(marks, z)
				continue
			}
			names = append(names, z.Name)
		}
	}
	tombs, err := l.f.Store.TombstonesAmong(ctx, l.Server.ID, names)
	if err != nil {
		return fmt.Errorf("read tombstones: %w", err)
	}
	// What is wanted since the list was read is the next look's.
	since, err := l.f.Store.WantedAmong(ctx, l.Server.ID, names)
	if err != nil {
		return fmt.Errorf("read what server %s should have: %w", l.Server.Name, err)
	}
	for _, w := range since {
		delete(l.have, w.Name.Key())
	}
	if err := l.fetch(ctx); err != nil {
		return err
	}
	if err := l.lists(ctx, l.in, tombs); err != nil {
		return err
	}
	l.in.Marker = l.verdict(ctx, marks)
	return nil
}

// fetch reads the rows of the zones that are kept and wanted, where they are not
// known. One that is not wanted any more is left to the next look.
func (l *look) fetch(ctx context.Context) error {
	var names []zone.Name
	for i := range l.list.zones {
		e := &l.list.zones[i]
		if e.stand == open && e.pools != 0 && l.rows[e.key] == nil && l.have[e.key] != nil {
			names = append(names, e.name())
		}
	}
	rows, err := l.f.Store.WantedAmong(ctx, l.Server.ID, names)
	if err != nil {
		return fmt.Errorf("read what server %s should have: %w", l.Server.Name, err)
	}
	for i := range rows {
		l.rows[rows[i].Name.Key()] = &rows[i]
	}
	for _, n := range names {
		if k := n.Key(); l.rows[k] == nil {
			delete(l.have, k)
		}
	}
	return nil
}

// settingsBatch is how many zones' settings are held at once.
const settingsBatch = 5000

// settings reads primaries and keys of zones where the inventory does not tell: of
// all that are not in agreement; of those that went to another pool since the marker
// was moved last, as the server may have them with the key of the pool before (it was
// drained meanwhile); of a tenth of the rest that changes from hour to hour; and of all
// when deep, or when the server is not proven yet: one that was taken over has its
// zones from another primary, with our serials.
func (l *look) settings(ctx context.Context) error {
	if l.Driver.Capabilities().ListsPrimaries {
		return nil
	}
	all := l.o.Deep || l.Server.State == fleet.Joining && !l.o.Again
	turn := uint32(l.f.Now().Unix() / 3600)
	moved := make(map[zone.Key]bool)
	if l.in.Marker.State == plan.MarkerSound && !all {
		err := l.f.Store.Moved(ctx, l.Server.ID, l.in.Marker.Pos, func(k zone.Key) error {
			moved[k] = true
			return nil
		})
		if err != nil {
			return fmt.Errorf("read which zones of server %s moved: %w", l.Server.Name, err)
		}
	}
	var chosen []int32
	for i := range l.list.zones {
		e := &l.list.zones[i]
		z := &l.list.kinds[e.kind]
		h := l.have[e.key]
		if e.stand != agreed && h == nil || z.Role == nameserver.Other || z.Origin == nameserver.Builtin || z.Known {
			continue
		}
		w := l.rows[e.key]
		_, closely := l.o.Closely[e.key]
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(e.key))
		fine := e.stand == agreed || w != nil && l.in.Agrees(w, h)
		if all || closely || !fine || moved[e.key] || (sum.Sum32()+turn)%10 == 0 {
			chosen = append(chosen, int32(i))
		}
	}
	done := 0
	for batch := range slices.Chunk(chosen, settingsBatch) {
		names := make([]zone.Name, len(batch))
		for n, i := range batch {
			names[n] = l.list.zones[i].name()
		}
		states, err := l.afresh(ctx, names, func(n int) { l.progress("details", done+n, len(chosen), 500) })
		if err != nil {
			return err
		}
		done += len(batch)
		for n, i := range batch {
			if states[n] != nil { // gone since the list was read: what rests on it is read again before it is acted on
				l.retouch(&l.list.zones[i], *states[n])
			}
		}
	}
	return l.fetch(ctx)
}

// retouch gives a zone the state that was read afresh.
func (l *look) retouch(e *listed, z nameserver.ZoneState) {
	if e.stand == open {
		l.have[e.key].ZoneState = z
		return
	}
	w, h := l.plain(e, z)
	if !l.in.Agrees(&w, &h) {
		l.keep(e, z, h.Probe)
	}
}

// plain is what an agreed zone is judged by: its wanted SOA is what was answered.
func (l *look) plain(e *listed, z nameserver.ZoneState) (fleet.Wanted, plan.Have) {
	w := fleet.Wanted{Name: z.Name, Kind: fleet.Ordinary, Serial: e.want, Pools: l.list.sets[e.pools-1]}
	return w, plan.Have{ZoneState: z, Probe: plan.Probe{Asked: true, Serves: true, Serial: e.want}}
}

package inventory

import (
	"context"
	"fmt"
	"hash/maphash"

	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// witness is an RRset that changes with a zone's content.
type witness struct {
	zone int32 // number in the list
	typ  zone.Type
	sum  uint64
}

// witnesses looks at what changes with the content of zones that are otherwise in
// agreement, where the database has such RRsets: the SOA's signatures, and ZONEMD
// (RFC 8976). One that differs has the content compared by transfer: it may be of a
// serial that has moved meanwhile.
func (l *look) witnesses(ctx context.Context) error {
	if l.o.Deep {
		return nil // all of it is compared
	}
	var list []witness
	i := 0
	err := l.f.Store.Witnesses(ctx, l.Server.ID, func(k zone.Key, set zone.RRset) error {
		for i < len(l.list.zones) && l.list.zones[i].key < k {
			i++
		}
		if i == len(l.list.zones) || l.list.zones[i].key != k {
			return nil
		}
		e := &l.list.zones[i]
		if w, h := l.rows[k], l.have[k]; e.stand == agreed || w != nil && h != nil && l.in.Agrees(w, h) {
			list = append(list, witness{int32(i), set.Type, l.sum(set.Type, set.Data)})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read signatures and digests of the zones of server %s: %w", l.Server.Name, err)
	}
	if len(list) == 0 {
		return nil
	}
	done := 0
	question := func(i int) (Question, zone.Type) {
		return l.Question(l.list.zones[list[i].zone].name()), list[i].typ
	}
	err = l.f.DNS.Witnesses(ctx, len(list), question, func(i int, data zone.Rdata, has bool) {
		if has && l.sum(list[i].typ, data) != list[i].sum {
			l.odd[l.list.zones[list[i].zone].key] = true
		}
		done++
		l.progress("witnesses", done, len(list), 500)
	})
	if err != nil {
		return fmt.Errorf("ask server %s for signatures and digests: %w", l.Server.Name, err)
	}
	return nil
}

// sum hashes records, in whatever order.
func (l *look) sum(t zone.Type, data zone.Rdata) (sum uint64) {
	for r := range data.All() {
		sum += maphash.String(l.seed, zonefile.Canonical(t, r))
	}
	return sum
}

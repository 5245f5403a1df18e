package inventory

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// kind is the differing RRsets of a kind: how many, and the first ones.
type kind struct {
	n     int
	text  string
	names []string
}

func (k *kind) add(set zone.RRset) {
	if k.n++; len(k.names) < namedRRsets {
		k.names = append(k.names, set.Owner.String()+" "+set.Type.String())
	}
}

func (k kind) String() string {
	more := ""
	if k.n > len(k.names) {
		more = ", ..."
	}
	return fmt.Sprintf("%d RRsets %s (%s%s)", k.n, k.text, strings.Join(k.names, ", "), more)
}

// digest compares two contents by hashes of their RRsets: 32 octets for each
// of the first, and nothing for the second, in whatever order that comes.
type digest struct {
	seed  maphash.Seed
	rows  []row // by id
	extra kind
}

// row is one RRset of the first content. want and got are sums over its records,
// so that these may come in any order and in pieces.
type row struct {
	id, want, got uint64
	seen          bool
}

// id hashes what is unique about an RRset.
func (d *digest) id(k zone.Key, set zone.RRset) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	_, _ = h.WriteString(string(k))
	var b [4]byte
	binary.BigEndian.PutUint16(b[:], uint16(set.Type))
	binary.BigEndian.PutUint16(b[2:], uint16(set.Covers))
	_, _ = h.Write(b[:])
	return h.Sum64()
}

// sum hashes an RRset's TTL and records, of which the letter case of names does
// not count.
func (d *digest) sum(set zone.RRset) (sum uint64) {
	var ttl [4]byte
	binary.BigEndian.PutUint32(ttl[:], set.TTL)
	for r := range set.Data.All() {
		var h maphash.Hash
		h.SetSeed(d.seed)
		_, _ = h.Write(ttl[:])
		_, _ = h.WriteString(zonefile.Canonical(set.Type, r))
		sum += h.Sum64()
	}
	return sum
}

func (d *digest) want(k zone.Key, set zone.RRset) {
	d.rows = append(d.rows, row{id: d.id(k, set), want: d.sum(set)})
}

func (d *digest) sort() {
	slices.SortFunc(d.rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
}

func (d *digest) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(d.rows, id, func(r row, id uint64) int { return cmp.Compare(r.id, id) })
}

func (d *digest) got(k zone.Key, set zone.RRset) {
	i, there := d.find(d.id(k, set))
	if !there {
		d.extra.add(set)
		return
	}
	d.rows[i].got += d.sum(set)
	d.rows[i].seen = true
}

// agrees says whether both contents are the same.
func (d *digest) agrees() bool {
	return d.extra.n == 0 && !slices.ContainsFunc(d.rows, func(r row) bool { return !r.seen || r.want != r.got })
}

// forget takes back what was got.
func (d *digest) forget() {
	d.extra = kind{}
	for i := range d.rows {
		d.rows[i].got, d.rows[i].seen = 0, false
	}
}

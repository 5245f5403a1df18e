package mdns

import (
	"slices"
	"sync/atomic"
)

// image is a zone's content as AXFR sends it, without what differs from client to
// client: header, question, OPT and TSIG. It is made block by block by transfers,
// and a block that a change does not touch keeps its pack in the next version's
// image: a change costs a few packs, whatever the zone's size.
type image struct {
	packs []atomic.Pointer[pack] // by block of the snapshot; nil: not made
	sent  atomic.Bool            // the zone has been transferred whole before
}

// pack is one block's records: the bodies of some messages, mostly one. That of
// the first block has the SOA before the others, as the transfer does.
type pack struct {
	bodies []body
	octets int64 // of memory, estimated
}

// body is the records of one message. All pointers lead to the message's first
// owner (see wire.Anchor), which always stands at the same place, so that a body
// can be copied as it is.
type body struct {
	octets          []byte
	records, anchor int
}

// imageTail is the room that every message of an AXFR leaves for OPT and TSIG, so
// that its body suits all but keys with very long names.
const imageTail = 512

// packOverhead and bodyOverhead are what packs and bodies take beside octets.
const packOverhead, bodyOverhead = 64, 48

func (p *pack) add(octets []byte, records, anchor int) {
	p.bodies = append(p.bodies, body{slices.Clone(octets), records, anchor})
	p.octets += int64(len(octets)) + bodyOverhead
}

// inherit takes over what is as it was in an older version. The first block never
// is: the SOA goes with it.
func (c *content) inherit(old *content) {
	if c.apex != old.apex {
		return
	}
	c.image.sent.Store(old.image.sent.Load())
	for i, j := range c.snap.Shared(old.snap) {
		if p := old.image.packs[j].Load(); p != nil && i > 0 && j > 0 {
			c.image.packs[i].Store(p)
		}
	}
}

// octets is what the image takes now.
func (m *image) octets() (n int64) {
	for i := range m.packs {
		if p := m.packs[i].Load(); p != nil {
			n += p.octets
		}
	}
	return n
}

// drop forgets all packs, of content that nobody else has yet.
func (m *image) drop() {
	for i := range m.packs {
		m.packs[i].Store(nil)
	}
}

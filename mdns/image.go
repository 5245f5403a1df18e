package mdns

import "sync/atomic"

// image is the messages of an AXFR as they were sent once, without what differs
// from client to client: header, question, OPT and TSIG. All pointers in a
// message lead to its first owner (see wire.Anchor), which always stands at the
// same place, so that a body can be copied as it is.
type image struct {
	bodies  []body
	records int
	octets  int64
}

type body struct {
	octets  []byte
	records int
}

// imageTail is the room that every message of an AXFR leaves for OPT and TSIG, so
// that its body suits all but keys with very long names.
const imageTail = 512

// imageMin is how large a zone must be for an image to be worth it, in octets.
const imageMin = 64 << 10

// images is what a zone's content knows of its image.
type images struct {
	ready   atomic.Pointer[image]
	sent    atomic.Bool // the zone has been transferred whole before
	started atomic.Bool // some transfer makes the image, or has tried
}

// wanted says whether this transfer is to make the image: the second one of this
// content does, if it is large.
func (i *images) wanted(octets int) bool {
	return octets >= imageMin && i.sent.Swap(true) && i.started.CompareAndSwap(false, true)
}

func (m *image) add(octets []byte, records int) {
	m.bodies = append(m.bodies, body{append([]byte(nil), octets...), records})
	m.records += records
	m.octets += int64(len(octets))
}

// sendImage sends a zone by its image.
func (t *stream) sendImage(m *image) error {
	for _, b := range m.bodies {
		t.start()
		if !t.r.enc.Body(b.octets, b.records) {
			return errOversize // cannot be: the image keeps to the same limit
		}
		if err := t.flush(); err != nil {
			return err
		}
		t.records += b.records
	}
	return nil
}

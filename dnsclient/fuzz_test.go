package dnsclient

import (
	"bytes"
	"io"
	"testing"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// FuzzTransfer reads any octets as the answer to an AXFR or IXFR: no panic, no
// endless loop, and whatever is accepted is a zone within the limit.
func FuzzTransfer(f *testing.F) {
	axfr, err := newRequest(new(wire.Encoder), ask{name: name("example."), typ: zone.TypeAXFR}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	from := snapshot(f, soaSet("example.", 7), set("a.example.", zone.TypeA, loop1))
	ixfr, err := newRequest(new(wire.Encoder), ask{name: name("example."), typ: zone.TypeIXFR, soa: from.SOASet()}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	framed := func(msgs ...[]byte) []byte {
		var b bytes.Buffer
		for _, m := range msgs {
			_ = wire.WriteFrame(&b, m[2:]) // the ID is put back below
		}
		return b.Bytes()
	}
	soa := soaSet("example.", 8)
	mx := set("example.", zone.TypeMX, "\x00\x0a\x01a\x07example\x00")
	f.Add(false, framed(message(axfr.msg, 0, soa, mx, soa)))
	f.Add(false, framed(message(axfr.msg, 0, soa), message(axfr.msg, 0, mx), message(axfr.msg, 0, soa)))
	f.Add(true, framed(message(ixfr.msg, 0, soa, from.SOASet(), set("a.example.", zone.TypeA, loop1), soa, mx, soa)))
	f.Add(true, framed(message(ixfr.msg, 0, from.SOASet())))
	f.Fuzz(func(t *testing.T, incremental bool, b []byte) {
		req := axfr
		if incremental {
			req = ixfr
		}
		const limit = 1 << 16
		s := &stream{in: &withID{r: bytes.NewReader(b), id: req.msg[:2]}, req: req, now: time.Now, limit: limit}
		var snap *zone.Snapshot
		var err error
		if incremental {
			snap, err = readChanges(s, from)
		} else {
			snap, err = readZone(s)
		}
		if err != nil {
			if snap != nil {
				t.Error("a zone beside an error")
			}
			_ = (&Error{Op: OpTransfer}).complete(t.Context(), err).Error()
			return
		}
		if snap.Octets() > limit+from.Octets() {
			t.Errorf("%d octets", snap.Octets())
		}
		for set := range snap.All() {
			if !set.Owner.Valid() || !set.Data.Valid() || !set.Owner.Under(name("example.")) {
				t.Errorf("accepted %+v", set)
			}
		}
	})
}

// withID puts the request's ID before each message, so that mutations need not
// guess it.
type withID struct {
	r    *bytes.Reader
	id   []byte
	rest []byte
}

func (w *withID) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		var head [2]byte
		if _, err := io.ReadFull(w.r, head[:]); err != nil {
			return 0, io.EOF
		}
		n := min(int(head[0])<<8|int(head[1]), w.r.Len(), 65533)
		w.rest = append([]byte{byte((n + 2) >> 8), byte(n + 2)}, w.id...)
		w.rest = append(w.rest, make([]byte, n)...)
		_, _ = io.ReadFull(w.r, w.rest[4:])
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// FuzzAnswer reads any octets as a datagram that answers a question.
func FuzzAnswer(f *testing.F) {
	req, err := newRequest(new(wire.Encoder), ask{name: name("example."), typ: zone.TypeSOA}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message(req.msg, wire.FlagAA, soaSet("example.", 7))[2:])
	f.Add(sectioned(req.msg, 0, wire.SectionAuthority, soaSet(".", 7))[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		msg := append(append([]byte(nil), req.msg[:2]...), b...)
		if req.match(msg, false) != nil {
			return
		}
		a, err := parseAnswer(msg)
		if err != nil {
			return
		}
		for _, s := range append(a.Answer, a.Authority...) {
			if !s.Owner.Valid() || !s.Data.Valid() {
				t.Errorf("accepted %+v", s)
			}
		}
	})
}

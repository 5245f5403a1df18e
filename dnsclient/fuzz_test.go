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
// endless loop, and whatever is accepted is a zone within the limit. Where signed
// is not 0 the request was signed, and its bits say which messages of the answer
// are.
func FuzzTransfer(f *testing.F) {
	from := snapshot(f, soaSet("example.", 7), set("a.example.", zone.TypeA, loop1))
	ask := func(t zone.Type, key *wire.Key) *request {
		a := ask{name: name("example."), typ: t, key: key}
		if t == zone.TypeIXFR {
			a.soa = from.SOASet()
		}
		r, err := newRequest(new(wire.Encoder), a, time.Now())
		if err != nil {
			f.Fatal(err)
		}
		return r
	}
	axfr, ixfr := ask(zone.TypeAXFR, nil), ask(zone.TypeIXFR, nil)
	signedAXFR, signedIXFR := ask(zone.TypeAXFR, testKey()), ask(zone.TypeIXFR, testKey())
	framed := func(msgs ...[]byte) []byte {
		var b bytes.Buffer
		for _, m := range msgs {
			_ = wire.WriteFrame(&b, m[2:]) // the ID is put back below
		}
		return b.Bytes()
	}
	soa := soaSet("example.", 8)
	mx := set("example.", zone.TypeMX, "\x00\x0a\x01a\x07example\x00")
	f.Add(false, uint8(0), framed(message(axfr.msg, 0, soa, mx, soa)))
	f.Add(false, uint8(0), framed(message(axfr.msg, 0, soa), message(axfr.msg, 0, mx), message(axfr.msg, 0, soa)))
	f.Add(true, uint8(0), framed(message(ixfr.msg, 0, soa, from.SOASet(), set("a.example.", zone.TypeA, loop1), soa, mx, soa)))
	f.Add(true, uint8(0), framed(message(ixfr.msg, 0, from.SOASet())))
	f.Add(false, uint8(0xff), framed(message(axfr.msg, 0, soa), message(axfr.msg, 0, mx), message(axfr.msg, 0, soa)))
	f.Add(false, uint8(0b101), framed(message(axfr.msg, 0, soa), message(axfr.msg, 0, mx), message(axfr.msg, 0, soa)))
	f.Add(true, uint8(1), framed(message(ixfr.msg, 0, from.SOASet())))
	f.Fuzz(func(t *testing.T, incremental bool, signed uint8, b []byte) {
		req := axfr
		switch {
		case incremental && signed != 0:
			req = signedIXFR
		case incremental:
			req = ixfr
		case signed != 0:
			req = signedAXFR
		}
		const limit = 1 << 16
		in := &withID{r: bytes.NewReader(b), id: req.msg[:2], signed: signed}
		s := &stream{in: in, req: req, now: time.Now, limit: limit}
		if signed != 0 {
			ts, err := wire.FindTSIG(req.msg)
			if err != nil {
				t.Fatal(err)
			}
			in.signer, s.verifier = wire.NewSigner(*req.key, ts), wire.NewVerifier(*req.key, req.mac)
		}
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
		if signed != 0 && !in.last {
			t.Error("accepted without a signature on the last message")
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
// guess it, and signs it where signed says so.
type withID struct {
	r      *bytes.Reader
	id     []byte
	signer *wire.Signer // nil: none is signed
	signed uint8        // its lowest bit is that of the next message
	last   bool         // the message before was signed
	rest   []byte
}

func (w *withID) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		var head [2]byte
		if _, err := io.ReadFull(w.r, head[:]); err != nil {
			return 0, io.EOF
		}
		n := min(int(head[0])<<8|int(head[1]), w.r.Len(), 65000)
		msg := append(bytes.Clone(w.id), make([]byte, n)...)
		_, _ = io.ReadFull(w.r, msg[2:])
		w.last = w.signer != nil && w.signed&1 != 0 && len(msg) >= wire.HeaderLen
		if w.signed >>= 1; w.last {
			msg = w.signer.Sign(msg, 0, time.Now())
		}
		w.rest = append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
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

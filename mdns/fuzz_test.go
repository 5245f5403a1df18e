package mdns

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// FuzzRequests feeds octets to the request handler, over UDP or TCP, as they are
// or signed with a key that we know: no answer may be unreadable, longer than
// allowed, unsigned where it should be, or given to what is no query.
func FuzzRequests(f *testing.F) {
	m := newMemory()
	m.create(parse(f, "plain.test.", trickyZones["plain.test."]))
	m.create(parse(f, ".", ". 60 IN SOA a. b. 1 2 3 4 5\n. 60 IN NS a.\n*. 60 IN TXT x\nb. 60 IN DNAME c.\n"))
	m.addKey(f, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	r := start(f, m, func(c *Config) { c.Logger, c.NSID = nil, "replica" })
	key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
	for _, name := range []string{"www.plain.test.", "x.wild.plain.test.", "x.dn.plain.test.", "loop1.plain.test.", "x.sub.plain.test.", "plain.test.", "nx.", "x.b."} {
		for _, qt := range []uint16{dns.TypeSOA, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR} {
			q := new(dns.Msg).SetQuestion(name, qt)
			if qt == dns.TypeIXFR {
				q.SetIxfr(name, 0, ".", ".")
			}
			q.SetEdns0(600, true)
			for _, code := range []uint16{wire.OptNSID, wire.OptExpire, wire.OptKeepalive, wire.OptZoneVersion, 4711} {
				q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: code})
			}
			b, err := q.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, len(name)%2 == 0, qt%2 == 0)
		}
	}
	forged, _ := wire.SignRequest(transferQuery("plain.test.", zone.TypeIXFR, 1), 0, key, time.Now())
	forged[len(forged)-20] ^= 1
	f.Add(forged, true, false)
	for _, op := range []wire.Opcode{wire.OpIQuery, wire.OpStatus, 3, wire.OpNotify, wire.OpUpdate, wire.OpDSO} {
		q := transferQuery("plain.test.", zone.TypeSOA, 0)
		q[2] = byte(op) << 3
		f.Add(q, true, true)
	}

	peer := netip.MustParseAddrPort("127.0.0.1:5")
	overUDP, overTCP := r.newRequest(true), r.newRequest(false)
	f.Fuzz(func(t *testing.T, msg []byte, udp, signed bool) {
		var v *wire.Verifier
		if signed {
			if len(msg) < wire.HeaderLen {
				return
			}
			var mac []byte
			msg, mac = wire.SignRequest(bytes.Clone(msg), 0, key, time.Now())
			v = wire.NewVerifier(key, mac)
		}
		req, bound := overTCP, wire.MaxMessage
		if udp {
			req, bound = overUDP, 512
		}
		q, parseErr := wire.ParseQuery(msg)
		if udp && q.EDNS.Present {
			bound = min(max(512, int(q.EDNS.UDPSize)), 1232)
		}
		transferred := false
		out, err := req.handle(t.Context(), msg, []byte("before"), peer, func(context.Context, *request, *entry) error {
			transferred = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		out, whole := bytes.CutPrefix(out, []byte("before"))
		switch drop := errors.Is(parseErr, wire.ErrDrop); {
		case !whole:
			t.Fatal("what stood before the answer has changed")
		case drop != (len(out) == 0) && !transferred, transferred && (udp || drop || len(out) > 0):
			t.Fatalf("%v: transferred %v, answer %x to %x", parseErr, transferred, out, msg)
		case len(out) == 0:
			return
		case len(out) > bound:
			t.Fatalf("%d octets where %d are allowed", len(out), bound)
		}
		var got dns.Msg
		if err := got.Unpack(out); err != nil {
			t.Fatalf("answer %x cannot be read: %v", out, err)
		}
		h, _ := wire.ParseHeader(msg)
		if got.Id != h.ID || !got.Response || got.Opcode != int(h.Flags.Opcode()) || (got.IsEdns0() != nil) != q.EDNS.Present {
			t.Fatalf("answer %v to %x", got, msg)
		}
		if got.IsEdns0() != nil && (got.IsEdns0().Version() != 0 || got.IsEdns0().Do() != q.EDNS.DO) {
			t.Fatalf("OPT %v", got.IsEdns0())
		}
		// What was signed may have swallowed the signature, or brought one of its own.
		if v == nil || parseErr != nil || q.TSIG == nil || q.TSIG.Verify(msg, key, time.Now()) != nil {
			return
		}
		if _, err := v.Verify(bytes.Clone(out), time.Now()); err != nil {
			t.Fatalf("answer %v: %v", got, err)
		}
	})
}

package mdns

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// tsigFields is a TSIG record to be made by hand, right or wrong. The MAC is of
// hmac-sha256 whatever the algorithm's name says.
type tsigFields struct {
	key, algorithm string // as names are written
	class          uint16
	ttl            uint32
	time           time.Time
	fudge          uint16
	id             uint16 // the original one
	code           wire.TSIGError
	other          string
	mac            func(sum []byte) []byte // what is sent of it; nil: all
}

// sign appends the record to a finished message without one, and returns its MAC
// too.
func (f tsigFields) sign(msg []byte) (signed, mac []byte) {
	u16, key, alg := binary.BigEndian.AppendUint16, n(f.key), n(f.algorithm)
	stamp := binary.BigEndian.AppendUint64(nil, uint64(f.time.Unix()))[2:]
	timers := u16(stamp, f.fudge)
	end := append(u16(u16(nil, uint16(f.code)), uint16(len(f.other))), f.other...)

	h := hmac.New(sha256.New, []byte(keySecret))
	h.Write(u16(nil, f.id))
	h.Write(msg[2:])
	h.Write([]byte(key.Lower()))
	h.Write(binary.BigEndian.AppendUint32(u16(nil, 255), 0))
	h.Write([]byte(alg.Lower()))
	h.Write(timers)
	h.Write(end)
	if mac = h.Sum(nil); f.mac != nil {
		mac = f.mac(mac)
	}
	rdata := append(append([]byte(alg), timers...), u16(nil, uint16(len(mac)))...)
	rdata = append(u16(append(rdata, mac...), f.id), end...)
	out := append(append([]byte(nil), msg...), key...)
	out = binary.BigEndian.AppendUint32(u16(u16(out, uint16(zone.TypeTSIG)), f.class), f.ttl)
	out = append(u16(out, uint16(len(rdata))), rdata...)
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])+1)
	return out, mac
}

// tsigShape is what an answer says of the request's TSIG: its rcode, and its own
// TSIG with what the client makes of it.
func tsigShape(t *testing.T, addr string, msg, mac []byte, clock time.Time) string {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	k, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := wire.ParseHeader(buf[:k])
	ts, err := wire.FindTSIG(buf[:k])
	switch {
	case err != nil:
		t.Fatal(err)
	case ts == nil:
		return h.Flags.Rcode().String() + ", no TSIG"
	}
	out := fmt.Sprintf("%s, %s by %s: MAC of %d", h.Flags.Rcode(), ts.Error.Mnemonic(), ts.KeyName, len(ts.MAC))
	if len(ts.Other) > 0 {
		out += fmt.Sprintf(", other of %d", len(ts.Other))
	}
	if len(ts.Other) == 6 {
		told := time.Unix(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, ts.Other...))), 0)
		if d := time.Since(told); d < 0 || d > time.Minute {
			t.Errorf("the server's clock says %s", told)
		}
	}
	if ts.OriginalID != binary.BigEndian.Uint16(msg) {
		out += ", original ID not the question's"
	}
	if len(ts.MAC) > 0 {
		key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
		_, err := wire.NewVerifier(key, mac).Verify(append([]byte(nil), buf[:k]...), clock)
		out += fmt.Sprintf(", verified: %v", err)
	}
	return out
}

func TestTSIGErrorsAreThoseOfRFC8945AndNamed(t *testing.T) {
	t.Parallel()
	text := trickyZones["plain.test."]
	bind := testbed.StartNamed(t, testbed.NamedOptions{
		Config:  fmt.Sprintf("key \"pool.key\" { algorithm hmac-sha256; secret \"%s\"; };", keyBase64),
		Zones:   map[string]string{"plain.test.": text},
		Options: "check-names primary ignore;",
	}).Addr
	m := newMemory()
	m.create(parse(t, "plain.test.", text))
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	us := start(t, m, nil).addr
	const (
		good     = "NOERROR, NOERROR by pool.key.: MAC of 32, verified: <nil>"
		badSig   = "NOTAUTH, BADSIG by pool.key.: MAC of 0"
		badKey   = "NOTAUTH, BADKEY by pool.key.: MAC of 0"
		badTrunc = "NOTAUTH, BADTRUNC by pool.key.: MAC of 32, verified: server reports BADTRUNC: signature is shorter than allowed"
		badTime  = "NOTAUTH, BADTIME by pool.key.: MAC of 32, other of 6, verified: server reports BADTIME: clocks differ by more than the fudge"
		formErr  = "FORMERR, no TSIG"
	)
	for _, c := range []struct {
		what   string
		change func(f *tsigFields)
		after  func(msg []byte) []byte
		want   string
		own    string
	}{
		{"right", func(*tsigFields) {}, nil, good, ""},
		{"names in upper case", func(f *tsigFields) { f.key, f.algorithm = "POOL.Key.", "HMAC-SHA256." }, nil, "NOERROR, NOERROR by POOL.Key.: MAC of 32, verified: <nil>", "the key's name is echoed"},
		{"another ID, as a forwarder makes it", func(*tsigFields) {}, func(b []byte) []byte { b[0]++; return b }, good, ""},
		{"another original ID", func(*tsigFields) {}, func(b []byte) []byte { b[len(b)-5]++; return b }, badSig, ""},
		{"a key that there is not", func(f *tsigFields) { f.key = "other.key." }, nil, "NOTAUTH, BADKEY by other.key.: MAC of 0", ""},
		{"an algorithm that there is not", func(f *tsigFields) { f.algorithm = "hmac-none." }, nil, badKey, ""},
		{"another algorithm", func(f *tsigFields) { f.algorithm = "hmac-sha512." }, nil, badKey, ""},
		{"a weak algorithm", func(f *tsigFields) { f.algorithm = "hmac-sha1." }, nil, badKey, ""},
		{"a spoiled MAC", func(f *tsigFields) { f.mac = func(b []byte) []byte { b[0]++; return b } }, nil, badSig, ""},
		{"a spoiled question", func(*tsigFields) {}, func(b []byte) []byte { b[13] ^= 0x20; return b }, badSig, ""},
		{"31 octets of the MAC", func(f *tsigFields) { f.mac = func(b []byte) []byte { return b[:31] } }, nil, badTrunc, ""},
		{"half of the MAC", func(f *tsigFields) { f.mac = func(b []byte) []byte { return b[:16] } }, nil, badTrunc, ""},
		{"half of the MAC, spoiled", func(f *tsigFields) { f.mac = func(b []byte) []byte { b[3]++; return b[:16] } }, nil, badSig, ""},
		{"half of the MAC, late", func(f *tsigFields) {
			f.mac, f.time = func(b []byte) []byte { return b[:16] }, f.time.Add(-time.Hour)
		}, nil, badTime, ""},
		{"15 octets of the MAC", func(f *tsigFields) { f.mac = func(b []byte) []byte { return b[:15] } }, nil, formErr, "an unsigned TSIG would say nothing"},
		{"9 octets of the MAC", func(f *tsigFields) { f.mac = func(b []byte) []byte { return b[:9] } }, nil, formErr, "an unsigned TSIG would say nothing"},
		{"no MAC", func(f *tsigFields) { f.mac = func([]byte) []byte { return nil } }, nil, formErr, "RFC 8945 section 5.2.2.1: FORMERR"},
		{"a MAC that is too long", func(f *tsigFields) { f.mac = func(b []byte) []byte { return append(b, 0) } }, nil, formErr, "an unsigned TSIG would say nothing"},
		{"an hour late", func(f *tsigFields) { f.time = f.time.Add(-time.Hour) }, nil, badTime, ""},
		{"an hour early", func(f *tsigFields) { f.time = f.time.Add(time.Hour) }, nil, badTime, ""},
		{"late and spoiled", func(f *tsigFields) {
			f.time, f.mac = f.time.Add(-time.Hour), func(b []byte) []byte { b[0]++; return b }
		}, nil, badSig, ""},
		{"an hour late and a fudge of ten", func(f *tsigFields) { f.time, f.fudge = f.time.Add(-time.Hour), 36000 }, nil, "NOERROR, NOERROR by pool.key.: MAC of 32, verified: BADTIME: clocks differ by more than the fudge", ""},
		{"other data", func(f *tsigFields) { f.other = "abcdefgh" }, nil, good, ""},
		{"an error", func(f *tsigFields) { f.code = wire.BadKey }, nil, good, ""},
		{"class IN", func(f *tsigFields) { f.class = 1 }, nil, formErr, ""},
		{"a TTL", func(f *tsigFields) { f.ttl = 1 }, nil, formErr, "RFC 8945 section 4.2: the TTL is 0"},
		{"an OPT behind it", func(*tsigFields) {}, func(b []byte) []byte {
			b[11]++
			return append(b, "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"...)
		}, formErr, ""},
		{"in the answer section", func(*tsigFields) {}, func(b []byte) []byte { b[11], b[7] = 0, 1; return b }, formErr, ""},
		{"octets behind it", func(*tsigFields) {}, func(b []byte) []byte { return append(b, "rest"...) }, good, ""},
		{"cut short", func(*tsigFields) {}, func(b []byte) []byte { return b[:len(b)-1] }, formErr, ""},
	} {
		f := tsigFields{key: "pool.key.", algorithm: "hmac-sha256.", class: 255, time: time.Now(), fudge: 300, id: 0x1234}
		c.change(&f)
		q := transferQuery("plain.test.", zone.TypeSOA, 0)
		binary.BigEndian.PutUint16(q, 0x1234)
		msg, mac := f.sign(q)
		if c.after != nil {
			msg = c.after(msg)
		}
		theirs, ours := tsigShape(t, bind, msg, mac, f.time), tsigShape(t, us, msg, mac, f.time)
		if ours != c.want {
			t.Errorf("%s: %s, want %s", c.what, ours, c.want)
		}
		if (theirs != c.want) != (c.own != "") {
			t.Errorf("%s: named says %s, want %s; own reason %q", c.what, theirs, c.want, c.own)
		}
	}
}

// TestSignedTransfersShareAConnection has transfers of many messages, questions
// and failures in one pipeline, signed with two keys or not at all: each answer's
// chain of MACs (RFC 8945 section 5.3.1) begins at its own request.
func TestSignedTransfersShareAConnection(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 3000)
	m.create(s)
	keys := []wire.Key{
		{Name: n("one.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)},
		{Name: n("two.key."), Algorithm: wire.HMACSHA512, Secret: []byte(keySecret)},
	}
	for _, k := range keys {
		m.addKey(t, k.Name.String(), string(k.Algorithm), keySecret, fleet.Scope{PoolID: testPool})
	}
	r := start(t, m, func(c *Config) { c.MaxMessage = 4096 })
	forged := keys[0]
	forged.Secret = []byte("another one")
	type asked struct {
		typ  zone.Type
		key  *wire.Key
		v    *wire.Verifier
		fail error
		recs int
		done bool
	}
	var queries []*asked
	for range 3 {
		for _, typ := range []zone.Type{zone.TypeAXFR, zone.TypeSOA} {
			queries = append(queries, &asked{typ: typ, key: &keys[0]}, &asked{typ: typ}, &asked{typ: typ, key: &keys[1]}, &asked{typ: typ, key: &forged, fail: wire.BadSig})
		}
	}
	var all []byte
	for i, q := range queries {
		msg := transferQuery("z.test.", q.typ, 0)
		msg[1] = byte(i) // before it is signed
		if q.key != nil {
			var mac []byte
			msg, mac = wire.SignRequest(msg, 0, *q.key, time.Now())
			q.v = wire.NewVerifier(*q.key, mac)
		}
		all = append(append(all, byte(len(msg)>>8), byte(len(msg))), msg...)
	}
	c := dial(t, r.addr)
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	for left := len(queries); left > 0; {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := queries[msg[1]]
		if q.done {
			t.Fatalf("one message too many for %d", msg[1])
		}
		if q.v != nil {
			if msg, err = q.v.Verify(msg, time.Now()); !errors.Is(err, q.fail) {
				t.Fatalf("question %+v: %v", q, err)
			}
		}
		if q.fail == nil {
			h, _ := wire.ParseHeader(msg)
			q.recs += int(h.Counts[wire.SectionAnswer])
		}
		if q.done = q.typ == zone.TypeSOA || q.fail != nil || q.recs == s.Records()+1; q.done {
			left--
			if q.v != nil && q.fail == nil && q.v.Done() != nil {
				t.Errorf("question %+v: %v", q, q.v.Done())
			}
		}
	}
}

package dnsclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// compressed is an answer by hand, with a pointer wherever a name may have one;
// \xc0\x0c points at the question's name, example.
func compressed(q []byte, records ...string) []byte {
	m := message(q, wire.FlagAA)
	for _, r := range records {
		m = append(m, r...)
		m[7]++
	}
	return m
}

// rr is a record of the question's name with rdata as given.
func rr(t zone.Type, rdata string) string {
	return "\xc0\x0c" + string([]byte{byte(t >> 8), byte(t), 0, 1, 0, 0, 0, 60, byte(len(rdata) >> 8), byte(len(rdata))}) + rdata
}

const soaTail = "\x00\x00\x00\x07\x00\x00\x00\x3c\x00\x00\x00\x3c\x00\x00\x02\x58\x00\x00\x00\x3c"

func TestTransferExpandsNamesOfEveryTypeThatMayCarryPointers(t *testing.T) {
	t.Parallel()
	// p points at example., w is it written out.
	const p, w = "\x01n\xc0\x0c", "\x01n\x07example\x00"
	types := map[zone.Type][2]string{
		zone.TypeNS: {p, w}, zone.TypeMD: {p, w}, zone.TypeMF: {p, w}, zone.TypeCNAME: {p, w}, zone.TypeMB: {p, w},
		zone.TypeMG: {p, w}, zone.TypeMR: {p, w}, zone.TypePTR: {p, w}, zone.TypeDNAME: {p, w},
		zone.TypeMINFO: {p + p, w + w}, zone.TypeRP: {p + p, w + w},
		zone.TypeMX: {"\x00\x0a" + p, "\x00\x0a" + w}, zone.TypeAFSDB: {"\x00\x01" + p, "\x00\x01" + w},
		zone.TypeRT: {"\x00\x01" + p, "\x00\x01" + w}, zone.TypeKX: {"\x00\x01" + p, "\x00\x01" + w},
		zone.TypePX:    {"\x00\x01" + p + p, "\x00\x01" + w + w},
		zone.TypeSRV:   {"\x00\x01\x00\x02\x00\x03" + p, "\x00\x01\x00\x02\x00\x03" + w},
		zone.TypeNAPTR: {"\x00\x01\x00\x02\x01a\x00\x01b" + p, "\x00\x01\x00\x02\x01a\x00\x01b" + w},
		zone.TypeSIG:   {"\x00\x01" + strings.Repeat("s", 16) + p + "sig", "\x00\x01" + strings.Repeat("s", 16) + w + "sig"},
		zone.TypeNXT:   {p + "\x40", w + "\x40"},
		// Pointers mean nothing in other types.
		zone.Type(65280): {p, p}, zone.TypeTXT: {"\x02\xc0\x0c", "\x02\xc0\x0c"},
	}
	soa := rr(zone.TypeSOA, p+p+soaTail)
	addr := fakeTCP(t, func(conn net.Conn, q []byte) {
		all := []string{soa}
		for t, d := range types {
			all = append(all, rr(t, d[0]))
		}
		frames(conn, compressed(q, append(all, soa)...))
	})
	snap, err := new(Client).Transfer(t.Context(), addr, name("example."), nil, TransferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if snap.Records() != len(types)+1 || snap.Serial() != 7 {
		t.Errorf("%d records, serial %d", snap.Records(), snap.Serial())
	}
	for typ, d := range types {
		got, ok := snap.Get(zone.ID{Owner: name("example.").Key(), Type: typ, Covers: zone.CoversOf(typ, d[1])})
		if !ok || got.Data.First() != d[1] {
			t.Errorf("%s: %q, want %q", typ, got.Data.First(), d[1])
		}
	}
}

func TestTransferRefusesAnswersThatAreNotTheWholeZone(t *testing.T) {
	t.Parallel()
	soa, later := soaSet("example.", 7), soaSet("example.", 8)
	a := set("a.example.", zone.TypeA, "\x7f\x00\x00\x01")
	reply := func(sets ...zone.RRset) func(net.Conn, []byte) {
		return func(conn net.Conn, q []byte) { frames(conn, message(q, wire.FlagAA, sets...)) }
	}
	for _, c := range []struct {
		name   string
		kind   error
		handle func(conn net.Conn, q []byte)
	}{
		{"hangs up", ErrCut, func(net.Conn, []byte) {}},
		{"ends before the closing SOA", ErrCut, reply(soa, a)},
		{"ends after the first SOA", ErrCut, reply(soa)},
		{"ends inside a message", ErrCut, func(conn net.Conn, q []byte) { _, _ = conn.Write([]byte{1, 0, 'x'}) }},
		{"ends inside the length", ErrCut, func(conn net.Conn, q []byte) { _, _ = conn.Write([]byte{1}) }},
		{"stalls", ErrTimeout, func(conn net.Conn, q []byte) { frames(conn, message(q, 0, soa)); block(conn) }},
		{"says nothing", ErrTimeout, func(conn net.Conn, q []byte) { block(conn) }},
		{"no SOA first", ErrMalformed, reply(a, soa)},
		{"nothing in it", ErrMalformed, reply()},
		{"other SOA last", ErrMismatch, reply(soa, a, later)},
		{"more behind the last SOA", ErrMalformed, reply(soa, a, soa, a)},
		{"outside the zone", ErrMalformed, reply(soa, set("a.elsewhere.", zone.TypeA, "\x7f\x00\x00\x01"), soa)},
		{"above the zone", ErrMalformed, reply(soa, set(".", zone.TypeA, "\x7f\x00\x00\x01"), soa)},
		{"an SOA below", ErrMalformed, reply(soa, soaSet("b.example.", 7), soa)},
		{"a meta type", ErrMalformed, reply(soa, set("b.example.", zone.TypeANY, "x"), soa)},
		{"another class", ErrMalformed, func(conn net.Conn, q []byte) {
			chaos := []byte(rr(zone.TypeTXT, "\x01x"))
			chaos[5] = 3
			frames(conn, compressed(q, rr(zone.TypeSOA, "\xc0\x0c\xc0\x0c"+soaTail), string(chaos)))
		}},
		{"short rdata", ErrMalformed, func(conn net.Conn, q []byte) {
			frames(conn, compressed(q, rr(zone.TypeSOA, "\xc0\x0c\xc0\x0c"+soaTail), rr(zone.TypeMX, "\x00")))
		}},
		{"a pointer forward", ErrMalformed, func(conn net.Conn, q []byte) {
			frames(conn, compressed(q, rr(zone.TypeSOA, "\xc0\xff\xc0\x0c"+soaTail)))
		}},
		{"octets behind", ErrMalformed, func(conn net.Conn, q []byte) { frames(conn, append(message(q, 0, soa, soa), 0)) }},
		{"records of authority", ErrMalformed, func(conn net.Conn, q []byte) {
			m := message(q, 0, soa, soa)
			m[7], m[9] = 1, 1
			frames(conn, m)
		}},
		{"other ID", ErrMismatch, func(conn net.Conn, q []byte) { frames(conn, setID(message(q, 0, soa, soa), idOf(q)+1)) }},
		{"other ID later", ErrMismatch, func(conn net.Conn, q []byte) {
			frames(conn, message(q, 0, soa), setID(message(q, 0, soa), idOf(q)+1))
		}},
		{"other question", ErrMismatch, func(conn net.Conn, q []byte) {
			m := message(q, 0, soa, soa)
			m[13] ^= 1
			frames(conn, m)
		}},
		{"a request", ErrMismatch, func(conn net.Conn, q []byte) { frames(conn, q) }},
		{"refused", ErrRefused, func(conn net.Conn, q []byte) { frames(conn, message(q, wire.Flags(wire.RcodeRefused))) }},
		{"not authoritative", ErrNotAuth, func(conn net.Conn, q []byte) { frames(conn, message(q, wire.Flags(wire.RcodeNotAuth))) }},
		{"fails on the way", ErrServFail, func(conn net.Conn, q []byte) {
			frames(conn, message(q, 0, soa, a), message(q, wire.Flags(wire.RcodeServFail)))
		}},
		{"too large", ErrTooLarge, func(conn net.Conn, q []byte) {
			frames(conn, message(q, 0, soa))
			for range 20 {
				frames(conn, message(q, 0, set("t.example.", zone.TypeTXT, strings.Repeat("\x01x", 5000))))
			}
			block(conn)
		}},
		{"too large when expanded", ErrTooLarge, func(conn net.Conn, q []byte) {
			// 2,000 records of 12 octets each stand for names of 255.
			label := string([]byte{63}) + strings.Repeat("x", 63)
			long := label + label + label + "\x10" + strings.Repeat("y", 16) + "\xc0\x0c"
			m := compressed(q, rr(zone.TypeSOA, "\xc0\x0c\xc0\x0c"+soaTail), long+rr(zone.TypeA, "\x7f\x00\x00\x01")[2:])
			at := len(m) - 14 - len(long)
			for i := range 2000 {
				m = append(m, 0xc0|byte(at>>8), byte(at))
				m = append(m, rr(zone.TypeA, fmt.Sprintf("%04d", i))[2:]...)
			}
			m[6], m[7] = byte(2002>>8), byte(2002&0xff)
			frames(conn, m)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opts := TransferOptions{MaxOctets: 100_000, Progress: 10 * time.Second}
			if c.kind == ErrTimeout {
				opts.Progress = 50 * time.Millisecond
			}
			snap, err := new(Client).Transfer(t.Context(), fakeTCP(t, c.handle), name("example."), nil, opts)
			if !errors.Is(err, c.kind) || snap != nil {
				t.Fatalf("got %v, want %v", err, c.kind)
			}
			var e *Error
			if !errors.As(err, &e) || e.Hint() == "" || e.Zone != name("example.") {
				t.Errorf("no hint or zone in %#v", err)
			}
		})
	}
}

func TestTransferOfATrickleEndsThoughOctetsKeepComing(t *testing.T) {
	t.Parallel()
	addr := fakeTCP(t, func(conn net.Conn, q []byte) {
		m := message(q, 0, soaSet("example.", 7))
		_, _ = conn.Write([]byte{0, byte(len(m))})
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := range m {
			<-tick.C
			if _, err := conn.Write(m[i : i+1]); err != nil {
				return
			}
		}
		block(conn)
	})
	_, err := new(Client).Transfer(t.Context(), addr, name("example."), nil, TransferOptions{Progress: 100 * time.Millisecond})
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestTransferEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	addr := fakeTCP(t, func(conn net.Conn, q []byte) {
		frames(conn, message(q, 0, soaSet("example.", 7)))
		cancel()
		block(conn)
	})
	if _, err := new(Client).Transfer(ctx, addr, name("example."), nil, TransferOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTransferFromAClosedPortIsUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	addr := netip.MustParseAddrPort(l.Addr().String())
	if _, err := new(Client).Transfer(t.Context(), addr, name("example."), nil, TransferOptions{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// partlySigned is a transfer in n messages of which only those that signed names
// carry a TSIG record, whose MAC covers the ones before (RFC 8945 section 5.3.1).
// Written from the RFC, not with package wire.
func partlySigned(q []byte, key *wire.Key, n int, signed func(i int) bool) [][]byte {
	tsig, _ := wire.FindTSIG(q)
	mac := hmac.New(sha256.New, key.Secret)
	prior := func(sum []byte) {
		mac.Reset()
		mac.Write(binary.BigEndian.AppendUint16(nil, uint16(len(sum))))
		mac.Write(sum)
	}
	prior(tsig.MAC)
	var msgs [][]byte
	first := true
	for i := range n {
		m := message(q, wire.FlagAA, soaSet("example.", 7))
		if i > 0 && i < n-1 {
			m = message(q, wire.FlagAA, set(fmt.Sprintf("h%d.example.", i), zone.TypeA, "\x7f\x00\x00\x01"))
		}
		mac.Write(m)
		if signed(i) {
			now := time.Now().Unix()
			timers := binary.BigEndian.AppendUint64(nil, uint64(now)<<16|300)
			if first {
				mac.Write([]byte(key.Name + "\x00\xff\x00\x00\x00\x00" + key.Algorithm.Name()))
				mac.Write(timers)
				mac.Write([]byte{0, 0, 0, 0})
			} else {
				mac.Write(timers)
			}
			first = false
			sum := mac.Sum(nil)
			prior(sum)
			rdata := []byte(key.Algorithm.Name())
			rdata = append(rdata, timers...)
			rdata = binary.BigEndian.AppendUint16(rdata, uint16(len(sum)))
			rdata = append(rdata, sum...)
			rdata = append(rdata, m[0], m[1], 0, 0, 0, 0)
			m = append(m, key.Name+"\x00\xfa\x00\xff\x00\x00\x00\x00"...)
			m = binary.BigEndian.AppendUint16(m, uint16(len(rdata)))
			m = append(m, rdata...)
			m[11]++
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func TestSignedTransferIsProvenToItsEnd(t *testing.T) {
	t.Parallel()
	key := testKey()
	ends := func(n int) func(int) bool { return func(i int) bool { return i == 0 || i == n-1 } }
	for _, c := range []struct {
		name string
		kind error
		make func(q []byte) [][]byte
	}{
		{"all signed", nil, func(q []byte) [][]byte { return partlySigned(q, key, 5, func(int) bool { return true }) }},
		{"99 unsigned in between", nil, func(q []byte) [][]byte { return partlySigned(q, key, 101, ends(101)) }},
		{"100 unsigned in between", ErrTSIG, func(q []byte) [][]byte { return partlySigned(q, key, 102, ends(102)) }},
		{"first unsigned", ErrTSIG, func(q []byte) [][]byte { return partlySigned(q, key, 3, func(i int) bool { return i > 0 }) }},
		{"last unsigned", ErrTSIG, func(q []byte) [][]byte { return partlySigned(q, key, 3, func(i int) bool { return i < 2 }) }},
		{"none signed", ErrTSIG, func(q []byte) [][]byte { return partlySigned(q, key, 3, func(int) bool { return false }) }},
		{"an unsigned message changed", ErrTSIG, func(q []byte) [][]byte {
			m := partlySigned(q, key, 5, ends(5))
			m[2][len(m[2])-1] ^= 1
			return m
		}},
		{"messages swapped", ErrTSIG, func(q []byte) [][]byte {
			m := partlySigned(q, key, 6, ends(6))
			m[2], m[3] = m[3], m[2]
			return m
		}},
		{"a message left out", ErrTSIG, func(q []byte) [][]byte {
			m := partlySigned(q, key, 6, ends(6))
			return append(m[:2], m[3:]...)
		}},
		{"refused unsigned", ErrRefused, func(q []byte) [][]byte { return [][]byte{message(q, wire.Flags(wire.RcodeRefused))} }},
		{"unknown key", ErrTSIG, func(q []byte) [][]byte {
			tsig, _ := wire.FindTSIG(q)
			return [][]byte{wire.AppendTSIGError(message(q, wire.Flags(wire.RcodeNotAuth)), 0, tsig, *key, wire.BadKey, time.Now())}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := fakeTCP(t, func(conn net.Conn, q []byte) { frames(conn, c.make(q)...) })
			snap, err := new(Client).Transfer(t.Context(), addr, name("example."), key, TransferOptions{})
			if c.kind == nil {
				if err != nil || snap.Serial() != 7 {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, c.kind) || snap != nil {
				t.Errorf("got %v, want %v", err, c.kind)
			}
		})
	}
}

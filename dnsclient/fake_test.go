package dnsclient

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// impatient is a client for fake servers that do not answer.
func impatient() *Client { return &Client{Timeout: 30 * time.Millisecond, Tries: 2} }

func name(text string) zone.Name { return zone.MustParseName(text) }

func testKey() *wire.Key {
	return &wire.Key{Name: name("transfer.key."), Algorithm: wire.HMACSHA256, Secret: []byte("0123456789abcdef0123456789abcdef")}
}

func soaData(serial zone.Serial) string {
	return zone.SOA{MName: name("ns.example."), RName: name("hostmaster.example."), Serial: serial, Refresh: 60, Retry: 60, Expire: 600, Minimum: 60}.Rdata()
}

func soaSet(apex string, serial zone.Serial) zone.RRset {
	return zone.RRset{Owner: name(apex), Type: zone.TypeSOA, TTL: 60, Data: zone.PackRdata(soaData(serial))}
}

func set(owner string, t zone.Type, rdata ...string) zone.RRset {
	return zone.RRset{Owner: name(owner), Type: t, TTL: 60, Data: zone.PackRdata(rdata...)}
}

// fakeUDP answers each datagram with what handle returns.
func fakeUDP(t *testing.T, handle func(q []byte) [][]byte) netip.AddrPort {
	t.Helper()
	return fakeUDPAt(t, "127.0.0.1:0", handle)
}

func fakeUDPAt(t *testing.T, addr string, handle func(q []byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			for _, a := range handle(append([]byte(nil), buf[:n]...)) {
				_, _ = conn.WriteTo(a, from)
			}
		}
	})
	t.Cleanup(func() { _ = conn.Close(); wg.Wait() })
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// fakeTCP hands the first request of each connection to handle and closes the
// connection after it, or when the test ends.
func fakeTCP(t testing.TB, handle func(conn net.Conn, q []byte)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				if q, err := wire.ReadFrame(conn, nil); err == nil {
					handle(conn, q)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// block waits until the client hangs up.
func block(conn net.Conn) {
	var b [1]byte
	_, _ = conn.Read(b[:])
}

// message writes an answer to q with these RRsets in its answer section.
func message(q []byte, flags wire.Flags, answer ...zone.RRset) []byte {
	return sectioned(q, flags, wire.SectionAnswer, answer...)
}

func sectioned(q []byte, flags wire.Flags, s wire.Section, sets ...zone.RRset) []byte {
	h, _ := wire.ParseHeader(q)
	question, err := wire.NewReader(q).Question()
	if err != nil {
		panic(err)
	}
	var e wire.Encoder
	flags |= wire.FlagQR
	e.Reset(nil, wire.Header{ID: h.ID, Flags: flags.With(h.Flags.Opcode(), flags.Rcode())}, wire.Full, "", wire.MaxMessage)
	e.Question(question)
	for _, s2 := range sets {
		if !e.Set(s, s2) {
			panic("does not fit")
		}
	}
	return e.Bytes()
}

// signed signs answers to q with a key, first to last.
func signed(q []byte, key *wire.Key, msgs ...[]byte) [][]byte {
	tsig, err := wire.FindTSIG(q)
	if err != nil || tsig == nil {
		panic("request is not signed")
	}
	s := wire.NewSigner(*key, tsig)
	for i, m := range msgs {
		msgs[i] = s.Sign(m, 0, time.Now())
	}
	return msgs
}

func setID(msg []byte, id uint16) []byte {
	msg = append([]byte(nil), msg...)
	binary.BigEndian.PutUint16(msg, id)
	return msg
}

func idOf(msg []byte) uint16 { return binary.BigEndian.Uint16(msg) }

func frames(conn net.Conn, msgs ...[]byte) {
	for _, m := range msgs {
		_ = wire.WriteFrame(conn, m)
	}
}

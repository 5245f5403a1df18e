package dnsclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/report"
	"dnsctl/wire"
	"dnsctl/zone"
)

func TestAskPassesOverDatagramsThatAnswerSomethingElse(t *testing.T) {
	t.Parallel()
	addr := fakeUDP(t, func(q []byte) [][]byte {
		good := message(q, wire.FlagAA, set("example.", zone.TypeTXT, "\x04good"))
		other := append([]byte(nil), good...)
		other[13] ^= 1 // the question's name
		request := append([]byte(nil), good...)
		request[2] &^= 0x80
		opcode := append([]byte(nil), good...)
		opcode[2] |= 0x20
		return [][]byte{nil, {1, 2, 3}, setID(good, idOf(good)+1), other, request, opcode, good}
	})
	a, err := new(Client).Ask(t.Context(), addr, name("Example."), zone.TypeTXT, nil)
	if err != nil {
		t.Fatal(err)
	}
	txt, ok := a.RRset(name("example."), zone.TypeTXT)
	if !ok || txt.Data.First() != "\x04good" || !a.AA {
		t.Errorf("got %+v", a)
	}
}

func TestAskFailsWithTheKindOfFault(t *testing.T) {
	t.Parallel()
	key := testKey()
	other := testKey()
	other.Secret = []byte("another secret altogether, and long")
	for _, c := range []struct {
		name   string
		key    *wire.Key
		kind   error
		tsig   wire.TSIGError
		hint   string
		answer func(q []byte) [][]byte
	}{
		{"nothing", nil, ErrTimeout, 0, "firewall", func([]byte) [][]byte { return nil }},
		{"wrong ID only", nil, ErrMismatch, 0, "dig", func(q []byte) [][]byte { return [][]byte{setID(message(q, 0), idOf(q)+1)} }},
		{"garbage only", nil, ErrMalformed, 0, "dig", func([]byte) [][]byte { return [][]byte{{0, 0, 0}} }},
		{"pointer loop", nil, ErrMalformed, 0, "dig", func(q []byte) [][]byte {
			m := message(q, wire.FlagAA)
			m[7] = 1
			return [][]byte{append(m, 0xc0, byte(len(m)))}
		}},
		{"cut record", nil, ErrMalformed, 0, "dig", func(q []byte) [][]byte {
			m := message(q, wire.FlagAA, set("example.", zone.TypeTXT, "\x04good"))
			return [][]byte{m[:len(m)-2]}
		}},
		{"unsigned answer", key, ErrTSIG, 0, "without a signature", func(q []byte) [][]byte { return [][]byte{message(q, 0)} }},
		{"wrong secret", key, ErrTSIG, wire.BadSig, "secret", func(q []byte) [][]byte { return signed(q, other, message(q, 0)) }},
		{"key not known there", key, ErrTSIG, wire.BadKey, "transfer.key.", func(q []byte) [][]byte {
			tsig, _ := wire.FindTSIG(q)
			m := message(q, wire.Flags(wire.RcodeNotAuth))
			return [][]byte{wire.AppendTSIGError(m, 0, tsig, *key, wire.BadKey, time.Now())}
		}},
		{"clock", key, ErrTSIG, wire.BadTime, "clocks", func(q []byte) [][]byte {
			tsig, _ := wire.FindTSIG(q)
			return [][]byte{wire.NewSigner(*key, tsig).Sign(message(q, 0), 0, time.Now().Add(time.Hour))}
		}},
		{"weak key", &wire.Key{Name: name("k."), Algorithm: wire.HMACMD5, Secret: []byte("x")}, ErrTSIG, 0, "k.", func([]byte) [][]byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := impatient().Ask(t.Context(), fakeUDP(t, c.answer), name("example."), zone.TypeTXT, c.key)
			var e *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || e.TSIG != c.tsig {
				t.Fatalf("got %v, want %v %v", err, c.kind, c.tsig)
			}
			if _, hint := report.ExitOf(err); !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q lacks %q", hint, c.hint)
			}
			if strings.Contains(err.Error(), string(key.Secret)) {
				t.Error("the secret is in the error")
			}
		})
	}
}

func TestAskOfAClosedPortFailsAtOnceAsUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.LocalAddr().String())
	_ = l.Close()
	c := Client{Timeout: time.Hour}
	if _, err := c.Ask(t.Context(), addr, name("example."), zone.TypeSOA, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	addr := fakeUDP(t, func([]byte) [][]byte { cancel(); return nil })
	c := Client{Timeout: time.Hour}
	if _, err := c.Ask(ctx, addr, name("example."), zone.TypeSOA, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAskRepeatsTheQuestionAndGoesOverTCPWhenTruncated(t *testing.T) {
	t.Parallel()
	for _, key := range []*wire.Key{nil, testKey()} {
		sign := func(q, m []byte) []byte {
			if key == nil {
				return m
			}
			return signed(q, key, m)[0]
		}
		long := strings.Repeat("\xff"+strings.Repeat("x", 255), 20)
		tcp := fakeTCP(t, func(conn net.Conn, q []byte) {
			frames(conn, sign(q, message(q, wire.FlagAA, set("example.", zone.TypeTXT, long))))
		})
		var asked atomic.Int32
		addr := fakeUDPAt(t, tcp.String(), func(q []byte) [][]byte {
			if asked.Add(1) == 1 {
				return nil
			}
			return [][]byte{sign(q, message(q, wire.FlagTC))}
		})
		c := &Client{Timeout: 30 * time.Millisecond, Tries: 3}
		a, err := c.Ask(t.Context(), addr, name("example."), zone.TypeTXT, key)
		if err != nil {
			t.Fatal(err)
		}
		if txt, ok := a.RRset(name("example."), zone.TypeTXT); !ok || txt.Data.First() != long {
			t.Errorf("got %+v", a)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times over UDP", n)
		}
	}
}

func TestAskTriesTCPLastWhereDatagramsGetLost(t *testing.T) {
	t.Parallel()
	tcp := fakeTCP(t, func(conn net.Conn, q []byte) {
		frames(conn, message(q, wire.FlagAA, set("example.", zone.TypeTXT, "\x04good")))
	})
	var asked atomic.Int32
	addr := fakeUDPAt(t, tcp.String(), func([]byte) [][]byte { asked.Add(1); return nil })
	c := &Client{Timeout: 30 * time.Millisecond}
	a, err := c.Ask(t.Context(), addr, name("example."), zone.TypeTXT, nil)
	if _, ok := a.RRset(name("example."), zone.TypeTXT); err != nil || !ok {
		t.Errorf("got %+v, %v", a, err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times over UDP", n)
	}
}

func TestNotifyIsUnderstoodByItsReceiver(t *testing.T) {
	t.Parallel()
	for _, key := range []*wire.Key{nil, testKey()} {
		addr := fakeUDP(t, func(q []byte) [][]byte {
			p, err := wire.ParseQuery(q)
			if err != nil || p.Flags.Opcode() != wire.OpNotify || p.Flags&wire.FlagAA == 0 || p.Question.Type != zone.TypeSOA {
				t.Errorf("request %+v, %v", p, err)
				return nil
			}
			if key == nil {
				return [][]byte{message(q, 0)}
			}
			if err := p.TSIG.Verify(q, *key, time.Now()); err != nil {
				t.Errorf("signature: %v", err)
			}
			return signed(q, key, message(q, 0))
		})
		if err := new(Client).Notify(t.Context(), addr, name("example."), soaSet("example.", 7), key); err != nil {
			t.Error(err)
		}
	}
}

func TestNotifyFailsWithTheKindOfAnswer(t *testing.T) {
	t.Parallel()
	for rcode, kind := range map[wire.Rcode]error{
		wire.RcodeRefused: ErrRefused, wire.RcodeNotAuth: ErrNotAuth, wire.RcodeServFail: ErrServFail,
		wire.RcodeNotImp: ErrNotImp, wire.RcodeFormErr: ErrFormErr, wire.RcodeYXDomain: ErrRcode,
	} {
		addr := fakeUDP(t, func(q []byte) [][]byte { return [][]byte{message(q, wire.Flags(rcode))} })
		err := impatient().Notify(t.Context(), addr, name("example."), zone.RRset{}, nil)
		var e *Error
		if !errors.Is(err, kind) || !errors.As(err, &e) || e.Rcode != rcode {
			t.Errorf("%v: got %v", rcode, err)
		}
		if !strings.Contains(err.Error(), rcode.String()) {
			t.Errorf("%q does not say %v", err, rcode)
		}
	}
	silent := fakeUDP(t, func([]byte) [][]byte { return nil })
	if err := impatient().Notify(t.Context(), silent, name("example."), zone.RRset{}, nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestNotifyKeepsItsSocketsWhileTheyAreGood(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var refuse, silent bool
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, who, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			from <- who.String()
			mu.Lock()
			flags, no := wire.Flags(0), silent
			if refuse {
				flags = wire.Flags(wire.RcodeRefused)
			}
			mu.Unlock()
			if !no {
				_, _ = conn.WriteTo(message(buf[:n], flags), who)
				_, _ = conn.WriteTo(message(buf[:n], flags), who) // a late one is not taken for the next answer
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	c := impatient()
	c.Keep = 1
	notify := func() error { return c.Notify(t.Context(), addr, name("example."), soaSet("example.", 7), nil) }
	set := func(r, s bool) { mu.Lock(); refuse, silent = r, s; mu.Unlock() }
	good := func() string {
		t.Helper()
		if err := notify(); err != nil {
			t.Fatal(err)
		}
		return <-from
	}
	first := good()
	if second := good(); second != first {
		t.Errorf("from %s, then from %s", first, second)
	}
	set(true, false)
	if err := notify(); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	<-from
	set(false, true)
	if err := notify(); err == nil {
		t.Error("an answer to another was taken for its own")
	}
	<-from
	<-from
	set(false, false)
	if after := good(); after == first {
		t.Error("a socket without an answer was kept")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	a, b := good(), good()
	if a == b {
		t.Error("a socket was kept after Close")
	}
}

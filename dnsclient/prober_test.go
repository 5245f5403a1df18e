package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// prober is impatient, for fake servers that do not answer.
func prober(t testing.TB) *Prober {
	t.Helper()
	return proberWith(t, ProberOptions{Timeout: 30 * time.Millisecond, Tries: 2})
}

// patient is for real servers on a busy machine.
func patient(t testing.TB) *Prober {
	t.Helper()
	return proberWith(t, ProberOptions{Timeout: 2 * time.Second})
}

func proberWith(t testing.TB, o ProberOptions) *Prober {
	t.Helper()
	p, err := NewProber(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// each yields the results of a sweep by zone.
func sweepAll(t *testing.T, p *Prober, o SweepOptions, probes ...Probe) map[string]Result {
	t.Helper()
	got := make(map[string]Result)
	err := p.Sweep(t.Context(), slices.Values(probes), o, func(r Result) error {
		if _, twice := got[r.Zone.String()]; twice {
			t.Errorf("%s twice", r.Zone)
		}
		got[r.Zone.String()] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(probes) {
		t.Errorf("%d results for %d questions", len(got), len(probes))
	}
	return got
}

func TestSweepSortsOutWhoseSOAItIs(t *testing.T) {
	t.Parallel()
	key := testKey()
	addr := fakeUDP(t, func(q []byte) [][]byte {
		question, _ := wire.NewReader(q).Question()
		switch strings.TrimSuffix(question.Name.String(), ".example.") {
		case "here":
			return [][]byte{message(q, wire.FlagAA, soaSet("HERE.example.", 7))}
		case "parent":
			return [][]byte{sectioned(q, wire.FlagAA|wire.Flags(wire.RcodeNXDomain), wire.SectionAuthority, soaSet("example.", 9))}
		case "nodata":
			return [][]byte{sectioned(q, wire.FlagAA, wire.SectionAuthority, soaSet("example.", 9))}
		case "delegated":
			return [][]byte{sectioned(q, 0, wire.SectionAuthority, set("delegated.example.", zone.TypeNS, "\x02ns\x07example\x00"))}
		case "alias":
			return [][]byte{message(q, wire.FlagAA, set("alias.example.", zone.TypeCNAME, "\x04here\x07example\x00"), soaSet("here.example.", 7))}
		case "cached":
			return [][]byte{message(q, 0, soaSet("cached.example.", 7))}
		case "refused":
			return [][]byte{message(q, wire.Flags(wire.RcodeRefused))}
		case "servfail":
			return [][]byte{message(q, wire.Flags(wire.RcodeServFail))}
		case "signed":
			return signed(q, key, message(q, wire.FlagAA, soaSet("signed.example.", 8)))
		case "unsigned":
			return [][]byte{message(q, wire.FlagAA, soaSet("unsigned.example.", 8))}
		case "stray":
			return [][]byte{setID(message(q, wire.FlagAA, soaSet("stray.example.", 666)), idOf(q)^1), message(q, wire.FlagAA, soaSet("stray.example.", 8))}
		case "question":
			m := message(q, wire.FlagAA, soaSet("question.example.", 8))
			m[13] ^= 1
			return [][]byte{m}
		case "bad":
			return [][]byte{message(q, wire.FlagAA, set("bad.example.", zone.TypeSOA, soaData(1)))[:60]}
		}
		return nil
	})
	type want struct {
		serves, absent bool
		kind           error
		owner          string
		serial         zone.Serial
	}
	wants := map[string]want{
		"here.example.":      {true, false, nil, "HERE.example.", 7},
		"parent.example.":    {false, true, nil, "example.", 9},
		"nodata.example.":    {false, true, nil, "example.", 9},
		"delegated.example.": {false, true, nil, "", 0},
		"alias.example.":     {false, true, nil, "here.example.", 7},
		"cached.example.":    {false, true, nil, "cached.example.", 7},
		"refused.example.":   {false, true, nil, "", 0},
		"servfail.example.":  {false, false, nil, "", 0},
		"signed.example.":    {true, false, nil, "signed.example.", 8},
		"unsigned.example.":  {false, false, ErrTSIG, "", 0},
		"stray.example.":     {true, false, nil, "stray.example.", 8},
		"question.example.":  {false, false, ErrMismatch, "", 0},
		"bad.example.":       {false, false, ErrMalformed, "", 0},
		"silent.example.":    {false, false, ErrTimeout, "", 0},
	}
	var probes []Probe
	for z := range wants {
		p := Probe{Server: addr, Zone: name(z), Ref: z}
		if z == "signed.example." || z == "unsigned.example." {
			p.Key = key
		}
		probes = append(probes, p)
	}
	for z, r := range sweepAll(t, prober(t), SweepOptions{}, probes...) {
		w := wants[z]
		owner := ""
		if r.Owner != "" {
			owner = r.Owner.String()
		}
		if r.Serves() != w.serves || r.Absent() != w.absent || !errors.Is(r.Err, w.kind) || owner != w.owner || r.Serial != w.serial || r.Ref != any(z) {
			t.Errorf("%s: got %+v, want %+v", z, r, w)
		}
	}
}

func TestProberIgnoresAnswersFromElsewhere(t *testing.T) {
	t.Parallel()
	liar, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = liar.Close() })
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = liar.WriteTo(message(buf[:n], wire.FlagAA, soaSet("example.", 666)), from)
			_, _ = conn.WriteTo(message(buf[:n], wire.FlagAA, soaSet("example.", 7)), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	r := prober(t).SOA(t.Context(), Probe{Server: netip.MustParseAddrPort(conn.LocalAddr().String()), Zone: name("example.")})
	if r.Err != nil || r.Serial != 7 {
		t.Errorf("got %+v", r)
	}
}

func TestSweepRepeatsLostQuestionsAndGoesOverTCPWhenTruncatedAndInTheEnd(t *testing.T) {
	t.Parallel()
	tcp := fakeTCP(t, func(conn net.Conn, q []byte) {
		question, _ := wire.NewReader(q).Question()
		frames(conn, message(q, wire.FlagAA, soaSet(question.Name.String(), 7)))
	})
	var asked, last atomic.Int32
	addr := fakeUDPAt(t, tcp.String(), func(q []byte) [][]byte {
		question, _ := wire.NewReader(q).Question()
		if question.Name == name("big.example.") {
			return [][]byte{message(q, wire.FlagTC)}
		}
		if question.Name == name("last.example.") {
			last.Add(1)
			return nil
		}
		if asked.Add(1) == 1 {
			return nil
		}
		return [][]byte{message(q, wire.FlagAA, soaSet("lost.example.", 8))}
	})
	p := proberWith(t, ProberOptions{Timeout: 30 * time.Millisecond})
	got := sweepAll(t, p, SweepOptions{}, Probe{Server: addr, Zone: name("big.example.")}, Probe{Server: addr, Zone: name("lost.example.")}, Probe{Server: addr, Zone: name("last.example.")})
	for z, serial := range map[string]zone.Serial{"big.example.": 7, "lost.example.": 8, "last.example.": 7} {
		if r := got[z]; !r.Serves() || r.Serial != serial {
			t.Errorf("%s: %+v", z, r)
		}
	}
	if n := last.Load(); n != 2 {
		t.Errorf("asked %d times over UDP", n)
	}
}

// zones yields n probes of one server.
func zones(addr netip.AddrPort, n int) iter.Seq[Probe] {
	return func(yield func(Probe) bool) {
		for i := range n {
			if !yield(Probe{Server: addr, Zone: name(fmt.Sprintf("z%d.example.", i))}) {
				return
			}
		}
	}
}

func TestSweepKeepsToItsWindow(t *testing.T) {
	t.Parallel()
	addr := fakeUDP(t, func(q []byte) [][]byte { return [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))} })
	begun, ended := 0, 0
	items := func(yield func(Probe) bool) {
		for p := range zones(addr, 5000) {
			// The item at hand waits outside the window.
			if begun++; begun-ended > 8+1 {
				t.Errorf("%d questions under way", begun-ended)
			}
			if !yield(p) {
				return
			}
		}
	}
	err := patient(t).Sweep(t.Context(), items, SweepOptions{Window: 8}, func(r Result) error {
		ended++
		return r.Err
	})
	if err != nil || ended != 5000 {
		t.Errorf("%d results, %v", ended, err)
	}
}

func TestSweepDoesNotWaitForLateAnswersWhereTheyAreAskedForAgain(t *testing.T) {
	t.Parallel()
	addr := fakeUDP(t, func(q []byte) [][]byte {
		question, _ := wire.NewReader(q).Question()
		if question.Name == name("z3.example.") {
			return nil
		}
		return [][]byte{message(q, wire.FlagAA, soaSet(question.Name.String(), 7))}
	})
	p := proberWith(t, ProberOptions{Timeout: time.Minute})
	served := 0
	err := p.Sweep(t.Context(), zones(addr, 50), SweepOptions{Late: 50 * time.Millisecond}, func(r Result) error {
		if r.Serves() {
			served++
		}
		return r.Err
	})
	if err != nil || served != 49 {
		t.Errorf("%d answers, %v", served, err)
	}
	for _, s := range p.sockets {
		if left := s.drop(nil); len(left) > 0 {
			t.Errorf("%d questions are still open", len(left))
		}
	}
	// Where none answers, none is late.
	silent := fakeUDP(t, func([]byte) [][]byte { return nil })
	if got := sweepAll(t, prober(t), SweepOptions{Late: time.Nanosecond}, Probe{Server: silent, Zone: name("a.example.")}); !errors.Is(got["a.example."].Err, ErrTimeout) {
		t.Errorf("got %v", got)
	}
}

func TestSweepWritesADeadServerOffAndNoticesItsReturn(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	dead := fakeUDP(t, func([]byte) [][]byte { asked.Add(1); return nil })
	results := 0
	err := prober(t).Sweep(t.Context(), zones(dead, 100_000), SweepOptions{Window: 10, GiveUp: 20}, func(r Result) error {
		results++
		if !errors.Is(r.Err, ErrTimeout) {
			t.Errorf("got %v", r.Err)
		}
		return nil
	})
	if err != nil || results != 100_000 || asked.Load() > 1000 {
		t.Errorf("%d results, %d datagrams, %v", results, asked.Load(), err)
	}
	// Silent for its first questions, then well.
	var first atomic.Int32
	back := fakeUDP(t, func(q []byte) [][]byte {
		if first.Add(1) <= 40 {
			return nil
		}
		return [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))}
	})
	good := 0
	items := func(yield func(Probe) bool) {
		for i := 0; good == 0; i++ {
			if !yield(Probe{Server: back, Zone: name("example.")}) {
				return
			}
		}
	}
	err = prober(t).Sweep(t.Context(), items, SweepOptions{Window: 4, GiveUp: 4}, func(r Result) error {
		if r.Err == nil {
			good++
		}
		return nil
	})
	if err != nil || good == 0 {
		t.Errorf("%d answers, %v", good, err)
	}
}

func TestSweepEndsWithItsContextAndWithItsConsumer(t *testing.T) {
	t.Parallel()
	p := prober(t)
	ctx, cancel := context.WithCancel(t.Context())
	silent := fakeUDP(t, func([]byte) [][]byte { cancel(); return nil })
	if err := p.Sweep(ctx, zones(silent, 100), SweepOptions{}, func(Result) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	addr := fakeUDP(t, func(q []byte) [][]byte { return [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))} })
	stop := errors.New("enough")
	if err := p.Sweep(t.Context(), zones(addr, 100), SweepOptions{}, func(Result) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
	for _, s := range p.sockets {
		if left := s.drop(nil); len(left) > 0 {
			t.Errorf("%d questions left open", len(left))
		}
	}
}

func TestSweepKeepsToItsPace(t *testing.T) {
	t.Parallel()
	addr := fakeUDP(t, func(q []byte) [][]byte { return [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))} })
	start := time.Now()
	if err := prober(t).Sweep(t.Context(), zones(addr, 200), SweepOptions{Rate: 1000}, func(r Result) error { return r.Err }); err != nil {
		t.Fatal(err)
	}
	// 200 at 1,000/s take 0.2 s less the 10 ms that may be caught up; slower is no fault.
	if took := time.Since(start); took < 180*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

func TestSingleProbesEndWithTheirContextAndWithTheProber(t *testing.T) {
	t.Parallel()
	p, err := NewProber(ProberOptions{Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := fakeUDP(t, func([]byte) [][]byte { cancel(); return nil })
	if r := p.SOA(ctx, Probe{Server: silent, Zone: name("example.")}); !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %v", r.Err)
	}
	heard := make(chan struct{})
	deaf := fakeUDP(t, func([]byte) [][]byte { close(heard); return nil })
	result := make(chan Result)
	go func() { result <- p.SOA(t.Context(), Probe{Server: deaf, Zone: name("example.")}) }()
	<-heard
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if r := <-result; r.Err == nil {
		t.Error("an answer from nowhere")
	}
}

func TestProberAsksOverIPv6(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Logf("this machine has no IPv6: %v", err)
		return
	}
	_ = conn.Close()
	addr := fakeUDPAt(t, "[::1]:0", func(q []byte) [][]byte { return [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))} })
	if r := prober(t).SOA(t.Context(), Probe{Server: addr, Zone: name("example.")}); r.Err != nil || r.Serial != 7 {
		t.Errorf("got %+v", r)
	}
}

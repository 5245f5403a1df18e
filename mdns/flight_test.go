package mdns

import (
	"bufio"
	"errors"
	"testing"

	"dnsctl/wire"
	"dnsctl/zone"
)

func TestATransferBeginsWhileTheZoneIsRead(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "Big.example.", 1, 30000)
	m.create(s)
	m.parts = make(chan struct{})
	r := start(t, m, nil)
	q := transferQuery("big.example.", zone.TypeAXFR, 0)
	var early []*bufio.Reader
	for range 3 {
		early = append(early, bufio.NewReader(ask(t, r.addr, q)))
	}
	for range 20 { // a message's worth
		m.parts <- struct{}{}
	}
	for _, c := range early {
		if _, err := c.Peek(1000); err != nil {
			t.Fatalf("nothing is sent before the zone is read: %v", err)
		}
	}
	close(m.parts)
	for _, c := range early {
		_, recs, datas, _ := receive(t, c, q, nil)
		same(t, s, recs, datas)
	}
	_, recs, datas, _ := fetch(t, r.addr, q, nil)
	same(t, s, recs, datas)
	m.with(func(m *memory) {
		if m.loads != 1 {
			t.Errorf("read %d times", m.loads)
		}
	})
}

func TestAZoneThatCannotBeReadToItsEndEndsItsTransfer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "Big.example.", 1, 30000)
	m.create(s)
	m.broken = errors.New("a row is damaged")
	r := start(t, m, nil)
	q := transferQuery("big.example.", zone.TypeAXFR, 0)
	c := ask(t, r.addr, q)
	for {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			break // closed before the transfer was whole
		}
		h, _ := wire.ParseHeader(msg)
		if h.Flags.Rcode() != wire.RcodeSuccess {
			break
		}
		rd, soas := wire.NewReader(msg), 0
		if _, err := rd.Question(); err != nil {
			t.Fatal(err)
		}
		for range h.Counts[wire.SectionAnswer] {
			rec, err := rd.Record()
			if err != nil {
				t.Fatal(err)
			}
			if rec.Type == zone.TypeSOA {
				soas++
			}
		}
		if soas == 2 {
			t.Fatal("part of a zone was sent as the whole")
		}
	}
	m.with(func(m *memory) { m.broken = nil })
	_, recs, datas, _ := fetch(t, r.addr, q, nil)
	same(t, s, recs, datas)
}

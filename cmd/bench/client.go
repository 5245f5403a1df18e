package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"dnsctl/wire"
	"dnsctl/zone"
)

// The clients here look at as little as they can, so that the server is what is
// measured: they read lengths, rcodes and counts of answers, nothing else.

// question is a request, ready for a stream: with its length before it.
type question struct {
	zone   string
	typ    zone.Type
	serial zone.Serial // of an IXFR
	key    *wire.Key   // nil: unsigned
}

func (q question) frame() []byte {
	var e wire.Encoder
	name := zone.MustParseName(q.zone + ".")
	e.Reset(make([]byte, wire.LengthPrefix), wire.Header{ID: 1}, wire.Full, "", wire.MaxMessage-wire.LengthPrefix)
	e.Question(wire.Question{Name: name, Type: q.typ, Class: wire.ClassIN})
	if q.typ == zone.TypeIXFR {
		soa := zone.SOA{MName: zone.Root, RName: zone.Root, Serial: q.serial}
		e.Record(wire.SectionAuthority, name, zone.TypeSOA, 0, soa.Rdata())
	}
	b := e.Bytes()
	if q.key != nil {
		b, _ = wire.SignRequest(b, wire.LengthPrefix, *q.key, time.Now())
	}
	wire.PutLength(b)
	return b
}

// stream is a client's TCP connection.
type stream struct {
	net.Conn
	buf     []byte
	have    []byte // read and not looked at
	records int
	octets  int64 // DNS messages, their lengths included
	skip    int   // octets of the present message that are still to come
}

const patience = 2 * time.Minute

// dial connects, over TLS where there are settings for it.
func dial(addr string, conf *tls.Config) (*stream, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if conf != nil {
		c = tls.Client(c, conf)
	}
	return &stream{Conn: c, buf: make([]byte, 256<<10)}, c.SetDeadline(time.Now().Add(patience))
}

// count reads until n records have come since the stream began.
func (s *stream) count(n int) error {
	for s.records < n {
		if err := s.message(); err != nil {
			return fmt.Errorf("after %d of %d records: %w", s.records, n, err)
		}
	}
	return nil
}

// message reads one message's header and leaves the rest to be skipped.
func (s *stream) message() error {
	for s.skip > 0 {
		if len(s.have) == 0 {
			if err := s.fill(); err != nil {
				return err
			}
		}
		n := min(s.skip, len(s.have))
		s.have, s.skip = s.have[n:], s.skip-n
	}
	const need = wire.LengthPrefix + wire.HeaderLen
	for len(s.have) < need {
		if err := s.fill(); err != nil {
			return err
		}
	}
	length := int(binary.BigEndian.Uint16(s.have))
	if length < wire.HeaderLen {
		return errors.New("message is shorter than a header")
	}
	h, _ := wire.ParseHeader(s.have[wire.LengthPrefix:])
	if rcode := h.Flags.Rcode(); rcode != wire.RcodeSuccess {
		return fmt.Errorf("answer is %s", rcode)
	}
	s.records += int(h.Counts[wire.SectionAnswer])
	s.octets += int64(length) + wire.LengthPrefix
	s.have, s.skip = s.have[need:], length-wire.HeaderLen
	return nil
}

// fill reads more behind what is there.
func (s *stream) fill() error {
	n := copy(s.buf, s.have)
	k, err := s.Read(s.buf[n:])
	s.have = s.buf[:n+k]
	if k > 0 {
		return nil
	}
	return err
}

// at runs f for 0 to n-1 at the same time and gives the first error.
func at(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// transferred is what a transfer brought.
type transferred struct {
	records int
	octets  int64
	first   time.Duration // from the question to the first message
}

// transfer asks once on a connection of its own and reads the number of records
// that the answer has.
func transfer(addr string, conf *tls.Config, frame []byte, records int) (transferred, error) {
	s, err := dial(addr, conf)
	if err != nil {
		return transferred{}, err
	}
	defer s.Close()
	began := time.Now()
	if _, err := s.Write(frame); err != nil {
		return transferred{}, err
	}
	if err := s.message(); err != nil {
		return transferred{}, err
	}
	first := time.Since(began)
	err = s.count(records)
	return transferred{s.records, s.octets, first}, err
}

// udpWindow is how many questions one socket has open at a time, udpSockets how
// many sockets ask.
const (
	udpWindow  = 64
	udpSockets = 4
)

// flood asks the questions over UDP, over and over until d has passed, or each
// once when d is 0, and says how many answers came and how many did not.
func flood(addr string, questions [][]byte, d time.Duration) (answers, lost int, err error) {
	var mu sync.Mutex
	end := time.Now().Add(d)
	err = at(udpSockets, func(i int) error {
		c, err := net.Dial("udp4", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		from, to := i*len(questions)/udpSockets, (i+1)*len(questions)/udpSockets
		count := to - from
		if d > 0 {
			count = math.MaxInt
		}
		a, l, err := floodOne(ipv4.NewPacketConn(c.(*net.UDPConn)), questions, from, count, end)
		mu.Lock()
		defer mu.Unlock()
		answers, lost = answers+a, lost+l
		return err
	})
	return answers, lost, err
}

// floodOne asks count questions, those from next on, unless end comes first where
// they are without end.
func floodOne(c *ipv4.PacketConn, questions [][]byte, next, count int, end time.Time) (answers, lost int, err error) {
	out, in := make([]ipv4.Message, udpWindow), make([]ipv4.Message, udpWindow)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, 512)}
	}
	for count > 0 && (count < math.MaxInt/2 || time.Now().Before(end)) {
		window := min(count, udpWindow)
		for i := range window {
			out[i].Buffers = [][]byte{questions[next%len(questions)]}
			next++
		}
		count -= window
		for sent := 0; sent < window; {
			n, err := c.WriteBatch(out[sent:window], 0)
			if err != nil {
				return answers, lost, err
			}
			sent += n
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for got := 0; got < window; {
			n, err := c.ReadBatch(in, 0)
			if err != nil { // the deadline
				lost += window - got
				break
			}
			for i := range in[:n] {
				h, ok := wire.ParseHeader(in[i].Buffers[0][:in[i].N])
				if !ok || h.Flags.Rcode() != wire.RcodeSuccess || h.Counts[wire.SectionAnswer] != 1 {
					return answers, lost, errors.New("an answer is not the one SOA")
				}
			}
			got += n
			answers += n
		}
	}
	return answers, lost, nil
}

// soaWatch asks one server for one zone's SOA again and again.
type soaWatch struct {
	c    net.Conn
	msg  []byte
	in   [512]byte
	wait time.Duration // for an answer
}

func watchSOA(addr, name string) (*soaWatch, error) {
	c, err := net.Dial("udp4", addr)
	if err != nil {
		return nil, err
	}
	return &soaWatch{c: c, msg: question{zone: name, typ: zone.TypeSOA}.frame()[wire.LengthPrefix:], wait: 500 * time.Millisecond}, nil
}

// serial asks once. ok is false where no answer with an SOA comes at once.
func (w *soaWatch) serial() (serial zone.Serial, ok bool, err error) {
	w.msg[1]++ // another id, so that a late answer is not taken for this one
	if _, err := w.c.Write(w.msg); errors.Is(err, syscall.ECONNREFUSED) {
		return 0, false, nil // nobody listened when it was asked before
	} else if err != nil {
		return 0, false, err
	}
	_ = w.c.SetReadDeadline(time.Now().Add(w.wait))
	for {
		n, err := w.c.Read(w.in[:])
		if err != nil {
			return 0, false, nil
		}
		h, ok := wire.ParseHeader(w.in[:n])
		if !ok || byte(h.ID) != w.msg[1] {
			continue
		}
		r := wire.NewReader(w.in[:n])
		if _, err := r.Question(); err != nil || h.Counts[wire.SectionAnswer] != 1 {
			return 0, false, nil
		}
		rec, err := r.Record()
		if err != nil || rec.Type != zone.TypeSOA || len(rec.Data) < 20 {
			return 0, false, nil
		}
		return zone.Serial(binary.BigEndian.Uint32(rec.Data[len(rec.Data)-20:])), true, nil
	}
}

// until asks every millisecond until the serial is want.
func (w *soaWatch) until(ctx context.Context, want zone.Serial, patience time.Duration) (time.Time, error) {
	end := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		have, ok, err := w.serial()
		now := time.Now()
		switch {
		case err != nil:
			return now, err
		case ctx.Err() != nil:
			return now, ctx.Err()
		case ok && !have.Behind(want):
			return now, nil
		case now.After(end):
			return now, fmt.Errorf("serial %d did not come within %s; it is %d", want, patience, have)
		}
		<-tick.C
	}
}

package dnsclient

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// TransferOptions bound a transfer; the zero value has the defaults.
type TransferOptions struct {
	// MaxOctets bounds the answer, both as received and with its names
	// uncompressed; 1 GiB when 0. In memory a zone takes some multiple of it.
	MaxOctets int64
	// Progress is how long 4 KiB more may take to arrive; 30 s when 0. The whole
	// is bounded by the context only.
	Progress time.Duration
}

func (o TransferOptions) withDefaults() TransferOptions {
	o.MaxOctets = cmp.Or(o.MaxOctets, 1<<30)
	o.Progress = cmp.Or(o.Progress, 30*time.Second)
	return o
}

const readBuffer = 64 << 10

// Transfer fetches a whole zone by AXFR over TCP (RFC 5936). The answer begins
// and ends with the same SOA, all of it belongs to the zone, and where key is
// given all of it is covered by signatures, of which up to 99 messages in a row
// may be without (RFC 8945 section 5.3.1); anything else is an *Error.
func (c *Client) Transfer(ctx context.Context, addr netip.AddrPort, name zone.Name, key *wire.Key, o TransferOptions) (*zone.Snapshot, error) {
	fail := &Error{Op: OpTransfer, Server: addr, Zone: name, Type: zone.TypeAXFR, Key: keyName(key)}
	var snap *zone.Snapshot
	err := c.stream(ctx, addr, ask{name: name, typ: zone.TypeAXFR, key: key}, o, func(s *stream) (err error) {
		snap, err = readZone(s)
		return err
	})
	if err != nil {
		return nil, fail.complete(ctx, err)
	}
	return snap, nil
}

// complete is classify for an error that may be an Error of the stream, which
// knows only what the server answered.
func (e *Error) complete(ctx context.Context, err error) *Error {
	var answer *Error
	if errors.As(err, &answer) {
		e.Kind, e.Rcode = answer.Kind, answer.Rcode
		return e
	}
	return e.classify(ctx, err)
}

// stream sends a transfer request and hands its answer to read.
func (c *Client) stream(ctx context.Context, addr netip.AddrPort, a ask, o TransferOptions, read func(*stream) error) error {
	o = o.withDefaults()
	req, err := newRequest(new(wire.Encoder), a, c.now())
	if err != nil {
		return err
	}
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetWriteDeadline(time.Now().Add(o.Progress))
	if err := wire.WriteFrame(conn, req.msg); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s := &stream{
		in:    bufio.NewReaderSize(newMeter(conn, o.Progress, o.MaxOctets), readBuffer),
		req:   req,
		now:   c.now,
		limit: o.MaxOctets,
		buf:   make([]byte, 0, wire.MaxMessage),
	}
	if a.key != nil {
		s.verifier = wire.NewVerifier(*a.key, req.mac)
	}
	return read(s)
}

// readZone reads an AXFR's answer.
func readZone(s *stream) (*zone.Snapshot, error) {
	first, err := s.firstSOA()
	if err != nil {
		return nil, err
	}
	next, err := s.next()
	if err != nil {
		return nil, err
	}
	return readRest(s, first, next)
}

// firstSOA reads the SOA that every transfer begins with.
func (s *stream) firstSOA() (record, error) {
	r, err := s.next()
	if err != nil {
		return r, err
	}
	soa, err := s.isSOA(r)
	if err == nil && !soa {
		err = bad(ErrMalformed, "it begins with %s %s instead of the SOA", r.owner, r.typ)
	}
	if err == nil {
		_, err = serialOf(r)
	}
	return r, err
}

// readRest collects a whole zone from its first SOA and the record after it on,
// up to the SOA that closes it.
func readRest(s *stream, first, r record) (*zone.Snapshot, error) {
	b := zone.NewBuilder(first.owner, 0)
	if err := readSets(s, first, r, b.AddKeyed); err != nil {
		return nil, err
	}
	snap, err := b.Build()
	if err != nil {
		return nil, &detail{ErrMalformed, err}
	}
	return snap, nil
}

// readSets is readRest for content that need not be kept.
func readSets(s *stream, first, r record, put func(zone.Key, zone.RRset)) error {
	c := collector{put: put}
	c.add(first)
	for {
		soa, err := s.isSOA(r)
		if err != nil {
			return err
		}
		if soa {
			if !sameSOA(r.rdata, first.rdata) {
				return bad(ErrMismatch, "the SOA at its end differs from the one at its beginning")
			}
			c.flush()
			return s.finish()
		}
		c.add(r)
		if r, err = s.next(); err != nil {
			return err
		}
	}
}

// Walk is Transfer for content that need not be kept: put gets each RRset as it
// arrives, the SOA first; one whose records do not follow each other comes in
// pieces. What it got counts only when the error is nil.
func (c *Client) Walk(ctx context.Context, addr netip.AddrPort, name zone.Name, key *wire.Key, o TransferOptions, put func(zone.Key, zone.RRset)) error {
	fail := &Error{Op: OpTransfer, Server: addr, Zone: name, Type: zone.TypeAXFR, Key: keyName(key)}
	err := c.stream(ctx, addr, ask{name: name, typ: zone.TypeAXFR, key: key}, o, func(s *stream) error {
		first, err := s.firstSOA()
		if err != nil {
			return err
		}
		next, err := s.next()
		if err != nil {
			return err
		}
		return readSets(s, first, next, put)
	})
	if err != nil {
		return fail.complete(ctx, err)
	}
	return nil
}

// collector makes RRsets of records that mostly come RRset by RRset.
type collector struct {
	put  func(zone.Key, zone.RRset)
	set  zone.RRset // of the records in data
	key  zone.Key   // of set.Owner
	data []string
}

func (c *collector) add(r record) {
	covers := zone.CoversOf(r.typ, r.rdata)
	if len(c.data) == 0 || r.typ != c.set.Type || covers != c.set.Covers || r.owner != c.set.Owner {
		c.flush()
		if r.owner != c.set.Owner {
			c.key = r.owner.Key()
		}
		c.set = zone.RRset{Owner: r.owner, Type: r.typ, Covers: covers, TTL: r.ttl}
	}
	c.data = append(c.data, r.rdata)
}

func (c *collector) flush() {
	if len(c.data) > 0 {
		c.set.Data = zone.PackRdata(c.data...)
		c.put(c.key, c.set)
		c.data = c.data[:0]
	}
}

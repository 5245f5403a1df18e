package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"dnsctl/zone"
)

// ixfrChanges is how many versions the client is behind.
const ixfrChanges = 20

func measureIXFR(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	if p, ok := s.(*peer); ok && p.noIXFR != "" {
		b.bed.Fatalf("%s", p.noIXFR)
	}
	addr := s.desc().addr
	w, err := watchSOA(addr, bigZone)
	b.bed.must("ask for the serial", err)
	defer w.c.Close()
	from, ok, err := w.serial()
	if !ok || err != nil {
		b.bed.Fatalf("ask for the serial of the big zone: %v", err)
	}
	for n := range ixfrChanges {
		s.change(ctx, n)
	}
	_, err = w.until(ctx, from+ixfrChanges, 10*time.Second)
	b.bed.must("wait for the changes", err)
	frame := question{zone: bigZone, typ: zone.TypeIXFR, serial: from}.frame()
	// The SOA at both ends, and what went and what came, each behind an SOA: for
	// every change, or for all in one (RFC 1995 section 5).
	const least, most = 2 + 2 + ixfrChanges*2, 2 + ixfrChanges*4
	records, err := sizeOf(addr, frame)
	// Processes that NSD has just replaced end the connections that they still take.
	for end := time.Now().Add(patience); errors.Is(err, io.EOF) && time.Now().Before(end); {
		records, err = sizeOf(addr, frame)
	}
	b.bed.must("ask for the changes", err)
	if records < least || records > most {
		b.bed.Fatalf("%d changes come as %d records, not as %d to %d", ixfrChanges, records, least, most)
	}
	t := b.table(name)
	t.add(fmt.Sprintf("ixfr/%d changes", ixfrChanges), "records", "", float64(records))
	for range b.repeat {
		since := usedBy(s)
		var transfers atomic.Int64
		begin := time.Now()
		err := at(manyConns, func(int) error {
			for time.Since(begin) < b.sample {
				frames := make([][]byte, 50)
				for i := range frames {
					frames[i] = frame
				}
				if err := onOneConn(addr, frames, 1, records); err != nil {
					return err
				}
				transfers.Add(int64(len(frames)))
			}
			return nil
		})
		wall := time.Since(begin).Seconds()
		b.bed.must("transfer changes", err)
		n := float64(transfers.Load())
		t.add(fmt.Sprintf("ixfr/%d changes", ixfrChanges), "transfers/s", "", n/wall)
		t.spent(s, fmt.Sprintf("ixfr/%d changes", ixfrChanges), "us/transfer", since, n, 1e6)
	}
	t.done()
}

// sizeOf is how many records an answer has: those that come until the server
// has nothing more to send for a while.
func sizeOf(addr string, frame []byte) (int, error) {
	s, err := dial(addr, nil)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if _, err := s.Write(frame); err != nil {
		return 0, err
	}
	for {
		err := s.message()
		var slow net.Error
		switch {
		case errors.As(err, &slow) && slow.Timeout() && s.records > 0:
			return s.records, nil
		case err != nil:
			return 0, err
		}
		_ = s.SetDeadline(time.Now().Add(time.Second))
	}
}

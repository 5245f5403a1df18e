package main

import (
	"context"
	"net"

	"dnsctl/testbed"
	"dnsctl/wire"
)

// measureLimit serves messages that were made beforehand.
func measureLimit(_ context.Context, b *bench, name string) {
	const size, each = 60 << 10, 1800
	whole := wire.Header{ID: 1, Flags: wire.FlagQR, Counts: [4]uint16{0, each}}.Append(make([]byte, wire.LengthPrefix, size))[:size]
	wire.PutLength(whole)
	t := b.table(name)
	for range b.repeat {
		b.prepacked(whole, true, func(addr string) {
			for _, conns := range []int{1, manyConns} {
				row := "axfr/warm"
				if conns > 1 {
					row += " 8 connections"
				}
				wall, got := b.big(addr, nil, nil, conns, false)
				t.add(row, "records/s", "", float64(got.records)/wall)
			}
		})
		// About as long as a small zone's transfer.
		small := wire.Header{ID: 1, Flags: wire.FlagQR, Counts: [4]uint16{0, smallSize + 1}}.Append(make([]byte, wire.LengthPrefix, 400))[:400]
		wire.PutLength(small)
		b.prepacked(small, false, func(addr string) {
			for _, c := range smallShapes {
				wall, zones := b.smallZones(&place{addr: addr}, c)
				t.add("small/"+c.name, "zones/s", "", float64(zones)/wall)
			}
		})
	}
	t.done()
}

// prepacked listens and sends a message for each question, or endlessly after
// the first.
func (b *bench) prepacked(msg []byte, endless bool, f func(addr string)) {
	// Not a port of the system's choice: connections that have just ended may hold
	// all of these for a minute.
	l, err := net.Listen("tcp", testbed.FreeAddr(b.bed))
	b.bed.must("listen", err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go prepackedConn(c, msg, endless)
		}
	}()
	f(l.Addr().String())
}

func prepackedConn(c net.Conn, msg []byte, endless bool) {
	defer c.Close()
	in := make([]byte, 16<<10)
	have := 0
	var out []byte
	for {
		n, err := c.Read(in[have:])
		if err != nil {
			return
		}
		have += n
		out = out[:0]
		pos := 0
		for have-pos >= wire.LengthPrefix {
			length := wire.LengthPrefix + int(in[pos])<<8 + int(in[pos+1])
			if have-pos < length {
				break
			}
			pos += length
			out = append(out, msg...)
		}
		have = copy(in, in[pos:have])
		for {
			if _, err := c.Write(out); err != nil {
				return
			}
			if !endless {
				break
			}
		}
	}
}

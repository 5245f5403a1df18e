package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// receiver stands in for a nameserver that costs nothing: it acknowledges NOTIFY
// and remembers it, and hands every other question on to mdns, so that it seems
// to have every zone in its newest version.
type receiver struct {
	addr string
	key  wire.Key

	mu   sync.Mutex
	told map[string][]notice // by zone
}

// notice is one NOTIFY.
type notice struct {
	serial zone.Serial
	at     time.Time
}

// receive begins a receiver that asks mdns at the address primary.
func receive(t *bed, primary string, key wire.Key) *receiver {
	r := &receiver{addr: testbed.FreeAddr(t), key: key, told: map[string][]notice{}}
	to, err := net.ResolveUDPAddr("udp4", r.addr)
	t.must("listen", err)
	in, err := net.ListenUDP("udp4", to)
	t.must("listen", err)
	_ = in.SetReadBuffer(4 << 20)
	up, err := net.Dial("udp4", primary)
	t.must("reach mdns", err)
	var wg sync.WaitGroup
	var askers sync.Map // message id -> netip.AddrPort
	wg.Go(func() { r.serve(in, up, &askers) })
	wg.Go(func() { // answers of mdns
		buf := make([]byte, wire.MaxMessage)
		for {
			n, err := up.Read(buf)
			if err != nil {
				if isClosed(err) {
					return
				}
				continue // mdns does not listen yet
			}
			if n < wire.HeaderLen {
				continue
			}
			if who, ok := askers.LoadAndDelete(binary.BigEndian.Uint16(buf)); ok {
				_, _ = in.WriteToUDPAddrPort(buf[:n], who.(netip.AddrPort))
			}
		}
	})
	t.Cleanup(func() {
		_ = in.Close()
		_ = up.Close()
		wg.Wait()
	})
	return r
}

func isClosed(err error) bool { return strings.Contains(err.Error(), net.ErrClosed.Error()) }

func (r *receiver) serve(in *net.UDPConn, up net.Conn, askers *sync.Map) {
	buf := make([]byte, wire.MaxMessage)
	for {
		n, from, err := in.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		at := time.Now()
		h, ok := wire.ParseHeader(buf[:n])
		if !ok {
			continue
		}
		if h.Flags.Opcode() != wire.OpNotify {
			askers.Store(h.ID, from)
			_, _ = up.Write(buf[:n])
			continue
		}
		name, serial, ack := r.acknowledge(buf[:n], at)
		if ack == nil {
			continue
		}
		_, _ = in.WriteToUDPAddrPort(ack, from)
		r.mu.Lock()
		r.told[name] = append(r.told[name], notice{serial, at})
		r.mu.Unlock()
	}
}

// acknowledge reads a NOTIFY with an SOA and makes the answer; nil when it is
// not one.
func (r *receiver) acknowledge(msg []byte, now time.Time) (name string, serial zone.Serial, ack []byte) {
	q, err := wire.ParseQuery(msg)
	if err != nil {
		return "", 0, nil
	}
	read := wire.NewReader(msg)
	if _, err := read.Question(); err != nil {
		return "", 0, nil
	}
	rec, err := read.Record()
	if err != nil || rec.Type != zone.TypeSOA || len(rec.Data) < 20 {
		return "", 0, nil
	}
	serial = zone.Serial(binary.BigEndian.Uint32(rec.Data[len(rec.Data)-20:]))
	ack = wire.Header{ID: q.ID, Flags: wire.FlagQR.With(wire.OpNotify, wire.RcodeSuccess) | wire.FlagAA, Counts: [4]uint16{1}}.Append(nil)
	ack = append(ack, msg[wire.HeaderLen:q.QuestionEnd]...)
	if q.TSIG != nil {
		ack = wire.NewSigner(r.key, q.TSIG).Sign(ack, 0, now)
	}
	return q.Question.Name.String(), serial, ack
}

// heard is when the receiver was first told of a version, or a newer one.
func (r *receiver) heard(name string, serial zone.Serial) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.told[name] {
		if !n.serial.Behind(serial) {
			return n.at, true
		}
	}
	return time.Time{}, false
}

// forget makes room for another sample.
func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.told)
}

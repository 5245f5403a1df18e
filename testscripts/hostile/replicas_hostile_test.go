package hostile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
)

// transferred is the messages of a transfer as they are sent, without their ids.
// The question is unsigned: the pool's --allow-transfer has to let us.
func transferred(t testing.TB, addr, zone string, from uint32) (all []byte, records int) {
	t.Helper()
	q := new(dns.Msg).SetAxfr(zone)
	if from > 0 {
		q.SetIxfr(zone, from, "ns1.example.net.", "h.example.net.")
	}
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		t.Fatal(err)
	}
	var newest uint32
	changes, ends := false, 0
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatalf("transfer of %s from %s: %v", zone, addr, err)
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatalf("transfer of %s from %s: %v", zone, addr, err)
		}
		var m dns.Msg
		if err := m.Unpack(msg); err != nil || m.Rcode != dns.RcodeSuccess {
			t.Fatalf("transfer of %s from %s: %v, %s", zone, addr, err, dns.RcodeToString[m.Rcode])
		}
		msg[0], msg[1] = 0, 0
		all = append(append(all, size[:]...), msg...)
		for _, rr := range m.Answer {
			soa, ok := rr.(*dns.SOA)
			switch {
			case !ok:
			case records == 0:
				newest = soa.Serial
			case records == 1:
				changes = true
			}
			if ok && soa.Serial == newest {
				ends++
			}
			records++
		}
		// The newest SOA comes first, last, and before the last additions of changes.
		if ends == 3 || ends == 2 && !changes || records == 1 && newest == from {
			return all, records
		}
	}
}

// TestReplicasSendTheSameAndOneTells runs three on one database, and kills the one
// that leads.
func TestReplicasSendTheSameAndOneTells(t *testing.T) {
	t.Parallel()
	addrs := []string{testbed.FreeAddr(t), testbed.FreeAddr(t), testbed.FreeAddr(t)}
	r := newRig(t, testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t), "")
	r.ok("pool", "create", "main", "--primary", addrs[0], "--primary", addrs[1], "--primary", addrs[2], "--ns", "ns1.example.net", "--email", "h@example.net", "--allow-transfer", "127.0.0.0/8")
	r.large(3000)
	replicas := make([]*mdns, len(addrs))
	for i, a := range addrs {
		replicas[i] = r.serve(a)
	}
	n := testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: r.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	(&filled{rig: r}).join(r, "ns1", n)
	r.ok("bootstrap", "ns1", "--wait")
	want := r.serials(n.Addr, "large.example")[0]
	change := func(i int) {
		t.Helper()
		r.ok("record", "set", "large.example", fmt.Sprintf("host%d", i), "A", "192.0.2.7")
		want++
	}
	follows := func(within time.Duration) {
		t.Helper()
		testbed.EventuallyNil(t, within, func() error {
			for _, a := range append([]string{n.Addr}, addrs...) {
				if got := r.serials(a, "large.example")[0]; got != want && got != 0 {
					return fmt.Errorf("%s is at %d, not %d", a, got, want)
				}
			}
			if got := r.serials(n.Addr, "large.example")[0]; got != want {
				return fmt.Errorf("ns1 is at %d, not %d", got, want)
			}
			return nil
		})
	}
	for i := range 4 {
		change(i)
		follows(patience)
	}

	same := func(among ...*mdns) {
		t.Helper()
		for from := range want {
			transferred(t, among[0].addr, "large.example.", from) // the next is sent from an image
			first, records := transferred(t, among[0].addr, "large.example.", from)
			for _, m := range among[1:] {
				transferred(t, m.addr, "large.example.", from)
				if got, n := transferred(t, m.addr, "large.example.", from); !bytes.Equal(got, first) {
					t.Errorf("from serial %d: %d octets and %d records, and %d octets and %d records", from, len(first), records, len(got), n)
				}
			}
		}
	}
	same(replicas...)

	// One tells, and only that one.
	told := func(m *mdns) float64 {
		n, err := strconv.ParseFloat(m.metric(`dnsctl_notifies_total{`), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	leads := func(m *mdns) bool { return m.metric("dnsctl_leader") == "1" }
	leader := slices.IndexFunc(replicas, leads)
	if leader < 0 {
		t.Fatal("nobody leads")
	}
	for i, m := range replicas {
		if n := told(m); (n > 0) != (i == leader) {
			t.Errorf("replica %d, while %d leads, has told %v times", i, leader, n)
		}
	}

	// Killed, the others go on, and one tells of what came meanwhile.
	replicas[leader].kill()
	change(10)
	follows(20 * time.Second) // the lease lasts for 6, and is tried for every 2
	left := slices.Delete(slices.Clone(replicas), leader, leader+1)
	testbed.EventuallyNil(t, patience, func() error { // it is counted when it is answered, maybe after named has the change
		if a, b := told(left[0]), told(left[1]); (a > 0) == (b > 0) {
			return fmt.Errorf("those left have told %v and %v times", a, b)
		}
		return nil
	})
	replicas[leader] = r.serve(addrs[leader])
	follows(patience)
	same(replicas...) // with one that was just started
	r.want(0, nil, "audit", "--deep")
}

// relay passes datagrams on to mdns and back, until end is called: whoever asks
// after that is told that nobody listens.
func relay(t testing.TB, addr, target string) (end func()) {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	in, err := net.ListenUDP("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { in.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			msg := slices.Clone(buf[:n])
			wg.Go(func() {
				out, err := net.Dial("udp", target)
				if err != nil {
					return
				}
				defer out.Close()
				_ = out.SetDeadline(time.Now().Add(2 * time.Second))
				answer := make([]byte, 64<<10)
				if _, err := out.Write(msg); err == nil {
					if n, err := out.Read(answer); err == nil {
						_, _ = in.WriteTo(answer[:n], from)
					}
				}
			})
		}
	})
	return func() { _ = in.Close() }
}

// TestAReplicaKilledInMidTransfer kills the first of two primaries when it has
// sent named a part of a zone.
func TestAReplicaKilledInMidTransfer(t *testing.T) {
	t.Parallel()
	addr, other := testbed.FreeAddr(t), testbed.FreeAddr(t)
	way := newProxy(t, addr)
	end := relay(t, way.addr, addr)
	r := newRig(t, testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t), "")
	r.ok("pool", "create", "main", "--primary", way.addr, "--primary", other, "--ns", "ns1.example.net", "--email", "h@example.net")
	r.large(60000)
	first, second := r.serve(addr), r.serve(other)
	var killed atomic.Bool
	way.behave(func(c net.Conn, target string, _ <-chan struct{}) {
		sent := 0
		pass(c, target, func(b []byte) []byte {
			if sent += len(b); sent > 300_000 {
				killed.Store(true)
				first.kill()
				end()
				return nil
			}
			return b
		})
	})
	n := testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: r.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	(&filled{rig: r}).join(r, "ns1", n)
	r.ok("bootstrap", "ns1", "--wait")
	if !killed.Load() {
		t.Fatal("nothing was killed: the zone came another way")
	}
	if out := r.dig(n.Addr, "+norecurse", "+short", "host59999.large.example"); out != "192.0.2.1\n" {
		t.Errorf("ns1 does not have the zone's end: %s", out)
	}
	r.ok("record", "set", "large.example", "host7", "A", "192.0.2.7")
	testbed.Eventually(t, 2*patience, func() bool {
		return strings.TrimSpace(r.dig(n.Addr, "+norecurse", "+short", "host7.large.example")) == "192.0.2.7"
	})
	if got := second.metric(`dnsctl_mdns_transfers_total{kind="axfr",result="done"}`); got == "0" {
		t.Error("the second primary sent nothing")
	}
	r.want(0, nil, "audit", "--deep")
}

// TestALostListenIsMadeGood ends the session that wakes mdns, and looks at what
// comes by that way only: the poll is an hour away.
func TestALostListenIsMadeGood(t *testing.T) {
	t.Parallel()
	pg := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	r := newRig(t, pg.NewDatabase(t), "127.0.0.1:5300")
	r.ok("zone", "create", "one.example")
	r.env = append(r.env, "DNSCTL_MDNS_POLL_INTERVAL=1h")
	m := r.serve(testbed.FreeAddr(t))
	key := r.key()
	for i := range 3 {
		// What is committed while nobody listens is found by whoever listens again.
		listening := `FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`
		testbed.Eventually(t, patience, func() bool {
			return execSQL(t, "postgres", r.url, `SELECT pg_terminate_backend(pid) `+listening) > 0
		})
		data := fmt.Sprintf("192.0.2.%d", i+1)
		r.ok("record", "set", "one.example", "www", "A", data)
		testbed.Eventually(t, patience, func() bool {
			return strings.Contains(r.dig(m.addr, "-k", key, "+short", "www.one.example"), data)
		})
	}
	if !strings.Contains(m.errs.String(), "watching the store for commits was interrupted") {
		t.Errorf("the log does not say so: %s", m.errs)
	}
}

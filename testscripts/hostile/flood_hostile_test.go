package hostile_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsctl/testbed"
)

// from connects to addr from an address.
func from(t testing.TB, ip, network, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(ip)}
	}
	c, err := d.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// honest has a proper client ask over UDP, TCP and TLS, one after the other, until
// the function that it returns is called. Each question must be answered in time,
// however long the flood lasts.
func (x *xot) honest() (stop func()) {
	ended, done := make(chan struct{}), make(chan error, 1)
	slowest, rounds := map[string]time.Duration{}, 0
	ask := map[string]func() error{
		"SOA over UDP": func() error {
			for range 3 { // a flood of datagrams may fill the kernel's buffer, so it asks again
				c, err := net.Dial("udp", x.addr)
				if err != nil {
					return err
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience / 3))
				buf := make([]byte, 512)
				if _, err = c.Write([]byte(packet(1, strings.Replace(smallAXFR, "\xfc", "\x06", 1)))); err == nil {
					var n int
					if n, err = c.Read(buf); err == nil && rcode(string(buf[:n])) == 0 {
						return nil
					}
				}
			}
			return errors.New("no answer to three questions")
		},
		"AXFR over TCP": func() error {
			c, err := net.Dial("tcp", x.addr)
			if err != nil {
				return err
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write(framed(smallAXFR)); err != nil {
				return err
			}
			head := make([]byte, 2+12)
			if _, err := io.ReadFull(c, head); err != nil {
				return err
			}
			if head[2+3]&15 != 0 || head[2+7] != 3 {
				return fmt.Errorf("answered %x", head)
			}
			return nil
		},
		"AXFR over TLS": func() error {
			rcode, err := x.ask(x.client(), smallAXFR)
			if rcode != 0 {
				err = fmt.Errorf("rcode %d", rcode)
			}
			return err
		},
	}
	go func() {
		for {
			for what, f := range ask {
				begin := time.Now()
				// One that asks nothing yet may be the one that makes room: it comes again.
				err := f()
				for tries := 1; err != nil && tries < 3; tries++ {
					err = f()
				}
				if err != nil {
					done <- fmt.Errorf("an honest %s after %s: %w", what, time.Since(begin), err)
					return
				}
				slowest[what] = max(slowest[what], time.Since(begin))
			}
			rounds++
			select {
			case <-ended:
				done <- nil
				return
			default:
			}
		}
	}()
	return func() {
		x.Helper()
		close(ended)
		if err := <-done; err != nil {
			x.Error(err)
		}
		x.Logf("%d rounds of honest questions, the slowest answers: %v", rounds, slowest)
	}
}

func (x *xot) resident() (octets float64) {
	x.Helper()
	if _, err := fmt.Sscanf(x.metric("process_resident_memory_bytes"), "%g", &octets); err != nil {
		x.Fatal(err)
	}
	return octets
}

// TestAFloodOfUnauthorisedTransfersIsCountedAndHardlyLogged has many addresses ask
// for a zone that they may not have, over TCP and UDP, unsigned and with a key that
// there is not.
func TestAFloodOfUnauthorisedTransfersIsCountedAndHardlyLogged(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	before := x.resident()
	stop := x.honest()
	const sources, questions, keyed = 20, 1000, 250
	signed := string(header(7, 0, 1, 0, 0, 1)) + certAXFR + emptyTSIG
	signed = string(binary.BigEndian.AppendUint16(nil, uint16(len(signed)))) + signed
	stream := []byte(strings.Repeat(string(framed(certAXFR)), questions) + strings.Repeat(signed, keyed))
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range sources {
		ip := fmt.Sprintf("127.0.1.%d", i+1)
		tcp, udp := from(t, ip, "tcp", x.addr), from(t, ip, "udp", x.addr)
		_ = tcp.SetDeadline(time.Now().Add(4 * patience))
		wg.Go(func() {
			if _, err := tcp.Write(stream); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got := map[int]int{}
			for range questions + keyed {
				head := make([]byte, 2)
				if _, err := io.ReadFull(tcp, head); err != nil {
					t.Error(err)
					return
				}
				msg := make([]byte, binary.BigEndian.Uint16(head))
				if _, err := io.ReadFull(tcp, msg); err != nil {
					t.Error(err)
					return
				}
				got[rcode(string(msg))]++
			}
			if got[refused] != questions || got[notAuth] != keyed {
				t.Errorf("rcodes %v", got)
			}
		})
		wg.Go(func() {
			for range questions {
				_, _ = udp.Write([]byte(packet(1, certAXFR)))
			}
		})
	}
	wg.Wait()
	stop()
	if got := x.metric(`dnsctl_mdns_queries_total{proto="tcp",rcode="REFUSED",type="AXFR"}`); got != fmt.Sprint(sources*questions) {
		t.Errorf("%s refusals over TCP are counted, not %d", got, sources*questions)
	}
	if got := x.metric(`dnsctl_mdns_tsig_errors_total{error="BADKEY"}`); got != fmt.Sprint(sources*keyed) {
		t.Errorf("%s questions with an unknown key are counted, not %d", got, sources*keyed)
	}
	var all float64
	if _, err := fmt.Sscanf(x.metric(`dnsctl_mdns_refusals_total{reason="zone"}`), "%g", &all); err != nil || all <= sources*questions {
		t.Errorf("%v refusals are counted, those over UDP among them (%v)", all, err)
	}
	lines := map[string]int{}
	for _, m := range regexp.MustCompile(`request refused.* peer=(127\.0\.1\.\d+):`).FindAllStringSubmatch(x.errs.String(), -1) {
		lines[m[1]]++
	}
	if len(lines) != sources {
		t.Errorf("log lines about %d sources", len(lines))
	}
	for source, n := range lines {
		if limit := int(time.Since(begin)/time.Second) + 1; n > limit {
			t.Errorf("%d lines about %s, not %d", n, source, limit)
		}
	}
	if grown := x.resident() - before; grown > 100<<20 {
		t.Errorf("%.0f octets more of memory", grown)
	}
}

// drop is a connection on which each octet is written by itself, and some time
// after the one before.
type drop struct {
	net.Conn
	tick *time.Ticker
}

func (d drop) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		<-d.tick.C
		_, err = d.Conn.Write(p[n : n+1])
		n++
	}
	return n, err
}

// TestFloodsOfEveryKindAtOnce has a thousand clients that ask nothing or half a
// question, handshakes that do not end or go octet by octet, random octets over
// UDP, TCP and TLS, and some who may have the large zone, and take nothing of it or
// an octet now and then.
func TestFloodsOfEveryKindAtOnce(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	for range 3 { // the zone and its image are in memory
		if out := x.dig(x.addr, "large.example", "AXFR"); !strings.Contains(out, "XFR size: 100003 records") {
			t.Fatalf("%.300s", out)
		}
	}
	before := x.resident()
	stop := x.honest()
	rnd := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for i := range 1000 {
		c := from(t, fmt.Sprintf("127.0.2.%d", 1+i%2), "tcp", x.addr)
		_, _ = c.Write([]byte("\xff\xffx")[:i%4])
	}
	for i := range 600 { // more than there may be, from addresses that have fewer than they may
		c := from(t, fmt.Sprintf("127.0.3.%d", 1+i%10), "tcp", x.tls)
		_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0}[:i%8])
	}
	tick := time.NewTicker(10 * time.Millisecond)
	t.Cleanup(tick.Stop)
	for range 20 {
		c := from(t, "127.0.4.1", "tcp", x.tls)
		go func() { _ = tls.Client(drop{c, tick}, x.client()).Handshake() }()
	}
	for i := range 20 {
		c := from(t, "127.0.5.1", "tcp", x.addr).(*net.TCPConn)
		_ = c.SetReadBuffer(4096)
		for range 50 {
			if _, err := c.Write(framed(largeAXFR)); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 {
			go func() {
				for range tick.C {
					if _, err := c.Read(make([]byte, 1)); err != nil {
						return
					}
				}
			}()
		}
	}
	udp := from(t, "127.0.6.1", "udp", x.addr)
	for range 5000 {
		_, _ = udp.Write(noise(rnd.IntN(600)))
	}
	for i := range 200 {
		c := from(t, "127.0.6.2", "tcp", []string{x.addr, x.tls}[i%2])
		_, _ = c.Write(noise(3000))
	}
	testbed.Eventually(t, patience, func() bool { return x.metric("dnsctl_mdns_transfers ") == "20" })
	testbed.Eventually(t, patience, func() bool { return x.closed("made room") != "0" })
	begin := time.Now()
	if out := x.dig(x.addr, "large.example", "AXFR"); !strings.Contains(out, "XFR size: 100003 records") {
		t.Errorf("an honest transfer of the large zone: %.300s", out)
	}
	t.Logf("an honest transfer of the large zone took %s", time.Since(begin))
	stop()
	if x.metric("dnsctl_mdns_transfers ") != "20" {
		t.Error("those who take nothing are not there any more")
	}
	grown := x.resident() - before
	t.Logf("%.1f MiB more of memory", grown/(1<<20))
	if grown > 200<<20 {
		t.Errorf("%.0f octets more of memory", grown)
	}
	if log := x.errs.String(); strings.Contains(log, "panic") || strings.Count(log, "\n") > 2000 {
		t.Errorf("%d lines of log: %.2000s", strings.Count(log, "\n"), log)
	}
}

// TestClientsThatTakeAllFilesAreClosedForOthers lowers the number of files that mdns
// may have to little more than it has, and connects more often than that.
func TestClientsThatTakeAllFilesAreClosedForOthers(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	if x.metric("dnsctl_mdns_tcp_connections ") != "0" {
		t.Fatal("somebody is connected")
	}
	pid := x.cmd.Process.Pid
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(len(open)) + 30
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 100 {
		from(t, "127.0.7.1", "tcp", x.addr)
	}
	// Its page cannot be had meanwhile, so what it says is looked at afterwards.
	stop := x.honest()
	testbed.Eventually(t, patience, func() bool { return strings.Contains(x.errs.String(), "connection cannot be accepted") })
	stop()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(x.errs.String(), "connection cannot be accepted")
	if limit := int(time.Since(begin)/time.Second) + 1; lines > limit {
		t.Errorf("%d lines, not %d: %.2000s", lines, limit, x.errs)
	}
	testbed.Eventually(t, patience, func() bool { return x.closed("not accepted") != "0" && x.closed("made room") != "0" })
}

package mdns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c.(*net.TCPConn)
}

func closed(name string) string {
	return fmt.Sprintf("dnsctl_mdns_tcp_connections_closed_total{reason=%q}", name)
}

// pipeline is queries framed one after the other; the last octet of their IDs
// counts up.
func pipeline(queries ...[]byte) (all []byte) {
	for i, q := range queries {
		q[1] = byte(i)
		all = append(all, byte(len(q)>>8), byte(len(q)))
		all = append(all, q...)
	}
	return all
}

// answered reads messages until one has the last ID and returns the IDs as they
// come, each once while they do not change.
func answered(t *testing.T, c io.Reader, last byte) (ids []byte) {
	t.Helper()
	for len(ids) == 0 || ids[len(ids)-1] != last {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 || ids[len(ids)-1] != msg[1] {
			ids = append(ids, msg[1])
		}
	}
	return ids
}

func TestPipelinedQueriesAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 500))
	r := start(t, m, nil)
	fetch(t, r.addr, transferQuery("z.test.", zone.TypeAXFR, 0), nil) // what is not in memory may be late
	c := dial(t, r.addr)
	var queries [][]byte
	for i := range 100 {
		switch {
		case i == 50:
			queries = append(queries, []byte{0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // a response: no answer
		case i%3 == 0:
			queries = append(queries, transferQuery("z.test.", zone.TypeAXFR, 0))
		default:
			queries = append(queries, transferQuery("z.test.", zone.TypeSOA, 0))
		}
	}
	all := pipeline(queries...)
	// In two pieces, cut within a length prefix.
	if _, err := c.Write(all[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(all[1:]); err != nil {
		t.Fatal(err)
	}
	ids := answered(t, c, 99)
	if len(ids) != 99 || slices.Contains(ids, 50) || !slices.IsSorted(ids) {
		t.Errorf("answers to %v", ids)
	}
}

// TestAnswersOvertakeLongTransfers (RFC 7766 section 7): on one connection with a
// client that has not read the transfer it asked for first. Transfers stay in
// order, each whole.
func TestAnswersOvertakeLongTransfers(t *testing.T) {
	t.Parallel()
	m := newMemory()
	large, small := big(t, "z.test.", 1, 300000), big(t, "small.test.", 1, 5)
	m.create(large)
	m.create(small)
	r := start(t, m, nil)
	c := dial(t, r.addr)
	_ = c.SetReadBuffer(16 << 10)
	q := pipeline(transferQuery("z.test.", zone.TypeAXFR, 0), transferQuery("small.test.", zone.TypeAXFR, 0), transferQuery("z.test.", zone.TypeSOA, 0),
		transferQuery("host10.z.test.", zone.TypeSOA, 0), transferQuery("z.test.", zone.TypeAXFR, 0))
	if _, err := c.Write(q); err != nil {
		t.Fatal(err)
	}
	// Both are at work, and neither waits for the other.
	testbed.Eventually(t, 20*time.Second, func() bool {
		return counter(t, r, "dnsctl_mdns_transfers") == 1 && counter(t, r, `dnsctl_mdns_queries_total{proto="tcp",rcode="NOERROR",type="SOA"}`) >= 1
	})
	records, at, soaAt := map[byte]int{}, 0, -1
	var order []byte
	for records[4] < large.Records()+1 {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(msg)
		if records[msg[1]] == 0 {
			order = append(order, msg[1])
		}
		if msg[1] == 2 {
			soaAt = at
		}
		records[msg[1]] += int(h.Counts[wire.SectionAnswer]) + int(h.Counts[wire.SectionAuthority])
		at++
	}
	if soaAt < 0 || soaAt > at/4 {
		t.Errorf("the SOA came as message %d of %d", soaAt, at)
	}
	transfers := slices.DeleteFunc(order, func(id byte) bool { return id == 2 || id == 3 })
	if !slices.Equal(transfers, []byte{0, 1, 4}) || records[0] != large.Records()+1 || records[1] != small.Records()+1 || records[3] != 1 {
		t.Errorf("transfers in the order %v, records %v", transfers, records)
	}
}

// TestSlowButSteadyClientsAreServedAndOthersNot has two clients ask for a zone
// that is larger than what the kernel keeps: one reads a little all the time,
// far less in each write timeout than is written at once; the other an octet now
// and then.
func TestSlowButSteadyClientsAreServedAndOthersNot(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 400000))
	r := start(t, m, func(c *Config) { c.WriteTimeout = time.Second })
	steady, drip := dial(t, r.addr), dial(t, r.addr)
	for _, c := range []*net.TCPConn{steady, drip} {
		_ = c.SetReadBuffer(64 << 10)
		if err := wire.WriteFrame(c, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() { // an octet is no progress
		defer close(ended)
		for _, err := drip.Read(make([]byte, 1)); err == nil; _, err = drip.Read(make([]byte, 1)) {
			<-time.After(50 * time.Millisecond)
		}
	}()
	begin, buf := time.Now(), make([]byte, 16<<10)
	for cut := false; !cut || time.Since(begin) < 3*time.Second; cut = counter(t, r, closed("stalled")) > 0 {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nobody was cut off")
		}
		if _, err := io.ReadFull(steady, buf); err != nil {
			t.Fatalf("cut off after %s: %v", time.Since(begin), err)
		}
		<-time.After(50 * time.Millisecond)
	}
	if got := counter(t, r, closed("stalled")); got != 1 {
		t.Errorf("%v clients cut off", got)
	}
	drip.Close()
	<-ended
}

// TestATransferEndsInTime, however slow the client, so that old versions of zones
// are not kept for ever.
func TestATransferEndsInTime(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 400000))
	r := start(t, m, func(c *Config) { c.TransferTimeout = 600 * time.Millisecond })
	c := dial(t, r.addr)
	_ = c.SetReadBuffer(8 << 10)
	if err := wire.WriteFrame(c, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, closed("too long")) == 1 })
	if got := counter(t, r, `dnsctl_mdns_transfers_total{kind="axfr",result="aborted"}`); got != 1 {
		t.Errorf("%v transfers aborted", got)
	}
}

func TestClientsThatStallAreCutOff(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 400000)
	m.create(s)
	r := start(t, m, func(c *Config) {
		c.IdleTimeout, c.ReadTimeout, c.WriteTimeout = 300*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond
	})
	silent, slow, deaf := dial(t, r.addr), dial(t, r.addr), dial(t, r.addr)
	if _, err := slow.Write([]byte{0}); err != nil { // one octet, then nothing
		t.Fatal(err)
	}
	_ = deaf.SetReadBuffer(4096)
	if err := wire.WriteFrame(deaf, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*net.TCPConn{"silent": silent, "slow": slow} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s client: %v", what, err)
		}
	}
	testbed.Eventually(t, 20*time.Second, func() bool {
		return counter(t, r, closed("idle")) == 1 && counter(t, r, closed("stalled")) == 2
	})
	if got := counter(t, r, `dnsctl_mdns_transfers_total{kind="axfr",result="aborted"}`); got != 1 {
		t.Errorf("%v transfers aborted", got)
	}
	if got := counter(t, r, "dnsctl_mdns_transfer_bytes_total{kind=\"axfr\"}"); got > 8<<20 {
		t.Errorf("%v octets for a client that reads nothing", got)
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 0 })
}

// TestAClientThatLeavesBetweenAnswersHarmsNobody has a transfer begin behind
// answers that cannot be written any more.
func TestAClientThatLeavesBetweenAnswersHarmsNobody(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 5000))
	r := start(t, m, nil)
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial(t, l.Addr().String())
	conn, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	c := r.newConn(conn, false)
	_ = conn.Close()
	c.out.buf = make([]byte, 20000)
	if err := c.out.answer(t.Context(), c.newRequest(true), transferQuery("z.test.", zone.TypeAXFR, 0), c.out.transfer); err == nil {
		t.Error("it was written")
	}
	if got := counter(t, r, `dnsctl_mdns_transfers_total{kind="axfr",result="aborted"}`); got != 1 {
		t.Errorf("%v transfers aborted", got)
	}
}

// TestTransfersAtOnceAreFair has thirty clients fetch a zone again and again, and
// one fetch it once: until it has the zone, the others get it less than ten times
// each, on average.
func TestTransfersAtOnceAreFair(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 20000)
	m.create(s)
	r := start(t, m, nil)
	q := transferQuery("z.test.", zone.TypeAXFR, 0)
	length := int64(0) // of an answer
	whole := dial(t, r.addr)
	if err := wire.WriteFrame(whole, q); err != nil {
		t.Fatal(err)
	}
	for records := 0; records < s.Records()+1; {
		msg, err := wire.ReadFrame(whole, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(msg)
		records += int(h.Counts[wire.SectionAnswer])
		length += int64(wire.LengthPrefix + len(msg))
	}
	var got [30]atomic.Int64 // octets
	var wg sync.WaitGroup
	var conns []*net.TCPConn
	for i := range got {
		c := dial(t, r.addr)
		_ = c.SetReadBuffer(32 << 10)
		conns = append(conns, c)
		wg.Go(func() { // as fast as it can, always with more asked for
			for range 3 {
				_ = wire.WriteFrame(c, q)
			}
			for {
				k, err := io.CopyN(io.Discard, c, length)
				if err != nil {
					return
				}
				got[i].Add(k)
				_ = wire.WriteFrame(c, q)
			}
		})
	}
	testbed.Eventually(t, 20*time.Second, func() bool {
		for i := range got {
			if got[i].Load() == 0 {
				return false
			}
		}
		return true // all are at work
	})
	var before [len(got)]int64
	for i := range got {
		before[i] = got[i].Load()
	}
	if err := wire.WriteFrame(whole, q); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, whole, length); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for i := range got {
		sum += got[i].Load() - before[i]
	}
	if times := float64(sum) / float64(int64(len(got))*length); times > 10 {
		t.Errorf("the others have got it %.1f times meanwhile", times)
	}
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
}

// TestLongQueriesThatWaitAreFew has a client send transfer requests with much
// behind them, which are answered in time, and kept until then: not many.
func TestLongQueriesThatWaitAreFew(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 2000))
	hold := make(chan struct{})
	m.with(func(m *memory) { m.hold = hold })
	r := start(t, m, nil)
	c := dial(t, r.addr)
	var queries [][]byte
	for range 40 {
		queries = append(queries, append(transferQuery("z.test.", zone.TypeAXFR, 0), make([]byte, 60000)...))
	}
	all := pipeline(queries...)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(all)
		wrote <- err
	}()
	waiting := func() (queries, octets int) {
		r.conns.mu.Lock()
		defer r.conns.mu.Unlock()
		for c := range r.conns.open {
			c.lane.mu.Lock()
			queries, octets = queries+len(c.lane.queue), octets+c.lane.octets
			c.lane.mu.Unlock()
		}
		return queries, octets
	}
	// The first is at work, the second waits, and with the third the reader does.
	testbed.Eventually(t, 20*time.Second, func() bool { _, octets := waiting(); return octets >= maxQueuedOctets })
	for range 20 { // time for more, if more were read
		if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeSuccess {
			t.Error(dns.RcodeToString[rcode])
		}
	}
	if queries, octets := waiting(); queries != 1 || octets > maxQueuedOctets+wire.MaxMessage {
		t.Errorf("%d queries of %d octets wait", queries, octets)
	}
	close(hold)
	ids := answered(t, c, 39)
	if err := <-wrote; err != nil || len(ids) != 40 || !slices.IsSorted(ids) {
		t.Errorf("%v, answers to %v", err, ids)
	}
}

func TestConnectionsAreLimitedForEachClient(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 1))
	r := start(t, m, func(c *Config) { c.MaxConnsClient = 2 })
	first := dial(t, r.addr)
	dial(t, r.addr)
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 2 })
	third := dial(t, r.addr)
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third connection: %v", err)
	}
	if got := counter(t, r, closed("client limit")); got != 1 {
		t.Errorf("%v connections refused", got)
	}
	_ = first.Close()
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 1 })
	if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeSuccess {
		t.Errorf("after one has left: %s", dns.RcodeToString[rcode])
	}
}

// TestWhoeverAsksNothingMakesRoom: where there are as many connections as there
// may be, one that asks nothing, or half a question, is closed for the next; what
// is at work is not, and when all are, the next is refused.
func TestWhoeverAsksNothingMakesRoom(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 1))
	m.create(big(t, "large.test.", 1, 400000))
	const limit = 6
	r := start(t, m, func(c *Config) { c.MaxConns = limit })
	at := []*net.TCPConn{dial(t, r.addr), dial(t, r.addr)}
	for _, c := range at { // a transfer that is not read
		_ = c.SetReadBuffer(4096)
		if err := wire.WriteFrame(c, transferQuery("large.test.", zone.TypeAXFR, 0)); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_transfers") == float64(len(at)) })
	for i := range limit - len(at) {
		if _, err := dial(t, r.addr).Write([]byte("\xff\xffx")[:3*(i%2)]); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == limit })
	for i := range 20 {
		if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeSuccess {
			t.Errorf("an honest client: %s", dns.RcodeToString[rcode])
		}
		if got := r.conns.count(); got > limit+1+i {
			t.Errorf("%d connections", got)
		}
	}
	if got := counter(t, r, closed("made room")); got == 0 {
		t.Error("nobody made room")
	}
	// What is left of the idle ones becomes transfers too.
	for len(at) < limit {
		c := dial(t, r.addr)
		_ = c.SetReadBuffer(4096)
		if err := wire.WriteFrame(c, transferQuery("large.test.", zone.TypeAXFR, 0)); err != nil {
			t.Fatal(err)
		}
		at = append(at, c)
		testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_transfers") == float64(len(at)) })
	}
	last := dial(t, r.addr)
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one more connection than there may be: %v", err)
	}
	if got := counter(t, r, closed("limit")); got != 1 {
		t.Errorf("%v connections refused", got)
	}
}

func TestConnectionsLeaveFilesToOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		conns int
		files uint64
		want  int
	}{{4096, 1 << 20, 4096}, {4096, 1<<64 - 1, 4096}, {4096, 4224, 4096}, {4096, 4223, 4095}, {4096, 1024, 896}, {100, 1024, 100}, {4096, 64, 128}} {
		if got := connsWithin(c.conns, c.files); got != c.want {
			t.Errorf("%d of %d files: %d", c.conns, c.files, got)
		}
	}
}

func TestAClientHasAWholeNetworkOfIPv6(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := clientOf(netip.MustParseAddr(from)); got != netip.MustParseAddr(want) {
			t.Errorf("%s is of %s", from, got)
		}
	}
}

func TestStoppingLetsTransfersFinishAndIdleOnesGo(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 400000)
	m.create(s)
	r := start(t, m, nil)
	idle, busy := dial(t, r.addr), dial(t, r.addr)
	if err := wire.WriteFrame(busy, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ReadFrame(busy, nil); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 2 })
	r.stop()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %v", err)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a new connection is served while stopping")
		}
		_ = c.Close()
	}
	if code, text := page(t, r, "/readyz"); code != 503 || !strings.Contains(text, "stopping") {
		t.Errorf("readyz while stopping: %d %s", code, text)
	}
	got := 0
	for {
		msg, err := wire.ReadFrame(busy, nil)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(msg)
		got += int(h.Counts[wire.SectionAnswer])
	}
	if got < s.Records()*9/10 {
		t.Errorf("%d records after the stop, want the rest of %d", got, s.Records())
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
}

func TestTheDrainDeadlineEndsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 400000))
	r := start(t, m, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	c := dial(t, r.addr)
	if err := wire.WriteFrame(c, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ReadFrame(c, nil); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
}

package hostile_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

// proxy stands between dnsctl and a real channel, and changes its manners.
type proxy struct {
	addr   string
	target atomic.Pointer[string]
	manner atomic.Pointer[manner]
	watch  atomic.Pointer[func(said string)]
	always atomic.Pointer[func(said string)]
	broken atomic.Bool // connections end at the next answer, and no other is taken
	wg     sync.WaitGroup
	stop   chan struct{}
}

// manner deals with one connection; nil passes everything on.
type manner func(client net.Conn, target string, stop <-chan struct{})

// newProxy listens on a port of its own, or on a socket where the target is the
// path of one.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	at := "127.0.0.1:0"
	if strings.HasPrefix(target, "/") {
		dir, err := os.MkdirTemp("", "dnsctl-proxy-") // a test's folder may be too long a path
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		at = filepath.Join(dir, "control")
	}
	l, err := net.Listen(network(target), at)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), stop: make(chan struct{})}
	p.target.Store(&target)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() {
				defer c.Close()
				if p.broken.Load() {
					return
				}
				if m := p.manner.Load(); m != nil {
					(*m)(c, *p.target.Load(), p.stop)
					return
				}
				pass(c, *p.target.Load(), func(b []byte) []byte {
					if p.broken.Load() {
						return nil
					}
					return b
				}, p.seen)
			})
		}
	})
	t.Cleanup(func() { close(p.stop); l.Close(); p.wg.Wait() })
	return p
}

// network is that of an address, or of the path of a socket.
func network(target string) string {
	if strings.HasPrefix(target, "/") {
		return "unix"
	}
	return "tcp"
}

func (p *proxy) behave(m manner) {
	if m == nil {
		p.manner.Store(nil)
		return
	}
	p.manner.Store(&m)
}

// seen is called with what a client says, before it is passed on.
func (p *proxy) seen(said string) {
	for _, f := range []*func(string){p.always.Load(), p.watch.Load()} {
		if f != nil {
			(*f)(said)
		}
	}
}

// pass copies both ways; what the target says goes through edit, which ends the
// connection by returning nil, and what the client says is shown to the
// watchers.
func pass(c net.Conn, target string, edit func([]byte) []byte, watch ...func(string)) {
	s, err := net.Dial(network(target), target)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		defer s.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			for _, w := range watch {
				if n > 0 {
					w(string(buf[:n]))
				}
			}
			if _, werr := s.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		if n > 0 {
			b := edit(buf[:n])
			if b == nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func refuses(net.Conn, string, <-chan struct{}) {}

func hangs(_ net.Conn, _ string, stop <-chan struct{}) { <-stop }

// says answers whatever is asked with a text, and closes.
func says(text string) manner {
	return func(c net.Conn, _ string, _ <-chan struct{}) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
	}
}

// says200 is an HTTP answer with this body.
func says200(body string) manner {
	return says(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

// cuts passes that many octets of the answers on and closes.
func cuts(n int) manner {
	return func(c net.Conn, target string, _ <-chan struct{}) { passSome(c, target, n) }
}

// stops passes that many octets on and then nothing.
func stops(n int) manner {
	return func(c net.Conn, target string, stop <-chan struct{}) {
		passSome(c, target, n)
		<-stop
	}
}

func passSome(c net.Conn, target string, n int) {
	left := n
	pass(c, target, func(b []byte) []byte {
		if left -= len(b); left > 0 {
			return b
		}
		_, _ = c.Write(b[:len(b)+left])
		return nil
	})
}

// spoils changes one octet of each answer.
func spoils(c net.Conn, target string, _ <-chan struct{}) {
	pass(c, target, func(b []byte) []byte {
		b[len(b)/2] ^= 0x20
		return b
	})
}

// endless says the same for ever.
func endless(begin, again string) manner {
	return func(c net.Conn, _ string, stop <-chan struct{}) {
		_, _ = c.Read(make([]byte, 4096))
		_, err := io.WriteString(c, begin)
		for err == nil {
			select {
			case <-stop:
				return
			default:
				_, err = io.WriteString(c, again)
			}
		}
	}
}

// omits hides a zone from the statistics.
func omits(name string) manner {
	return func(c net.Conn, target string, _ <-chan struct{}) {
		s, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer s.Close()
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		// HTTP/1.0, so that the answer ends with the connection.
		_, _ = s.Write([]byte(strings.Replace(string(buf[:n]), "HTTP/1.1", "HTTP/1.0", 1)))
		all, err := io.ReadAll(s)
		if err != nil {
			return
		}
		_, body, _ := strings.Cut(string(all), "\r\n\r\n")
		var doc map[string]any
		if json.Unmarshal([]byte(body), &doc) != nil {
			return
		}
		view := doc["views"].(map[string]any)["_default"].(map[string]any)
		var kept []any
		for _, z := range view["zones"].([]any) {
			if z.(map[string]any)["name"] != name {
				kept = append(kept, z)
			}
		}
		view["zones"] = kept
		b, err := json.Marshal(doc)
		if err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		}
	}
}

// controlled is a rig with a real nameserver whose channels can be spoiled.
type controlled struct {
	*rig
	m              *mdns
	named          *testbed.Named
	control, stats *proxy
}

// newControlled bootstraps a named with zones, behind honest proxies.
func newControlled(t *testing.T, zones ...string) *controlled {
	t.Helper()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	c := &controlled{rig: r}
	for _, z := range zones {
		r.ok("zone", "create", z)
	}
	c.m = r.serve(addr)
	c.named = testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: r.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	c.control = newProxy(t, c.named.ControlAddr)
	c.stats = newProxy(t, strings.TrimPrefix(c.named.StatsURL, "http://"))
	r.ok("server", "add", "ns1", "--type", "bind", "--address", c.named.Addr, "--control", "rndc://"+c.control.addr, "--stats", "http://"+c.stats.addr,
		"--control-key-file", c.named.KeyFile)
	r.ok("bootstrap", "ns1", "--wait")
	return c
}

// rndc runs BIND's own program, past the proxy.
func (c *controlled) rndc(args ...string) {
	c.Helper()
	host, port, _ := strings.Cut(c.named.ControlAddr, ":")
	runIt(c, exec.Command("rndc", append([]string{"-s", host, "-p", port, "-k", c.named.KeyFile}, args...)...)).check(c, 0, nil, args...)
}

// foreign makes a zone on the nameserver that dnsctl does not know.
func (c *controlled) foreign(name string) {
	c.Helper()
	file := c.write(name+".foreign", "$TTL 300\n@ SOA ns.elsewhere. h.elsewhere. 42 2 3 4 5\n@ NS ns.elsewhere.\nwww A 203.0.113.66\n")
	c.rndc("addzone", name, fmt.Sprintf("{ type primary; file %q; };", file))
}

func (c *controlled) answers(name string) bool {
	return strings.Contains(c.dig(c.named.Addr, "+norecurse", name, "SOA"), "status: NOERROR")
}

// TestControlChannelsThatMisbehaveAreNeverReadAsEmpty spoils one channel after
// the other, in each way.
func TestControlChannelsThatMisbehaveAreNeverReadAsEmpty(t *testing.T) {
	t.Parallel()
	c := newControlled(t, "a.example", "b.example")
	c.foreign("rogue.example")
	c.want(3, []string{`^ns1\trogue\.example\.\tforeign\t`}, "audit")
	c.m.stop() // its leader would work on the server too
	const noViews, noZones = `{"json-stats-version":"1.7"}`, `{"views":{"_default":{"zones":[]},"_bind":{"zones":[]}}}`
	huge := "HTTP/1.1 200 OK\r\n\r\n" + `{"views":{"_default":{"zones":[{"name":"`
	for _, w := range []struct {
		what           string
		control, stats manner
		hangs          bool
	}{
		{what: "control refuses", control: refuses},
		{what: "control hangs", control: hangs, hangs: true},
		{what: "control speaks another protocol", control: says("HTTP/1.1 400 Bad Request\r\n\r\n")},
		{what: "control says a great length", control: says("\xff\xff\xff\xff\x00\x00\x00\x01")},
		{what: "control says nothing much", control: says("\x00\x00\x00\x04\x00\x00\x00\x01")},
		{what: "control answers 10 octets", control: cuts(10)},
		{what: "control answers half", control: cuts(200)},
		{what: "control stops half-way", control: stops(200), hangs: true},
		{what: "control is spoiled on the way", control: spoils},
		{what: "control never ends", control: endless("\x00\x10\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00"), hangs: true},
		{what: "stats refuse", stats: refuses},
		{what: "stats hang", stats: hangs, hangs: true},
		{what: "stats fail", stats: says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")},
		{what: "stats redirect", stats: says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")},
		{what: "stats are another page", stats: says200("<html>It works!</html>")},
		{what: "stats are empty", stats: says200("")},
		{what: "stats are an empty object", stats: says200("{}")},
		{what: "stats have no views", stats: says200(noViews)},
		{what: "stats have no zones", stats: says200(noZones), hangs: true},
		{what: "stats have another view", stats: says200(`{"views":{"inside":{"zones":[]}}}`)},
		{what: "stats are cut", stats: cuts(900)},
		{what: "stats never end", stats: endless(huge, strings.Repeat("a", 1<<16)), hangs: true},
	} {
		c.control.behave(w.control)
		c.stats.behave(w.stats)
		for _, args := range [][]string{{"audit", "-o", "json"}, {"sync", "--yes", "-o", "json"}, {"bootstrap", "ns1", "--wait", "-o", "json"}} {
			if w.hangs {
				args = append(args, "--timeout", "1s")
			}
			res := c.run(args...)
			if res.code != 1 {
				t.Errorf("%s: %v: want exit 1, have %v", w.what, args, res)
			}
			if strings.Contains(res.stdout, `"missing"`) || strings.Contains(res.stdout, `"complete": true`) {
				t.Errorf("%s: %v: it is taken for an answer: %v", w.what, args, res)
			}
			if !strings.Contains(res.stdout+res.stderr, "ns1") || len(strings.TrimSpace(res.stdout+res.stderr)) < 20 {
				t.Errorf("%s: %v: it does not say what is wrong: %v", w.what, args, res)
			}
		}
	}
	for _, z := range []string{"a.example", "b.example", "rogue.example"} {
		if !c.answers(z) {
			t.Errorf("%s is gone", z)
		}
	}
	// One that leaves out a zone makes it missing; nothing comes of that.
	c.control.behave(nil)
	c.stats.behave(omits("a.example"))
	if res := c.run("sync", "--yes", "--unmanaged", "warn"); res.code == 0 || !c.answers("a.example") {
		t.Errorf("a zone that was left out: %v", res)
	}
	c.stats.behave(nil)
	c.want(3, []string{`^ns1\trogue\.example\.\tforeign\t`}, "audit")
}

// TestTheLeaderDoesNotTakeSilenceForAnswers has mdns run while the channels
// misbehave and zones come and go.
func TestTheLeaderDoesNotTakeSilenceForAnswers(t *testing.T) {
	t.Parallel()
	c := newControlled(t, "a.example", "b.example")
	c.control.behave(cuts(300))
	c.stats.behave(says200(`{"views":{"_default":{"zones":[]}}}`))
	c.ok("zone", "create", "new.example")
	c.ok("zone", "delete", "b.example")
	testbed.EventuallyNil(t, patience, func() error {
		if tasks := c.ok("task", "list", "--no-headers"); strings.Count(tasks, "\n") != 2 {
			return fmt.Errorf("the tasks are %q", tasks)
		}
		return nil
	})
	// Changes of content need no control channel.
	testbed.Eventually(t, patience, func() bool { return c.m.metric(`dnsctl_server_blocked{reason="unreachable",server="ns1"}`) == "1" })
	c.ok("record", "set", "a.example", "www", "A", "192.0.2.7")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(c.dig(c.named.Addr, "+norecurse", "+short", "www.a.example"), "192.0.2.7")
	})
	c.control.behave(nil)
	c.stats.behave(nil)
	testbed.Eventually(t, 3*patience, func() bool { return c.answers("new.example") && !c.answers("b.example") })
	testbed.Eventually(t, patience, func() bool { return c.ok("task", "list", "--no-headers") == "" })
	c.want(0, nil, "audit")
}

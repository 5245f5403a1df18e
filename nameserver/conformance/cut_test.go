package conformance_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dnsctl/nameserver"
)

// cutter passes connections on to a control channel, and ends one of them after some
// octets of what the server says, in good order, as something on the way may.
type cutter struct {
	network, to string

	mu    sync.Mutex
	conns []*[]byte // what the server said on each since the last set
	which int       // the connection to cut; -1: none
	after int       // octets
}

// newCutter listens at a URL like the one given, which leads to it.
func newCutter(t *testing.T, url string) (*cutter, string) {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, ":")
	c := &cutter{network: "tcp", to: strings.TrimSuffix(strings.TrimPrefix(rest, "//"), "/"), which: -1}
	at := "127.0.0.1:0"
	if scheme == "unix" {
		dir, err := os.MkdirTemp("", "cut") // a test's own may be too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		c.network, at = "unix", filepath.Join(dir, "c")
	}
	c.to, _, _ = strings.Cut(c.to, "/api")
	l, err := net.Listen(c.network, at)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.pass(conn) })
		}
	})
	if c.network == "unix" {
		return c, "unix:" + at
	}
	return c, strings.Replace(url, c.to, l.Addr().String(), 1)
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(c.network, c.to)
	if err != nil {
		return
	}
	defer server.Close()
	said := new([]byte)
	c.mu.Lock()
	c.conns = append(c.conns, said)
	c.mu.Unlock()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
				_ = server.Close()
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		c.mu.Lock()
		ends := c.which >= 0 && c.which < len(c.conns) && c.conns[c.which] == said && len(*said)+n >= c.after
		if ends {
			n = c.after - len(*said)
		}
		*said = append(*said, buf[:n]...)
		c.mu.Unlock()
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil || ends {
			return
		}
	}
}

// set begins anew: the connection of this number is ended after some octets.
func (c *cutter) set(which, after int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns, c.which, c.after = nil, which, after
}

// places is where the connections since the last set may be cut: at the ends of
// lines, units and TLS records, where an answer may look whole, and around them; and
// at some more, so that there are enough.
func (c *cutter) places() (out [][2]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, said := range c.conns {
		ends := map[int]bool{0: true, 1: true, len(*said) - 1: true}
		for at := 0; at < len(*said); at += 1 + len(*said)/16 {
			ends[at] = true
		}
		if records := tlsRecords(*said); records != nil {
			for _, at := range records {
				ends[at] = true
			}
		} else {
			for at, b := range *said {
				if at > 0 && (b == '\n' || b == '{' || b == '}' || b <= 3 && (*said)[at-1] > 3) {
					ends[at], ends[at+1] = true, true
				}
			}
		}
		var list []int
		for at := range ends {
			if at >= 0 && at < len(*said) {
				list = append(list, at)
			}
		}
		slices.Sort(list)
		for _, at := range list {
			out = append(out, [2]int{i, at})
		}
	}
	return out
}

// tlsRecords is where TLS records end; nil when it is not TLS.
func tlsRecords(b []byte) (ends []int) {
	for at := 0; at+5 <= len(b); {
		if b[at] < 20 || b[at] > 23 || b[at+1] != 3 {
			return nil
		}
		at += 5 + int(binary.BigEndian.Uint16(b[at+3:]))
		ends = append(ends, at)
	}
	return ends
}

// most is how many cuts of one channel are tried.
const most = 120

func cutAnywhere(t *testing.T, k kind) {
	content := map[string]string{}
	for i := range 5 {
		content[fmt.Sprintf("z%d.test.", i)] = ""
	}
	r := newRig(t, k, content)
	for n := range content {
		r.add(t, n)
	}
	channels := map[string]func(string){"control": func(url string) { r.server.Control = url }}
	urls := map[string]string{"control": r.server.Control}
	if r.server.Stats != "" {
		urls["stats"] = r.server.Stats
		channels["stats"] = func(url string) { r.server.Stats = url }
	}
	for what, use := range channels {
		c, url := newCutter(t, urls[what])
		use(url)
		look := func() (n int, errs [2]error) {
			d := r.open(t, r.credential)
			defer d.Close()
			errs[0] = d.Inventory(t.Context(), func(nameserver.ZoneState) error { n++; return nil })
			_, errs[1] = d.Zone(t.Context(), parse("z3.test."))
			return n, errs
		}
		c.set(-1, 0)
		whole, errs := look()
		if err := errors.Join(errs[:]...); err != nil || whole < len(content) {
			t.Fatalf("%s: %d zones, %v", what, whole, err)
		}
		places := c.places()
		if len(places) < 10 {
			t.Errorf("%s: only %d places to cut", what, len(places))
		}
		failed := 0
		for i := 0; i < len(places); i += 1 + len(places)/most {
			p := places[i]
			c.set(p[0], p[1])
			n, errs := look()
			if errs[0] == nil && n != whole || errors.Is(errs[1], nameserver.ErrNoZone) {
				t.Errorf("%s: connection %d cut after %d octets: %d zones of %d, %v", what, p[0], p[1], n, whole, errs)
			}
			if errs[0] != nil || errs[1] != nil {
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("%s: no cut did anything", what)
		}
		use(urls[what])
	}
}

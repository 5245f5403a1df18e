package nsd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/testbed"
)

// fake is a control channel on a socket that does with each connection what a test
// says.
func fake(t *testing.T, serve func(conn net.Conn)) channel {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return channel{network: "unix", addr: path}
}

// says reads the command and answers it with a text.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = bufio.NewReader(conn).ReadString('\n')
		_, _ = conn.Write([]byte(text))
	}
}

func TestOddAnswersAreErrors(t *testing.T) {
	t.Parallel()
	for what, serve := range map[string]func(net.Conn){
		"nothing":            says(""),
		"half a line":        says("version: 4.6"),
		"a line without end": says(strings.Repeat("x", 2*longestLine)),
		"an answer without end": func(conn net.Conn) {
			_, _ = bufio.NewReader(conn).ReadString('\n')
			for {
				if _, err := conn.Write([]byte("version: 4.6.1\n")); err != nil {
					return
				}
			}
		},
		"closed at once":  func(net.Conn) {},
		"another program": says("HTTP/1.1 400 Bad Request\n\n"),
	} {
		d := &driver{control: fake(t, serve)}
		if info, err := d.Info(t.Context()); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%s: %+v, %v", what, info, err)
		}
		if err := d.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil }); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("inventory of %s: %v", what, err)
		}
	}
}

// TestAnNSDThatDiesHasNotListedAll is a list that is whole as far as it goes.
func TestAnNSDThatDiesHasNotListedAll(t *testing.T) {
	t.Parallel()
	first := make(chan bool, 1)
	first <- true
	d := &driver{control: fake(t, func(conn net.Conn) {
		select {
		case <-first:
			says("zone:\ta.example\n" + ours + "\tstate: ok\n" + serials)(conn)
		default:
		}
	})}
	if err := d.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil }); !errors.Is(err, nameserver.ErrAnswer) {
		t.Error(err)
	}
}

// TestAConnectionClosedWithoutAWordIsTriedAgain is what NSD does to others while it
// prints statistics.
func TestAConnectionClosedWithoutAWordIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		var n atomic.Int32
		c := fake(t, func(conn net.Conn) {
			switch last := n.Add(1) == 4; {
			case last:
				says("ok\n")(conn)
			case reads:
				says("")(conn)
			}
		})
		if err := c.order(t.Context(), "write"); err != nil || n.Load() != 4 {
			t.Errorf("reads=%v: %v after %d connections", reads, err, n.Load())
		}
	}
}

// TestAListOfNothingIsProved by the statistics' number of zones.
func TestAListOfNothingIsProved(t *testing.T) {
	t.Parallel()
	for stats, want := range map[string]error{
		"zone.master=0\nzone.slave=0\n": nil,
		"zone.master=0\nzone.slave=2\n": nameserver.ErrAnswer,
		"zone.master=1\nzone.slave=0\n": nameserver.ErrAnswer,
		"server0.queries=0\n":           nameserver.ErrAnswer,
		"":                              nameserver.ErrAnswer,
	} {
		d := &driver{control: fake(t, func(conn net.Conn) {
			switch command, _ := bufio.NewReader(conn).ReadString('\n'); command {
			case header + "stats_noreset\n":
				_, _ = conn.Write([]byte(stats))
			case header + "status\n":
				_, _ = conn.Write([]byte("version: 4.6.1\n"))
			}
		})}
		if err := d.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil }); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", stats, err, want)
		}
	}
}

func TestSilenceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	d := &driver{control: fake(t, func(conn net.Conn) { _, _ = bufio.NewReader(conn).ReadString('\x00') })}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Info(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	zones := []nameserver.ZoneConfig{patterns()[0], patterns()[0]}
	zones[0].Name, zones[1].Name = "\x01a\x00", "\x01b\x00"
	for _, err := range d.AddAll(ctx, zones) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
}

// TestBulkAddsThatAreCutShortSayWhichWereDone counts what was answered.
func TestBulkAddsThatAreCutShortSayWhichWereDone(t *testing.T) {
	t.Parallel()
	d := &driver{control: fake(t, says("added: a\n"))}
	zones := []nameserver.ZoneConfig{patterns()[0], patterns()[0], {Name: "\x01c\x00"}}
	zones[0].Name, zones[1].Name = "\x01a\x00", "\x01b\x00"
	errs := d.AddAll(t.Context(), zones)
	for i, want := range []error{nil, nameserver.ErrAnswer, nameserver.ErrRefused} {
		if !errors.Is(errs[i], want) {
			t.Errorf("%d: %v, want %v", i, errs[i], want)
		}
	}
}

func TestAbsentChannelIsUnreachable(t *testing.T) {
	t.Parallel()
	d := &driver{control: channel{network: "unix", addr: filepath.Join(t.TempDir(), "none")}}
	if _, err := d.Info(t.Context()); !errors.Is(err, nameserver.ErrUnreachable) {
		t.Error(err)
	}
}

// TestStrangersAreNotTalkedTo has servers with other certificates: one of its own,
// and the client's, which the same key has signed.
func TestStrangersAreNotTalkedTo(t *testing.T) {
	t.Parallel()
	ours, err := newCredential()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := newCredential()
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]tls.Certificate{
		"another's":  {Certificate: [][]byte{theirs.server.Raw}, PrivateKey: theirs.serverKey},
		"a client's": {Certificate: [][]byte{ours.control.Raw}, PrivateKey: ours.controlKey},
		"its own":    {Certificate: [][]byte{ours.server.Raw}, PrivateKey: ours.serverKey},
	} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: minTLS})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				says("version: 4.6.1\n")(conn)
				_ = conn.Close()
			}
		}()
		d := &driver{control: channel{network: "tcp", addr: l.Addr().String(), tls: ours.config()}}
		_, err = d.Info(t.Context())
		if good := what == "its own"; good != (err == nil) || !good && !errors.Is(err, nameserver.ErrAuth) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestCommandsBesideStatistics has NSD print statistics, which ends other
// connections that are in their handshake, or gives them the statistics as an
// answer: that is an error, or a command that is sent again, and never a list with
// fewer zones.
func TestCommandsBesideStatistics(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{}, map[string]string{"a.test": zoneText})
	z := r.config("a.test.", "1")
	r.prepare(t, z)
	r.add(t, z)
	d := r.Driver.(*driver)
	before := 0
	count := func(nameserver.ZoneState) error { before++; return nil }
	if err := d.Inventory(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var lists, errs atomic.Int32
	for range 2 {
		all.Go(func() {
			for range 50 {
				if err := d.reloaded(t.Context()); err != nil {
					t.Log(err)
				}
			}
		})
		all.Go(func() {
			for range 50 {
				zones := 0
				switch err := d.Inventory(t.Context(), func(nameserver.ZoneState) error { zones++; return nil }); {
				case errors.Is(err, nameserver.ErrAnswer):
					errs.Add(1)
				case err != nil:
					t.Error(err)
				case zones != before:
					t.Errorf("%d zones, want %d", zones, before)
				default:
					lists.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d lists, %d errors", lists.Load(), errs.Load())
	if lists.Load() == 0 {
		t.Error("no list came through")
	}
}

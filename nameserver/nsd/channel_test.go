package nsd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsctl/nameserver"
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

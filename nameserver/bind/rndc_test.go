package bind

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/testbed"
)

// fakeNamed serves the control channel: reply makes the octets to send for each
// request, nil to close the connection.
func fakeNamed(t *testing.T, k key, reply func(n int, request table) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for n := 0; ; n++ {
				b, err := readMessage(c)
				if err != nil {
					break
				}
				request, err := decode(k, b)
				if err != nil {
					break
				}
				answer := reply(n, request)
				if answer == nil {
					break
				}
				if _, err := c.Write(answer); err != nil {
					break
				}
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// honest is the answer a good server gives.
func honest(k key, request table, text string) []byte {
	return encode(k, table{
		{key: "_ctrl", table: table{value("_ser", request.sub("_ctrl").get("_ser")), value("_rpl", "1"), value("_nonce", "77")}},
		{key: "_data", table: table{value("result", "0"), value("text", text)}},
	})
}

func lie(k key, request table, ctrl, data table) []byte {
	for _, name := range []string{"_ser", "_rpl", "_nonce"} {
		if ctrl.get(name) == "" {
			ctrl = append(ctrl, value(name, map[string]string{"_ser": request.sub("_ctrl").get("_ser"), "_rpl": "1", "_nonce": "77"}[name]))
		}
	}
	return encode(k, table{{key: "_ctrl", table: ctrl}, {key: "_data", table: data}})
}

func TestAnHonestServerIsAskedOverOneConnection(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	addr := fakeNamed(t, k, func(n int, request table) []byte {
		command := request.sub("_data").get("type")
		if (n == 0) != (command == "null") {
			t.Errorf("command %d is %q", n, command)
		}
		if n > 0 && request.sub("_ctrl").get("_nonce") != "77" {
			t.Error("the nonce is not repeated")
		}
		return honest(k, request, command)
	})
	r := rndc{addr: addr, key: k}
	defer r.close()
	for range 3 {
		if text, err := r.do(t.Context(), "status"); text != "status" || err != nil {
			t.Fatal(text, err)
		}
	}
}

func TestControlChannelFaultsAreTypedErrors(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	wrong := k
	wrong.secret = []byte("wrong")
	// second answers the handshake well and the command so.
	second := func(f func(request table) []byte) func(int, table) []byte {
		return func(n int, request table) []byte {
			if n == 0 {
				return honest(k, request, "")
			}
			return f(request)
		}
	}
	ok := table{value("result", "0")}
	for name, c := range map[string]struct {
		reply func(int, table) []byte
		want  error
	}{
		"closes at once":        {func(int, table) []byte { return nil }, nameserver.ErrAuth},
		"closes later":          {second(func(table) []byte { return nil }), nameserver.ErrUnreachable},
		"half an answer":        {second(func(r table) []byte { b := honest(k, r, "x"); return b[:len(b)/2] }), nameserver.ErrUnreachable}, // and hangs
		"garbage":               {second(func(table) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }), nameserver.ErrAnswer},
		"huge length":           {second(func(table) []byte { return []byte{0x7f, 0, 0, 0, 0, 0, 0, 1} }), nameserver.ErrAnswer},
		"signed by another key": {second(func(r table) []byte { return honest(wrong, r, "") }), nameserver.ErrAuth},
		"another serial":        {second(func(r table) []byte { return lie(k, r, table{value("_ser", "1")}, ok) }), nameserver.ErrAnswer},
		"another nonce":         {second(func(r table) []byte { return lie(k, r, table{value("_nonce", "1")}, ok) }), nameserver.ErrAnswer},
		"a request, not a reply": {second(func(r table) []byte {
			return lie(k, r, table{value("_rpl", "0")}, ok)
		}), nameserver.ErrAnswer},
		"our request sent back": {second(func(r table) []byte { return encode(k, r) }), nameserver.ErrAnswer},
		"result is no number":   {second(func(r table) []byte { return lie(k, r, nil, table{value("result", "zero")}) }), nameserver.ErrAnswer},
		"an error without code": {second(func(r table) []byte { return lie(k, r, nil, table{value("err", "failure")}) }), nameserver.ErrAnswer},
		"no nonce": {func(_ int, r table) []byte {
			return encode(k, table{{key: "_ctrl", table: table{value("_ser", r.sub("_ctrl").get("_ser")), value("_rpl", "1")}}})
		}, nameserver.ErrAnswer},
		"not found": {second(func(r table) []byte {
			return lie(k, r, nil, table{value("result", "23"), value("err", "not found"), value("text", "no matching zone 'a' in any view")})
		}), nameserver.ErrNoZone},
		"no view": {second(func(r table) []byte {
			return lie(k, r, nil, table{value("result", "23"), value("text", "no matching view 'v'")})
		}), nameserver.ErrRefused},
		"exists":  {second(func(r table) []byte { return lie(k, r, nil, table{value("result", "18")}) }), nameserver.ErrExists},
		"failure": {second(func(r table) []byte { return lie(k, r, nil, table{value("result", "25")}) }), nameserver.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rndc{addr: fakeNamed(t, k, c.reply), key: k}
			defer r.close()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if _, err := r.do(ctx, "status"); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestAnAnswerCutShortByAClosedConnectionIsIncomplete(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b, _ := readMessage(c)
		request, _ := decode(k, b)
		answer := honest(k, request, "x")
		_, _ = c.Write(answer[:len(answer)-3])
		_ = c.Close()
	}()
	r := rndc{addr: l.Addr().String(), key: k}
	if _, err := r.do(t.Context(), "status"); !errors.Is(err, nameserver.ErrAnswer) {
		t.Error(err)
	}
}

func TestAServerThatRefusesOrHangsIsUnreachable(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	r := rndc{addr: testbed.FreeAddr(t), key: k}
	if _, err := r.do(t.Context(), "status"); !errors.Is(err, nameserver.ErrUnreachable) {
		t.Errorf("refused: %v", err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r = rndc{addr: l.Addr().String(), key: k}
	if _, err := r.do(ctx, "status"); !errors.Is(err, nameserver.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hangs: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := r.do(canceled, "status"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestARealNamedAcceptsEveryAlgorithmAndTellsAWrongKey(t *testing.T) {
	t.Parallel()
	var config, names strings.Builder
	keys := map[string]key{}
	for _, a := range algorithms() {
		k, err := newKey("key-" + a.name)
		if err != nil {
			t.Fatal(err)
		}
		k.algorithm = a
		keys[a.name] = k
		config.WriteString(k.text())
		names.WriteString(quote(k.name) + "; ")
	}
	port := testbed.FreePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	config.WriteString("controls { inet 127.0.0.1 port " + strconv.Itoa(port) + " allow { 127.0.0.1; } keys { " + names.String() + "}; };\n")
	testbed.StartNamed(t, testbed.NamedOptions{Config: config.String()})
	for name, k := range keys {
		r := rndc{addr: addr, key: k}
		text, err := r.do(t.Context(), "status")
		if err != nil || !strings.Contains(text, "version") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if _, err := r.do(t.Context(), "no-such-command"); !errors.Is(err, nameserver.ErrRefused) {
			t.Errorf("%s: unknown command: %v", name, err)
		}
		r.close()
		wrong := k
		wrong.secret = []byte("wrong")
		r = rndc{addr: addr, key: wrong}
		if _, err := r.do(t.Context(), "status"); !errors.Is(err, nameserver.ErrAuth) {
			t.Errorf("%s: wrong key: %v", name, err)
		}
		r.close()
	}
}

func TestACommandTooLongIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	r := rndc{addr: "127.0.0.1:1"}
	if _, err := r.do(t.Context(), "addzone "+strings.Repeat("x", maxCommand)); !errors.Is(err, nameserver.ErrRefused) {
		t.Error(err)
	}
}

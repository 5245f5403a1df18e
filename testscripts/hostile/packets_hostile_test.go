package hostile_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"dnsctl/testbed"
)

// header is a DNS header with one question.
func header(id, flags, qd, an, ns, ar uint16) []byte {
	b := make([]byte, 12)
	for i, v := range []uint16{id, flags, qd, an, ns, ar} {
		binary.BigEndian.PutUint16(b[2*i:], v)
	}
	return b
}

const soaQuestion = "\x07example\x00\x00\x06\x00\x01"

func packet(qd uint16, rest string) string { return string(header(7, 0, qd, 0, 0, 0)) + rest }

// askUDP sends a datagram and gives the answer; "" when none comes, which shows
// in that a proper question sent after it is answered again and again. Where an
// answer is expected it is waited for.
func askUDP(t *testing.T, addr, msg string, expected bool) string {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fence := string(header(0x7ace, 0, 1, 0, 0, 0)) + "\x05fence\x00\x00\x01\x00\x01"
	buf := make([]byte, 65536)
	end := time.Now().Add(patience)
	for fences := 0; fences < 4 || expected && time.Now().Before(end); {
		for _, out := range []string{msg, fence} {
			if _, err := c.Write([]byte(out)); err != nil {
				t.Fatal(err)
			}
		}
		for {
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			if n < 2 || binary.BigEndian.Uint16(buf) != 0x7ace {
				return string(buf[:n])
			}
			if fences++; !expected {
				break
			}
		}
	}
	return ""
}

// askTCP sends a framed message and gives the answer; "" when the connection is
// closed instead.
func askTCP(t *testing.T, addr, msg string, _ bool) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || len(b) < 2 {
		return ""
	}
	return string(b[2:])
}

func rcode(msg string) int {
	if len(msg) < 12 {
		return -1
	}
	return int(msg[3] & 15)
}

const (
	noAnswer = -1
	formErr  = 1
	notImp   = 4
	refused  = 5
	notAuth  = 9
)

func TestHostilePacketsGetTheirRcodeOrNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.ok("zone", "create", "example")
	m := r.serve(testbed.FreeAddr(t))
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 5) + "\x00"
	for name, c := range map[string]struct {
		msg  string
		want int
	}{
		"one octet":                     {"\x00", noAnswer},
		"eleven octets":                 {packet(1, "")[:11], noAnswer},
		"an answer":                     {string(header(7, 0x8000, 1, 0, 0, 0)) + soaQuestion, noAnswer},
		"a header and nothing else":     {packet(1, ""), formErr},
		"QDCOUNT 0":                     {packet(0, ""), formErr},
		"QDCOUNT 2":                     {packet(2, soaQuestion+soaQuestion), formErr},
		"QDCOUNT 65535":                 {packet(65535, soaQuestion), formErr},
		"a name that points at itself":  {packet(1, "\xc0\x0c\x00\x06\x00\x01"), formErr},
		"two names that point in turn":  {packet(1, "\x01a\xc0\x0c\x00\x06\x00\x01"), formErr},
		"a pointer out of the message":  {packet(1, "\xff\xff\x00\x06\x00\x01"), formErr},
		"a label cut short":             {packet(1, "\x3fabc"), formErr},
		"a label of an unknown kind":    {packet(1, "\x80abc\x00\x00\x06\x00\x01"), formErr},
		"a name of more than 255":       {packet(1, long+"\x00\x06\x00\x01"), formErr},
		"no type":                       {packet(1, "\x07example\x00"), formErr},
		"octets behind the end":         {packet(1, soaQuestion+"rubbish"), refused},
		"ARCOUNT without a record":      {string(header(7, 0, 1, 0, 0, 1)) + soaQuestion, formErr},
		"ANCOUNT without a record":      {string(header(7, 0, 1, 1, 0, 0)) + soaQuestion, formErr},
		"two OPT records":               {string(header(7, 0, 1, 0, 0, 2)) + soaQuestion + strings.Repeat("\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00", 2), formErr},
		"an OPT cut short":              {string(header(7, 0, 1, 0, 0, 1)) + soaQuestion + "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x09", formErr},
		"an OPT that has an owner":      {string(header(7, 0, 1, 0, 0, 1)) + soaQuestion + "\x01a\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00", formErr},
		"UPDATE":                        {string(header(7, 5<<11, 1, 0, 0, 0)) + soaQuestion, notImp},
		"an opcode that there is not":   {string(header(7, 15<<11, 1, 0, 0, 0)) + soaQuestion, notImp},
		"a zone that it may not see":    {packet(1, soaQuestion), refused},
		"a zone that there is not":      {packet(1, "\x07nowhere\x00\x00\x06\x00\x01"), refused},
		"AXFR unsigned":                 {packet(1, "\x07example\x00\x00\xfc\x00\x01"), refused},
		"class CHAOS":                   {packet(1, "\x07version\x04bind\x00\x00\x10\x00\x03"), refused},
		"IXFR without a serial":         {packet(1, "\x07example\x00\x00\xfb\x00\x01"), formErr},
		"a TSIG that is not the last":   {string(header(7, 0, 1, 0, 0, 2)) + soaQuestion + emptyTSIG + "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00", formErr},
		"a TSIG cut short":              {string(header(7, 0, 1, 0, 0, 1)) + soaQuestion + emptyTSIG[:len(emptyTSIG)-9], formErr},
		"a TSIG of no key that we know": {string(header(7, 0, 1, 0, 0, 1)) + soaQuestion + emptyTSIG, notAuth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for network, ask := range map[string]func(*testing.T, string, string, bool) string{"udp": askUDP, "tcp": askTCP} {
				got := ask(t, m.addr, c.msg, c.want != noAnswer)
				if rcode(got) != c.want {
					t.Errorf("over %s: rcode %d (%x), want %d", network, rcode(got), got, c.want)
				}
				if len(got) > 0 && (got[:2] != c.msg[:2] || got[2]&0x80 == 0) {
					t.Errorf("over %s: %x does not answer %x", network, got, c.msg)
				}
				if len(got) > max(512, 2*len(c.msg)) {
					t.Errorf("over %s: %d octets answer %d", network, len(got), len(c.msg))
				}
			}
		})
	}
}

// emptyTSIG is a TSIG record of the key "a." without a MAC.
const emptyTSIG = "\x01a\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x1d\x0bhmac-sha256\x00\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\x00\x07\x00\x00\x00\x00"

// signed is a SOA question with a TSIG of the key main. that is wrong in some
// way.
func signed(secret []byte, at time.Time, macLen int, spoil bool) string {
	msg := string(header(7, 0, 1, 0, 0, 0)) + soaQuestion
	stamp := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))[2:]
	vars := "\x04main\x00" + "\x00\xff\x00\x00\x00\x00" + "\x0bhmac-sha256\x00" + string(stamp) + "\x01\x2c" + "\x00\x00\x00\x00"
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(msg + vars))
	mac := h.Sum(nil)
	if spoil {
		mac[0] ^= 1
	}
	mac = append(mac, 1, 2, 3, 4, 5, 6, 7, 8)[:macLen]
	rdata := "\x0bhmac-sha256\x00" + string(stamp) + "\x01\x2c" + string(binary.BigEndian.AppendUint16(nil, uint16(macLen))) + string(mac) + "\x00\x07\x00\x00\x00\x00"
	b := []byte(msg + "\x04main\x00\x00\xfa\x00\xff\x00\x00\x00\x00")
	b = binary.BigEndian.AppendUint16(b, uint16(len(rdata)))
	b = append(b, rdata...)
	b[11] = 1
	return string(b)
}

// tsigError is the error field of an answer's TSIG, which is its last record and
// has no other data but perhaps a time.
func tsigError(msg string) int {
	i := strings.LastIndex(msg, "\x0bhmac-sha256\x00")
	if i < 0 {
		return -1
	}
	rest := msg[i+13+8:]
	n := int(rest[0])<<8 | int(rest[1])
	rest = rest[2+n+2:]
	return int(rest[0])<<8 | int(rest[1])
}

func TestWrongTSIGsGetTheErrorsOfTheRFC(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.ok("zone", "create", "example")
	found := regexp.MustCompile(`secret "(.*)"`).FindStringSubmatch(r.ok("tsig", "show", "main", "--for", "dig", "--show-secret"))
	secret, err := base64.StdEncoding.DecodeString(found[1])
	if err != nil {
		t.Fatal(err)
	}
	m := r.serve(testbed.FreeAddr(t))
	now := time.Now()
	for name, c := range map[string]struct {
		msg         string
		rcode, tsig int
	}{
		"right":                     {signed(secret, now, 32, false), 0, 0},
		"a wrong secret":            {signed([]byte("another one"), now, 32, false), notAuth, 16},
		"a spoiled MAC":             {signed(secret, now, 32, true), notAuth, 16},
		"an hour ago":               {signed(secret, now.Add(-time.Hour), 32, false), notAuth, 18},
		"in an hour":                {signed(secret, now.Add(time.Hour), 32, false), notAuth, 18},
		"a MAC of 15 octets":        {signed(secret, now, 15, false), formErr, -1},
		"a MAC of 9 octets":         {signed(secret, now, 9, false), formErr, -1},
		"no MAC":                    {signed(secret, now, 0, false), formErr, -1},
		"a MAC longer than it is":   {signed(secret, now, 40, false), formErr, -1},
		"a MAC cut but long enough": {signed(secret, now, 16, false), notAuth, 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for network, ask := range map[string]func(*testing.T, string, string, bool) string{"udp": askUDP, "tcp": askTCP} {
				got := ask(t, m.addr, c.msg, true)
				if rcode(got) != c.rcode || tsigError(got) != c.tsig {
					t.Errorf("over %s: rcode %d, TSIG error %d (%x), want %d and %d", network, rcode(got), tsigError(got), got, c.rcode, c.tsig)
				}
			}
		})
	}
}

func TestRandomPacketsHarmNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.ok("zone", "create", "example")
	m := r.serve(testbed.FreeAddr(t))
	key := r.key()
	c, err := net.Dial("udp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	proper := []byte(packet(1, soaQuestion) + emptyTSIG)
	for i := range 20000 {
		msg := make([]byte, rnd.IntN(600))
		for j := range msg {
			msg[j] = byte(rnd.Uint32())
		}
		if i%2 == 0 { // nearly right
			msg = append(msg[:0], proper[:1+rnd.IntN(len(proper))]...)
			for range 3 {
				msg[rnd.IntN(len(msg))] = byte(rnd.Uint32())
			}
		}
		_, _ = c.Write(msg)
	}
	for range 200 { // a wrong length and what follows, over TCP
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, rnd.IntN(3000))
		for j := range msg {
			msg[j] = byte(rnd.Uint32())
		}
		_, _ = c.Write(msg)
		c.Close()
	}
	testbed.Eventually(t, patience, func() bool { return strings.Contains(r.dig(m.addr, "-k", key, "example", "SOA"), "status: NOERROR") })
	if m.ended() {
		t.Fatalf("mdns ended: %s", m.errs)
	}
	if log := m.stop().stderr; strings.Contains(log, "panic") || strings.Count(log, "\n") > 1000 {
		t.Errorf("%d lines of log: %.2000s", strings.Count(log, "\n"), log)
	}
}

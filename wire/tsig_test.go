package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/zone"
)

var fixed = time.Unix(1_800_000_000, 0)

var secret = []byte("an example secret of some length")

func key(a Algorithm) Key {
	return Key{Name: name("Key.Example."), Algorithm: a, Secret: secret, AllowWeak: true}
}

var all = []Algorithm{HMACSHA224, HMACSHA256, HMACSHA384, HMACSHA512, HMACSHA1, HMACMD5}

func question() []byte {
	var e Encoder
	e.Reset(nil, Header{ID: 4711}, Full, "", MaxMessage)
	e.Question(Question{name("example.org."), zone.TypeSOA, ClassIN})
	return e.Bytes()
}

func answer(i int) []byte {
	var e Encoder
	e.Reset(nil, Header{ID: 4711, Flags: FlagQR | FlagAA}, Full, "", MaxMessage)
	e.Question(Question{name("example.org."), zone.TypeSOA, ClassIN})
	e.Record(SectionAnswer, name(fmt.Sprintf("h%d.example.org.", i)), zone.TypeA, 1, "1234")
	return e.Bytes()
}

func find(t testing.TB, msg []byte) *TSIG {
	t.Helper()
	ts, err := FindTSIG(msg)
	if err != nil || ts == nil {
		t.Fatalf("no TSIG: %v", err)
	}
	return ts
}

func TestRequestAndStreamVerifyHereAndInMiekg(t *testing.T) {
	for _, a := range all {
		k := key(a)
		b64 := base64.StdEncoding.EncodeToString(secret)
		req, mac := SignRequest(question(), 0, k, fixed)
		ts := find(t, req)
		if err := ts.Verify(req, k, fixed.Add(299*time.Second)); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if a != HMACMD5 { // miekg/dns has dropped it
			if err := dns.TsigVerify(bytes.Clone(req), b64, "", false); err != nil && !errors.Is(err, dns.ErrTime) {
				t.Errorf("%s: miekg/dns refuses our request: %v", a, err)
			}
		}
		s := NewSigner(k, ts)
		v := NewVerifier(k, mac)
		last := fmt.Sprintf("%x", mac)
		for i := range 3 {
			buf := append([]byte{0, 0}, answer(i)...) // as with a length prefix
			out := s.Sign(buf, 2, fixed)
			if len(out)-len(buf) != s.Size() {
				t.Errorf("%s: Size %d, took %d", a, s.Size(), len(out)-len(buf))
			}
			msg := out[2:]
			if a != HMACMD5 {
				if err := dns.TsigVerify(bytes.Clone(msg), b64, last, i > 0); err != nil && !errors.Is(err, dns.ErrTime) {
					t.Errorf("%s message %d: miekg/dns: %v", a, i, err)
				}
				last = fmt.Sprintf("%x", find(t, msg).MAC)
			}
			got, err := v.Verify(msg, fixed)
			if err != nil || !bytes.Equal(got, answer(i)) {
				t.Errorf("%s message %d: %v", a, i, err)
			}
		}
		if err := v.Done(); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestRequestOfMiekgIsVerified(t *testing.T) {
	m := new(dns.Msg).SetQuestion("example.org.", dns.TypeAXFR)
	m.SetTsig("key.example.", dns.HmacSHA512, 300, fixed.Unix())
	req, _, err := dns.TsigGenerate(m, base64.StdEncoding.EncodeToString(secret), "", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := find(t, req).Verify(req, key(HMACSHA512), fixed); err != nil {
		t.Error(err)
	}
	req[0]++ // a forwarder's new ID: the original one is in the record
	if err := find(t, req).Verify(req, key(HMACSHA512), fixed); err != nil {
		t.Errorf("with another ID: %v", err)
	}
}

func TestVerifyGivesTheErrorsOfRFC8945(t *testing.T) {
	k := key(HMACSHA256)
	req, _ := SignRequest(question(), 0, k, fixed)
	truncated := k
	truncated.MACSize = 16
	short, _ := SignRequest(question(), 0, truncated, fixed)
	wrongName, wrongAlg, wrongSecret, weak, empty := k, k, k, key(HMACSHA1), k
	wrongName.Name = name("other.")
	wrongAlg.Algorithm = HMACSHA512
	wrongSecret.Secret = []byte("x")
	weak.AllowWeak = false
	empty.Secret = nil
	sha1, _ := SignRequest(question(), 0, key(HMACSHA1), fixed)
	changed := bytes.Clone(req)
	changed[13] ^= 1
	cut := func(n int) []byte { // a request whose MAC has n octets
		ts := find(t, req)
		out := bytes.Clone(req[:ts.Start])
		out[11]--
		if n <= len(ts.MAC) {
			ts.MAC = ts.MAC[:n]
		} else {
			ts.MAC = append(ts.MAC, make([]byte, n-len(ts.MAC))...)
		}
		return ts.append(out, 0)
	}
	for _, c := range []struct {
		what string
		msg  []byte
		key  Key
		now  time.Time
		want error
	}{
		{"good", req, k, fixed, nil},
		{"other name", req, wrongName, fixed, BadKey},
		{"other algorithm", req, wrongAlg, fixed, BadKey},
		{"weak algorithm not enabled", sha1, weak, fixed, BadKey},
		{"key without secret", req, empty, fixed, BadKey},
		{"other secret", req, wrongSecret, fixed, BadSig},
		{"changed message", changed, k, fixed, BadSig},
		{"late", req, k, fixed.Add(301 * time.Second), BadTime},
		{"early", req, k, fixed.Add(-301 * time.Second), BadTime},
		{"late and forged is BADSIG", req, wrongSecret, fixed.Add(time.Hour), BadSig},
		{"truncated, not allowed", short, k, fixed, BadTrunc},
		{"truncated, allowed", short, truncated, fixed, nil},
		{"full where truncation is allowed", req, truncated, fixed, nil},
		{"truncated and late is BADTIME", short, k, fixed.Add(time.Hour), BadTime},
		{"below half", cut(15), k, fixed, ErrTSIG},
		{"half", cut(16), k, fixed, BadTrunc},
		{"too long", cut(33), k, fixed, ErrTSIG},
		{"no MAC", cut(0), k, fixed, ErrTSIG},
	} {
		err := find(t, c.msg).Verify(c.msg, c.key, c.now)
		if c.want == nil && err != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
}

func TestErrorAnswersAreSignedOrNotAsTheRFCSays(t *testing.T) {
	k := key(HMACSHA256)
	req, mac := SignRequest(question(), 0, k, fixed)
	ts := find(t, req)
	now := fixed.Add(time.Hour)
	for _, c := range []struct {
		code  TSIGError
		mac   int
		other int
	}{{BadKey, 0, 0}, {BadSig, 0, 0}, {BadTime, 32, 6}, {BadTrunc, 32, 0}} {
		before := answer(0)
		msg := AppendTSIGError(bytes.Clone(before), 0, ts, k, c.code, now)
		if len(msg)-len(before) > TSIGErrorSize(ts, k) {
			t.Errorf("%v: took %d, bound %d", c.code, len(msg)-len(before), TSIGErrorSize(ts, k))
		}
		got := find(t, msg)
		if got.Error != c.code || len(got.MAC) != c.mac || len(got.Other) != c.other {
			t.Errorf("%v: got %+v", c.code, got)
		}
		if c.code == BadTime {
			if got.Time != uint64(fixed.Unix()) {
				t.Error("BADTIME does not keep the client's time")
			}
			if sec := binary.BigEndian.Uint64(append([]byte{0, 0}, got.Other...)); sec != uint64(now.Unix()) {
				t.Errorf("BADTIME carries %d", sec)
			}
		}
		clock := fixed // the client's
		if c.code == BadTrunc {
			clock = now
		}
		if _, err := NewVerifier(k, mac).Verify(msg, clock); !errors.Is(err, c.code) {
			t.Errorf("client makes %v of %v", err, c.code)
		}
	}
}

func TestStreamMayLeaveSomeMessagesUnsigned(t *testing.T) {
	k := key(HMACSHA256)
	req, mac := SignRequest(question(), 0, k, fixed)
	// stream is the messages of a sender that signs where sign says so.
	stream := func(n int, sign func(i int) bool) [][]byte {
		s := NewSigner(k, find(t, req))
		var out [][]byte
		var pending []byte
		for i := range n {
			m := answer(i)
			if !sign(i) {
				pending = append(pending, m...)
				out = append(out, m)
				continue
			}
			// A signer that covers the messages before: digest by hand.
			if len(pending) == 0 {
				m = s.Sign(m, 0, fixed)
			} else {
				h := k.Algorithm.new(k.Secret)
				digestMAC(h, s.prior)
				h.Write(pending)
				h.Write(m)
				ts := s.tsig
				ts.Time = uint64(fixed.Unix())
				h.Write(ts.timers(nil))
				ts.MAC = h.Sum(nil)
				s.prior = append(s.prior[:0], ts.MAC...)
				m = ts.append(m, 0)
				pending = nil
			}
			out = append(out, m)
		}
		return out
	}
	run := func(msgs [][]byte) error {
		v := NewVerifier(k, mac)
		for i, m := range msgs {
			got, err := v.Verify(bytes.Clone(m), fixed)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, answer(i)) {
				t.Errorf("message %d changed", i)
			}
		}
		return v.Done()
	}
	for _, c := range []struct {
		what string
		n    int
		sign func(int) bool
		want error
	}{
		{"all", 5, func(int) bool { return true }, nil},
		{"every hundredth", 301, func(i int) bool { return i%100 == 0 }, nil},
		{"every hundred and first", 203, func(i int) bool { return i%101 == 0 }, ErrUnsigned},
		{"first not", 3, func(i int) bool { return i > 0 }, ErrUnsigned},
		{"last not", 3, func(i int) bool { return i == 0 }, ErrUnsigned},
	} {
		if err := run(stream(c.n, c.sign)); c.want == nil && err != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
	msgs := stream(10, func(i int) bool { return i%9 == 0 })
	msgs[4][len(msgs[4])-1] ^= 1 // in rdata
	v := NewVerifier(k, mac)
	var err error
	for _, m := range msgs {
		if _, err = v.Verify(m, fixed); err != nil {
			break
		}
	}
	if !errors.Is(err, BadSig) {
		t.Errorf("a changed unsigned message: %v", err)
	}
}

func TestKeyPrintsWithoutItsSecret(t *testing.T) {
	k := key(HMACSHA256)
	text, _ := k.MarshalText()
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%v", &k), string(text), k.LogValue().String()} {
		if s != "hmac-sha256:Key.Example." {
			t.Errorf("prints as %s", s)
		}
	}
}

func TestAlgorithmsAreReadByTheirNames(t *testing.T) {
	for text, want := range map[string]Algorithm{
		"hmac-sha256": HMACSHA256, "HMAC-SHA512.": HMACSHA512, "hmac-md5.sig-alg.reg.int.": HMACMD5, "hmac-sha1": HMACSHA1,
	} {
		if got, err := ParseAlgorithm(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseAlgorithm("sha256"); err == nil {
		t.Error("sha256 is accepted")
	}
}

func TestSigningAMessageOfAStreamAllocatesNothing(t *testing.T) {
	k := key(HMACSHA256)
	req, _ := SignRequest(question(), 0, k, fixed)
	s := NewSigner(k, find(t, req))
	buf := make([]byte, 0, 1000)
	buf = append(buf, answer(0)...)
	s.Sign(bytes.Clone(buf), 0, fixed)
	if n := testing.AllocsPerRun(50, func() { s.Sign(buf, 0, fixed); buf[11] = 0 }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestDigAcceptsOurSignatures lets dig ask with its own TSIG and check ours.
func TestDigAcceptsOurSignatures(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[zone.Name]Key{}
	for _, a := range all {
		n := name(strings.ReplaceAll(string(a), "-", "") + ".example.")
		keys[n] = Key{Name: n, Algorithm: a, Secret: secret, AllowWeak: true}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q, err := ParseQuery(buf[:n])
			if err != nil || q.TSIG == nil {
				t.Errorf("dig's query: %v %v", q.TSIG, err)
				continue
			}
			k := keys[q.TSIG.KeyName]
			var e Encoder
			e.Reset(nil, Header{ID: q.ID, Flags: FlagQR | FlagAA}, Full, "", MaxMessage)
			e.Question(q.Question)
			e.Record(SectionAnswer, q.Question.Name, zone.TypeA, 5, "1234")
			out := e.Bytes()
			if verr := q.TSIG.Verify(buf[:n], k, time.Now()); verr != nil {
				var code TSIGError
				if !errors.As(verr, &code) {
					t.Errorf("verify: %v", verr)
					continue
				}
				out = AppendTSIGError(out, 0, q.TSIG, k, code, time.Now())
			} else {
				out = NewSigner(k, q.TSIG).Sign(out, 0, time.Now())
			}
			if _, err := conn.WriteTo(out, from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-served })
	port := conn.LocalAddr().(*net.UDPAddr).Port
	ask := func(k Key, secret []byte) string {
		y := fmt.Sprintf("%s:%s:%s", k.Algorithm, k.Name, base64.StdEncoding.EncodeToString(secret))
		out, err := exec.Command("dig", "-y", y, "+tries=1", "+time=5", "@127.0.0.1", "-p", fmt.Sprint(port), "example.org", "A").CombinedOutput()
		if err != nil {
			t.Fatalf("dig: %v\n%s", err, out)
		}
		return string(out)
	}
	for n, k := range keys {
		out := ask(k, secret)
		if strings.Contains(out, "verify") || !strings.Contains(out, "NOERROR") || !strings.Contains(out, "49.50.51.52") {
			t.Errorf("%s:\n%s", n, out)
		}
	}
	if out := ask(keys[name("hmacsha256.example.")], []byte("wrong")); !strings.Contains(out, "BADSIG") {
		t.Errorf("wrong secret:\n%s", out)
	}
}

func FuzzVerifier(f *testing.F) {
	k := key(HMACSHA256)
	req, mac := SignRequest(question(), 0, k, fixed)
	ts, _ := FindTSIG(req)
	good := NewSigner(k, ts).Sign(answer(0), 0, fixed)
	covered := find(f, good).Start
	otherID := bytes.Clone(good)
	otherID[0]++
	f.Add(good)
	f.Add(req)
	f.Add(otherID)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, err := NewVerifier(k, mac).Verify(bytes.Clone(msg), fixed); err == nil {
			// Only octets that the MAC does not cover may differ: the ID, the case
			// of names in the record, what follows it.
			if !bytes.Equal(msg[2:covered], good[2:covered]) {
				t.Fatalf("forged: %q", msg)
			}
		}
	})
}

// FuzzVerifierStream changes a signed stream of messages: it leaves some out,
// repeats some, changes octets. What is accepted to its end must be what was
// sent, from its beginning on.
func FuzzVerifierStream(f *testing.F) {
	k := key(HMACSHA256)
	req, mac := SignRequest(question(), 0, k, fixed)
	ts, err := FindTSIG(req)
	if err != nil {
		f.Fatal(err)
	}
	var sent [][]byte
	s := NewSigner(k, ts)
	for i := range 8 {
		sent = append(sent, s.Sign(answer(i), 0, fixed))
	}
	f.Add([]byte{0, 0, 0, 1, 0, 0, 2, 0, 0})                   // as they are
	f.Add([]byte{0, 0, 0, 2, 0, 0})                            // one left out
	f.Add([]byte{0, 0, 0, 0, 0, 0})                            // one twice
	f.Add([]byte{0, 0, 0, 1, 40, 1, 2, 0, 0})                  // one changed
	f.Add([]byte{0, 0, 0, 0x81, 0, 0, 2, 0, 0})                // one without its signature
	f.Add([]byte{0, 0, 0, 0x81, 0, 0, 0x82, 0, 0, 0x83, 0, 0}) // and the last as well
	f.Fuzz(func(t *testing.T, steps []byte) {
		v := NewVerifier(k, mac)
		var got [][]byte
		for ; len(steps) >= 3; steps = steps[3:] {
			msg := bytes.Clone(sent[steps[0]&7])
			if steps[0]&0x80 != 0 { // as it was before it was signed
				msg = answer(int(steps[0] & 7))
			}
			msg[int(steps[1])%len(msg)] ^= steps[2]
			out, err := v.Verify(msg, fixed)
			if err != nil {
				return
			}
			got = append(got, bytes.Clone(out))
		}
		if v.Done() != nil {
			return
		}
		for i, msg := range got { // the ID is not covered: the TSIG has the original
			if i >= len(sent) || !bytes.Equal(msg[2:], answer(i)[2:]) {
				t.Fatalf("message %d was accepted as %x", i, msg)
			}
		}
	})
}

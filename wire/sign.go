package wire

import (
	"encoding/binary"
	"hash"
	"time"
)

// Signer signs the messages of one answer: the only one, or those of a whole
// transfer, all of which are signed. It is used by one goroutine.
type Signer struct {
	key   Key
	mac   hash.Hash
	tsig  TSIG
	prior []byte // the request's MAC, then that of the message before
	first bool
	buf   []byte
	sum   [64]byte
}

// NewSigner signs answers to the request that carried the TSIG record req,
// verified with key.
func NewSigner(key Key, req *TSIG) *Signer {
	return &Signer{
		key:   key,
		mac:   key.Algorithm.new(key.Secret),
		tsig:  TSIG{KeyName: req.KeyName, Algorithm: req.Algorithm, Fudge: Fudge},
		prior: append(make([]byte, 0, 64), req.MAC...),
		first: true,
	}
}

// Size is how many octets Sign adds to a message.
func (s *Signer) Size() int { return s.tsig.size() - len(s.tsig.MAC) + s.key.macSize() }

// Sign appends a TSIG record to the finished message that begins at buf[start].
// The first message is signed over the request's MAC and all variables, each
// further one over the MAC before and the timers (RFC 8945 section 5.3.1).
func (s *Signer) Sign(buf []byte, start int, now time.Time) []byte {
	return s.SignWith(nil, buf, start, now)
}

// SignWith is Sign for a message whose end, body, lies elsewhere: what begins at
// buf[start], its header at least, comes before that, and the TSIG record, which is
// appended to buf, behind it.
func (s *Signer) SignWith(body, buf []byte, start int, now time.Time) []byte {
	s.tsig.Time = uint64(now.Unix())
	return s.sign(body, buf, start)
}

func (s *Signer) sign(body, buf []byte, start int) []byte {
	s.tsig.OriginalID = binary.BigEndian.Uint16(buf[start:])
	s.mac.Reset()
	if len(s.prior) > 0 || !s.first {
		s.buf = append(s.buf[:0], byte(len(s.prior)>>8), byte(len(s.prior)))
		s.buf = append(s.buf, s.prior...)
		s.mac.Write(s.buf)
	}
	s.mac.Write(buf[start:])
	s.mac.Write(body)
	if s.first {
		s.buf = s.tsig.variables(s.buf[:0])
	} else {
		s.buf = s.tsig.timers(s.buf[:0])
	}
	s.mac.Write(s.buf)
	s.first = false
	s.tsig.MAC = s.mac.Sum(s.sum[:0])[:s.key.macSize()]
	s.prior = append(s.prior[:0], s.tsig.MAC...)
	return s.tsig.append(buf, start)
}

// SignRequest appends a TSIG record to the finished request that begins at
// buf[start], and returns the request's MAC beside the buffer: NewVerifier wants
// it.
func SignRequest(buf []byte, start int, key Key, now time.Time) (signed, mac []byte) {
	s := NewSigner(key, &TSIG{KeyName: key.Name, Algorithm: key.Algorithm.Name()})
	return s.Sign(buf, start, now), s.prior
}

// TSIGErrorSize is at most how many octets AppendTSIGError adds.
func TSIGErrorSize(req *TSIG, key Key) int {
	return req.size() - len(req.MAC) - len(req.Other) + 64 + 6
}

// AppendTSIGError appends to the finished answer that begins at buf[start] the
// TSIG record of a failed check of the request's record req. BADTIME and
// BADTRUNC are signed with the key; BADTIME carries our time and keeps the
// client's, so that it can be verified there (RFC 8945 sections 5.2.3 and
// 5.3.2). BADKEY and BADSIG are not signed; their key is not looked at. The
// caller sets rcode NOTAUTH.
func AppendTSIGError(buf []byte, start int, req *TSIG, key Key, code TSIGError, now time.Time) []byte {
	t := TSIG{
		KeyName: req.KeyName, Algorithm: req.Algorithm, Time: uint64(now.Unix()), Fudge: Fudge,
		OriginalID: binary.BigEndian.Uint16(buf[start:]), Error: code,
	}
	if code != BadTime && code != BadTrunc {
		t.Time, t.Fudge = req.Time, req.Fudge
		return t.append(buf, start)
	}
	if code == BadTime {
		sec := uint64(now.Unix())
		t.Time, t.Fudge = req.Time, req.Fudge
		t.Other = []byte{byte(sec >> 40), byte(sec >> 32), byte(sec >> 24), byte(sec >> 16), byte(sec >> 8), byte(sec)}
	}
	s := NewSigner(key, req)
	s.tsig = t
	return s.sign(nil, buf, start)
}

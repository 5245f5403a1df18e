package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"
)

// MaxUnsigned is how many messages in a row a transfer may leave unsigned (RFC
// 8945 section 5.3.1: at least every hundredth message is signed). Knot uses it.
const MaxUnsigned = 99

// ErrUnsigned is returned by Verifier for answers that should have been signed
// and are not.
var ErrUnsigned = errors.New("answer is not signed with the request's TSIG key")

// Verifier checks the TSIG of the answers to one signed request: the only one,
// or the messages of a transfer, of which only the first and the last need be
// signed and up to MaxUnsigned in between may not be. It is used by one
// goroutine.
type Verifier struct {
	key      Key
	mac      hash.Hash
	prior    []byte
	first    bool
	unsigned int
	failed   error
}

// NewVerifier checks answers to the request whose MAC SignRequest returned.
func NewVerifier(key Key, requestMAC []byte) *Verifier {
	v := &Verifier{key: key, mac: key.Algorithm.new(key.Secret), prior: append([]byte(nil), requestMAC...), first: true}
	if v.mac == nil {
		v.failed = BadKey
		return v
	}
	digestMAC(v.mac, v.prior)
	return v
}

// Verify checks the next message and returns it without its TSIG record, in
// place. What it returns for an unsigned message is not proven before a later
// signed one, and the last one, have been: see Done. Errors are a TSIGError (of
// our check, or what the server reports), ErrUnsigned, or about a message that
// cannot be read; any error is final.
func (v *Verifier) Verify(msg []byte, now time.Time) ([]byte, error) {
	if v.failed != nil {
		return nil, v.failed
	}
	out, err := v.verify(msg, now)
	v.failed = err
	return out, err
}

func (v *Verifier) verify(msg []byte, now time.Time) ([]byte, error) {
	t, err := FindTSIG(msg)
	if err != nil {
		return nil, fmt.Errorf("read TSIG of answer: %w", err)
	}
	if t == nil {
		if v.unsigned++; v.first || v.unsigned > MaxUnsigned {
			return nil, ErrUnsigned
		}
		v.mac.Write(msg)
		return msg, nil
	}
	if t.Error != 0 && len(t.MAC) == 0 { // BADKEY, BADSIG: the server could not sign
		return nil, fmt.Errorf("server reports %w", t.Error)
	}
	if err := t.checkKey(v.key); err != nil {
		return nil, err
	}
	t.digestSigned(v.mac, msg)
	if v.first {
		v.mac.Write(t.variables(nil))
	} else {
		v.mac.Write(t.timers(nil))
	}
	err = t.checkMAC(v.mac.Sum(nil), v.key, now)
	if t.Error != 0 && (err == nil || errors.Is(err, BadTime)) {
		return nil, fmt.Errorf("server reports %w", t.Error)
	}
	if err != nil {
		return nil, err
	}
	v.first, v.unsigned = false, 0
	v.prior = append(v.prior[:0], t.MAC...)
	v.mac.Reset()
	digestMAC(v.mac, v.prior)
	msg = msg[:t.Start]
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])-1)
	return msg, nil
}

// Done is to be asked after the last message: an error when it was not signed,
// or any check failed.
func (v *Verifier) Done() error {
	switch {
	case v.failed != nil:
		return v.failed
	case v.first || v.unsigned > 0:
		return ErrUnsigned
	}
	return nil
}

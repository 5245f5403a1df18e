// Package secret keeps what must not be read: TSIG secrets and control
// credentials are stored only sealed, and plain ones redact themselves wherever
// they are printed.
package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Plain is a secret in the clear. It prints as "[secret]" in every form of
// formatting, JSON and slog included; call Reveal to use it.
type Plain struct {
	// A function, of which nothing can print what it returns: fmt calls no
	// methods of what lies in unexported fields of others. nil is no secret.
	b func() []byte
}

// New wraps secret octets; the caller gives up b.
func New(b []byte) Plain { return Plain{func() []byte { return b }} }

// Reveal is the octets themselves.
func (p Plain) Reveal() []byte {
	if p.b == nil {
		return nil
	}
	return p.b()
}

// Empty says whether there is no secret.
func (p Plain) Empty() bool { return len(p.Reveal()) == 0 }

const redacted = "[secret]"

// Format prints the same for every verb.
func (Plain) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Plain) String() string               { return redacted }
func (Plain) GoString() string             { return redacted }
func (Plain) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Plain) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Sealed is a secret as it is stored: readable only with the identity.
type Sealed []byte

// Sealer seals for the store's recipient and opens with its identity. Sealing
// needs no identity. Age files are the first implementation; others follow
// behind the same two methods.
type Sealer interface {
	Seal(ctx context.Context, plain Plain) (Sealed, error)
	// Open returns ErrNoIdentity when the identity is not at hand.
	Open(ctx context.Context, sealed Sealed) (Plain, error)
}

// ErrNoIdentity means that the file or agent that opens sealed secrets is not
// configured or not readable.
var ErrNoIdentity = errors.New("no identity to open sealed secrets")

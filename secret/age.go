package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// ErrWrongIdentity means that an identity is at hand, but not the one of the
// store's recipient.
var ErrWrongIdentity = errors.New("the identity is not that of the store's recipient")

// Age seals for an X25519 recipient of age (age-encryption.org/v1). It is safe
// for concurrent use.
type Age struct {
	recipient string
	source    Identity

	mu       sync.Mutex // guards identity
	identity *age.X25519Identity
}

var _ Sealer = (*Age)(nil)

// NewAge seals for a recipient ("age1...") and opens with the identity from
// source, which is read when it is first needed.
func NewAge(recipient string, source Identity) *Age {
	return &Age{recipient: recipient, source: source}
}

// Recipient is whom is sealed to.
func (a *Age) Recipient() string { return a.recipient }

// Seal seals a secret; it needs no identity.
func (a *Age) Seal(_ context.Context, plain Plain) (Sealed, error) {
	r, err := age.ParseX25519Recipient(a.recipient)
	if err != nil {
		return nil, fmt.Errorf("store's recipient %q: %w", a.recipient, err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err == nil {
		_, err = w.Write(plain.Reveal())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	return out.Bytes(), nil
}

// Open opens what Seal sealed. The error wraps ErrNoIdentity when there is no
// identity, ErrWrongIdentity when it is another's.
func (a *Age) Open(ctx context.Context, sealed Sealed) (Plain, error) {
	id, err := a.open(ctx)
	if err != nil {
		return Plain{}, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return Plain{}, fmt.Errorf("open sealed secret: %w: %w", ErrWrongIdentity, err)
	}
	if err != nil {
		return Plain{}, fmt.Errorf("open sealed secret: %w", err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return Plain{}, fmt.Errorf("open sealed secret: %w", err)
	}
	return New(b), nil
}

// Check says whether secrets can be opened: the identity is there and is that of
// the recipient.
func (a *Age) Check(ctx context.Context) error {
	_, err := a.open(ctx)
	return err
}

// open is the identity, read once.
func (a *Age) open(ctx context.Context) (*age.X25519Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.identity != nil {
		return a.identity, nil
	}
	id, err := a.source.read(ctx)
	if err != nil {
		return nil, err
	}
	if have := id.Recipient().String(); have != a.recipient {
		return nil, fmt.Errorf("%w: %s is that of %s, the store seals to %s", ErrWrongIdentity, a.source, have, a.recipient)
	}
	a.identity = id
	return id, nil
}

package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
)

// AgeOptions say where the identity is that opens secrets. One of File and
// Command is used, Command first.
type AgeOptions struct {
	File    string // an age identity file, as age-keygen writes it; readable by its owner only
	Command string // a program and its arguments, separated by spaces, that prints such a file
}

// Age seals with age (age-encryption.org/v1). Sealing needs the recipient only;
// the identity is read when something is opened for the first time.
type Age struct {
	recipient age.Recipient
	text      string // of the recipient
	opts      AgeOptions

	mu         sync.Mutex
	identities []age.Identity // nil until they were read
}

var _ Sealer = (*Age)(nil)

// NewAge makes a sealer for a recipient ("age1...").
func NewAge(recipient string, o AgeOptions) (*Age, error) {
	all, err := age.ParseRecipients(strings.NewReader(recipient))
	if err != nil || len(all) != 1 {
		return nil, fmt.Errorf("recipient %q of sealed secrets is not one age recipient", recipient)
	}
	return &Age{recipient: all[0], text: recipient, opts: o}, nil
}

// Seal implements Sealer.
func (a *Age) Seal(_ context.Context, plain Plain) (Sealed, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, a.recipient)
	if err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	if _, err := w.Write(plain.Reveal()); err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	return out.Bytes(), nil
}

// Open implements Sealer. An identity that is not the recipient's, or a secret
// that is sealed to another one, is ErrWrongIdentity.
func (a *Age) Open(ctx context.Context, sealed Sealed) (Plain, error) {
	ids, err := a.load(ctx)
	if err != nil {
		return Plain{}, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return Plain{}, ErrWrongIdentity
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

// ErrWrongIdentity means that an identity is at hand, but that secrets are sealed
// to another one.
var ErrWrongIdentity = errors.New("the identity does not open secrets that are sealed to another one")

// maxIdentity bounds what is read: an identity has 74 octets, comments some more.
const maxIdentity = 64 << 10

func (a *Age) load(ctx context.Context) ([]age.Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.identities != nil {
		return a.identities, nil
	}
	ids, err := a.opts.read(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(ids, func(id age.Identity) bool { return recipientOf(id) == a.text }) {
		return nil, fmt.Errorf("%w: the one from %s is of %s, the store's is %s", ErrWrongIdentity, a.opts.place(), recipientOf(ids[0]), a.text)
	}
	a.identities = ids
	return ids, nil
}

// read runs the command or reads the file. What is not there is ErrNoIdentity.
// Neither the command's output nor the file's content is ever in an error.
func (o AgeOptions) read(ctx context.Context) ([]age.Identity, error) {
	var text []byte
	switch {
	case o.Command != "":
		words := strings.Fields(o.Command)
		if len(words) == 0 {
			return nil, ErrNoIdentity
		}
		var err error
		if text, err = exec.CommandContext(ctx, words[0], words[1:]...).Output(); err != nil {
			return nil, fmt.Errorf("%w: run %s: %w", ErrNoIdentity, words[0], err)
		}
	case o.File != "":
		info, err := os.Stat(o.File)
		switch {
		case err == nil && (!info.Mode().IsRegular() || info.Size() > maxIdentity):
			return nil, fmt.Errorf("%s is not an identity file", o.File)
		case err == nil && info.Mode().Perm()&0o077 != 0:
			return nil, fmt.Errorf("identity file %s is open to others (mode %04o): chmod 600 it, and think about who has read it", o.File, info.Mode().Perm())
		}
		if err == nil {
			text, err = os.ReadFile(o.File)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
		}
	default:
		return nil, ErrNoIdentity
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("identity from %s is not an age identity", o.place())
	}
	return ids, nil
}

// place says where the identity comes from.
func (o AgeOptions) place() string {
	if o.Command != "" {
		return "the command " + strings.Fields(o.Command)[0]
	}
	return o.File
}

// Recipient is whom secrets are sealed to that the identity opens; of several
// identities the first one's. With create, an identity file that is not there is
// made, readable by its owner only.
func (o AgeOptions) Recipient(ctx context.Context, create bool) (string, error) {
	ids, err := o.read(ctx)
	if errors.Is(err, fs.ErrNotExist) && create && o.Command == "" && o.File != "" {
		if err := makeIdentity(o.File); err != nil {
			return "", err
		}
		ids, err = o.read(ctx)
	}
	if err != nil {
		return "", err
	}
	r := recipientOf(ids[0])
	if r == "" {
		return "", fmt.Errorf("identity from %s has no recipient that is known", o.place())
	}
	return r, nil
}

// recipientOf is an identity's recipient; "" when it is of an unknown kind.
func recipientOf(id age.Identity) string {
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient().String()
	case *age.HybridIdentity:
		return id.Recipient().String()
	}
	return ""
}

// makeIdentity writes a new identity file. When somebody else is faster, theirs
// stays: the file is whole before it has its name.
func makeIdentity(path string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	f, err := os.CreateTemp(dir, ".identity-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "# Opens the secrets of dnsctl's database. Keep a copy apart from the database's backups.\n# public key: %s\n%s\n", id.Recipient(), id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make identity: %w", err)
	}
	return nil
}

package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// Identity says where the age identity is that opens sealed secrets: in a file
// that only its owner can read, or in what a command prints (an agent, a
// password store). The command, run by the shell, is used when both are set.
type Identity struct {
	File    string
	Command string
}

// String names the place.
func (i Identity) String() string {
	switch {
	case i.Command != "":
		return fmt.Sprintf("the identity from command %q", i.Command)
	case i.File != "":
		return "the identity in " + i.File
	}
	return "no identity"
}

// Recipient is the recipient of the identity.
func (i Identity) Recipient(ctx context.Context) (string, error) {
	id, err := i.read(ctx)
	if err != nil {
		return "", err
	}
	return id.Recipient().String(), nil
}

// maxIdentity bounds what is read: an identity has 74 octets, comments some more.
const maxIdentity = 64 << 10

func (i Identity) read(ctx context.Context) (*age.X25519Identity, error) {
	var text []byte
	var err error
	switch {
	case i.Command != "":
		text, err = i.run(ctx)
	case i.File != "":
		text, err = i.load()
	default:
		return nil, fmt.Errorf("%w: neither a file nor a command is configured", ErrNoIdentity)
	}
	if err != nil {
		return nil, err
	}
	var found *age.X25519Identity
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line) // its error does not quote the line
		if err != nil || found != nil {
			return nil, fmt.Errorf("%s: want one line with an identity (AGE-SECRET-KEY-1...), comments apart", i)
		}
		found = id
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s is empty", ErrNoIdentity, i)
	}
	return found, nil
}

func (i Identity) load() ([]byte, error) {
	info, err := os.Stat(i.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoIdentity, i.File)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	case !info.Mode().IsRegular() || info.Size() > maxIdentity:
		return nil, fmt.Errorf("%s is not an identity file", i.File)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("identity file %s is open to others (mode %04o): chmod 600 it, and think about who has read it", i.File, info.Mode().Perm())
	}
	text, err := os.ReadFile(i.File)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	return text, nil
}

// run runs the command. What it prints is the identity, so errors carry only
// what it says on standard error.
func (i Identity) run(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", i.Command)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: command %q: %w: %s", ErrNoIdentity, i.Command, err, bytes.TrimSpace(said.Bytes()))
	}
	return out.Bytes(), nil
}

// MakeIdentity makes a new identity in a file that only its owner can read, and
// returns its recipient. An identity that is there already is kept, also when
// another process makes it at the same moment.
func MakeIdentity(ctx context.Context, path string) (recipient string, err error) {
	i := Identity{File: path}
	if r, err := i.Recipient(ctx); err == nil || !errors.Is(err, ErrNoIdentity) {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make identity file: %w", err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make identity: %w", err)
	}
	text := fmt.Sprintf("# dnsctl's identity: it opens the secrets in its store. Keep a copy, and keep it secret.\n# public key: %s\n%s\n", id.Recipient(), id)
	f, err := os.CreateTemp(filepath.Dir(path), ".identity-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("make identity file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write identity file: %w", err)
	}
	// A link never replaces a file, and what it makes is whole.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make identity file: %w", err)
	}
	return i.Recipient(ctx)
}

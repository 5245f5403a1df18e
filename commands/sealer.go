package commands

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"dnsctl/report"
	"dnsctl/secret"
)

// identity says where the identity is: as configured, else beside an SQLite
// store.
func (a *App) identity() secret.AgeOptions {
	id := secret.AgeOptions{File: a.Config.Secret.IdentityFile, Command: strings.TrimSpace(a.Config.Secret.IdentityCommand)}
	if id.File == "" && id.Command == "" {
		if path, ok := strings.CutPrefix(a.Config.Store, "sqlite:"); ok {
			id.File = filepath.Join(filepath.Dir(strings.TrimPrefix(path, "//")), "identity.age")
		}
	}
	return id
}

// identityPlace says where the identity comes from.
func (a *App) identityPlace() string {
	switch id := a.identity(); {
	case id.Command != "":
		return "printed by a command"
	case id.File != "":
		return id.File
	}
	return "not configured here"
}

// recipient is whom a new store's secrets are sealed to. Its identity file is
// made when it is not there.
func (a *App) recipient(ctx context.Context) (string, error) {
	id := a.identity()
	if id.File == "" && id.Command == "" {
		return "", report.Fail(report.ExitUsage, errors.New("a PostgreSQL store needs the place of its age identity"),
			"name a file in DNSCTL_SECRET_IDENTITY_FILE (it is made when it is not there) or a command in DNSCTL_SECRET_IDENTITY_COMMAND")
	}
	r, err := id.Recipient(ctx, true)
	if err != nil {
		return "", report.Hint(fmt.Errorf("identity of the store: %w", err), "its place is the setting secret.identity_file or secret.identity_command")
	}
	return r, nil
}

// sealer seals and opens the store's secrets. Opening needs the identity, which
// is looked for only then.
func (a *App) sealer(ctx context.Context) (secret.Sealer, error) {
	if a.sealing != nil {
		return a.sealing, nil
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.Recipient(ctx)
	if err != nil {
		return nil, err
	}
	age, err := secret.NewAge(r, a.identity())
	if err != nil {
		return nil, err
	}
	a.sealing = hintingSealer{age}
	return a.sealing, nil
}

// hintingSealer says what to do where there is no identity, or the wrong one.
type hintingSealer struct{ secret.Sealer }

var _ secret.Sealer = hintingSealer{}

func (s hintingSealer) Open(ctx context.Context, sealed secret.Sealed) (secret.Plain, error) {
	plain, err := s.Sealer.Open(ctx, sealed)
	switch {
	case errors.Is(err, secret.ErrNoIdentity):
		err = report.Hint(err, "name it in secret.identity_file or secret.identity_command; see: dnsctl environment")
	case errors.Is(err, secret.ErrWrongIdentity):
		err = report.Hint(err, "dnsctl db status says which recipient this store's secrets are sealed to: name the identity of that one in secret.identity_file")
	case err != nil:
		err = report.Hint(err, "the identity's place is the setting secret.identity_file or secret.identity_command; see: dnsctl environment")
	}
	return plain, err
}

package commands

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/wire"
	"dnsctl/zone"
)

// defaultAlgorithm of new keys (RFC 8945 section 6).
const defaultAlgorithm = wire.HMACSHA256

func newTSIGCmd(a *App) *cobra.Command {
	return group("tsig", "Manage the keys that sign transfers",
		`TSIG keys (RFC 8945) sign transfers, NOTIFY and dnsctl's own questions. A key
belongs to a pool or to a zone, and whoever signs with it sees the zones in that
scope. Several keys of a scope hold at once, so that they can be exchanged without
a gap: dnsctl tsig rotate. Secrets are stored sealed.`,
		newTSIGCreateCmd(a), newTSIGListCmd(a), newTSIGShowCmd(a), newTSIGRotateCmd(a), newTSIGDeleteCmd(a))
}

// keyColumns show keys, never their secrets.
var keyColumns = render.List[fleet.Key]{
	Nothing: "there is no key",
	Columns: []render.Column[fleet.Key]{
		{Name: "key", Value: func(k fleet.Key) any { return k.Name }},
		{Name: "algorithm", Value: func(k fleet.Key) any { return algorithmText(k) }},
		{Name: "scope", Value: func(k fleet.Key) any { return k.ScopeName }},
		{Name: "created", Value: func(k fleet.Key) any { return k.Created }},
		{Name: "retired", Value: func(k fleet.Key) any { return k.Retired }},
	},
}

func algorithmText(k fleet.Key) string { return strings.TrimSuffix(k.Algorithm.String(), ".") }

// keyText is a key's name as configuration files write it.
func keyText(n zone.Name) string { return strings.TrimSuffix(n.String(), ".") }

// newKey makes a key with a sealed secret: the one given, or a random one of the
// algorithm's own length.
func (a *App) newKey(ctx context.Context, name zone.Name, alg wire.Algorithm, octets []byte) (fleet.Key, error) {
	if octets == nil {
		octets = make([]byte, alg.Size())
		if _, err := rand.Read(octets); err != nil {
			return fleet.Key{}, fmt.Errorf("make TSIG secret: %w", err)
		}
	}
	k := wire.Key{Name: name, Algorithm: alg, Secret: octets}
	if err := k.Check(); err != nil {
		return fleet.Key{}, report.Fail(report.ExitUsage, fmt.Errorf("TSIG key %s: %w", keyText(name), err), "leave --secret-file out, and a secret is made")
	}
	sealer, err := a.sealer(ctx)
	if err != nil {
		return fleet.Key{}, err
	}
	sealed, err := sealer.Seal(ctx, secret.New(octets))
	if err != nil {
		return fleet.Key{}, fmt.Errorf("seal TSIG secret: %w", err)
	}
	return fleet.Key{Name: name.Lower(), Algorithm: alg.Name(), Secret: sealed}, nil
}

// readSecretFile reads a TSIG secret: base64, as tsig-keygen and others write it.
func readSecretFile(path string) ([]byte, error) {
	b, err := readOnce("secret-file", path)
	if err != nil {
		return nil, err
	}
	octets, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(octets) == 0 {
		return nil, report.Fail(report.ExitUsage, fmt.Errorf("--secret-file %s does not hold a secret in base64", path), "put only the secret there, on one line, as after secret in a key statement of BIND")
	}
	return octets, nil
}

// parseAlgorithm reads --algorithm; those that are broken are refused.
func parseAlgorithm(text string) (wire.Algorithm, error) {
	alg, err := wire.ParseAlgorithm(text)
	if err != nil {
		return "", usagef("", "--algorithm: %v", err)
	}
	if alg.Weak() {
		return "", usagef("leave it out for "+string(defaultAlgorithm), "--algorithm %s is too weak", alg)
	}
	return alg, nil
}

func algorithms() []string {
	var out []string
	for _, alg := range wire.Algorithms() {
		out = append(out, string(alg))
	}
	return out
}

// parseScope reads pool:P or zone:Z.
func (a *App) parseScope(ctx context.Context, text string) (fleet.Scope, string, error) {
	kind, name, ok := strings.Cut(text, ":")
	switch {
	case ok && kind == "pool":
		p, err := a.pool(ctx, name)
		return fleet.Scope{PoolID: p.ID}, "pool:" + p.Name, err
	case ok && kind == "zone":
		n, err := parseZone(name)
		if err != nil {
			return fleet.Scope{}, "", err
		}
		s, err := a.openStore(ctx)
		if err != nil {
			return fleet.Scope{}, "", err
		}
		z, err := s.Zone(ctx, n)
		if err == nil && z.Deleted != nil {
			err = report.Hint(fmt.Errorf("zone %q is deleted", n), "bring it back with: dnsctl zone undelete "+n.String())
		}
		return fleet.Scope{ZoneID: z.ID}, "zone:" + n.String(), a.zoneError(ctx, n, err)
	}
	return fleet.Scope{}, "", usagef("write --scope pool:NAME or --scope zone:NAME", "--scope %q is neither a pool nor a zone", text)
}

// key is the key of this name, or an error that knows what may have been meant.
func (a *App) key(ctx context.Context, text string) (fleet.Key, error) {
	n, err := zone.ParseName(text)
	if err != nil {
		return fleet.Key{}, usagef("", "key %v", err)
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return fleet.Key{}, err
	}
	k, err := s.Key(ctx, n)
	if err == nil {
		return k, nil
	}
	all, e := s.Keys(ctx)
	if e != nil {
		return fleet.Key{}, err
	}
	known := make([]string, len(all))
	for i, k := range all {
		known[i] = keyText(k.Name)
	}
	return fleet.Key{}, named(err, fleet.ErrNoKey, strings.TrimSuffix(text, "."), "tsig", known)
}

// readOnce reads a file that a flag names: only its content is kept, not its place.
func readOnce(flag, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, report.Fail(report.ExitUsage, fmt.Errorf("--%s: %w", flag, err), "name a file that this user can read")
	}
	return b, nil
}

// createKey stores a key and shows it.
func (a *App) createKey(ctx context.Context, k fleet.Key, by fleet.By) error {
	made, err := a.store.CreateKey(ctx, k, by)
	if errors.Is(err, fleet.ErrExists) {
		return report.Hint(err, "look at it with: dnsctl tsig show "+keyText(k.Name))
	}
	if err != nil {
		return err
	}
	made.ScopeName = k.ScopeName
	return keyColumns.Result(a.Out, made)
}

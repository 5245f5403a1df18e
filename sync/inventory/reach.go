package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/wire"
	"dnsctl/zone"
)

// Primaries are all that the server transfers zones from, with the key for each: those
// of each of its pools.
func (s *Session) Primaries() []nameserver.PrimaryRef {
	var all []nameserver.PrimaryRef
	for _, p := range s.Server.Pools {
		for _, ref := range primaryRefs(p, s.keys.keys[p.ID].Name) {
			if !slices.Contains(all, ref) {
				all = append(all, ref)
			}
		}
	}
	return all
}

// Suspect says why the server may not be able to transfer a zone from a primary, as far
// as can be seen from here: the primary is asked for it as the server asks, and the
// server with the key that it asks with. "" when nothing is found. Over TLS primaries are
// not asked.
func (s *Session) Suspect(ctx context.Context, ref nameserver.PrimaryRef, name zone.Name) string {
	key := s.keys.opened(ref)
	if ref.TLS == "" {
		if _, err := s.f.DNS.Transfer(ctx, Question{Addr: ref.Addr, Zone: name, Key: key}); err != nil {
			return fmt.Sprintf("asked from here, too: %v", err)
		}
	}
	if key != nil {
		_, err := s.f.DNS.TXT(ctx, Question{Addr: s.Server.ProbeAddr(), Zone: name, Key: key})
		if errors.Is(err, dnsclient.ErrTSIG) {
			return fmt.Sprintf("the nameserver has the key %s otherwise than this store, or not at all: %v", ref.Key, err)
		}
	}
	return ""
}

// ReachName is the zone by which a server shows that it reaches its primaries. It is the
// same for every try, so that one that was killed leaves nothing that the next does not
// find.
func (s *Session) ReachName(ctx context.Context) (zone.Name, error) {
	id, err := s.f.Store.Identity(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("reach\x00" + id.Store + "\x00" + s.Server.Name))
	return fleet.MarkerParent.Prepend(hex.EncodeToString(sum[:16]))
}

// opened is the key of a primary with its secret; nil where transfers are not signed.
func (k keyring) opened(ref nameserver.PrimaryRef) *wire.Key {
	for id, key := range k.keys {
		if ref.Key != "" && key.Name.Equal(ref.Key) {
			return k.open[id]
		}
	}
	return nil
}

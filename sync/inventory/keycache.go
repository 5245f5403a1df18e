package inventory

import (
	"context"
	"sync"
	"time"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// keyAge is how long a server's key is kept before it is looked up again: a
// rotation leaves the old key valid for much longer.
const keyAge = 10 * time.Second

// KeyCache remembers each server's key for NOTIFY and questions, so that not
// every message opens a sealed secret. It may be used by many goroutines; one
// server's key is looked up by one of them, and holds up no other server.
type KeyCache struct {
	Fleet *Fleet

	mu   sync.Mutex
	keys map[int64]*cachedKey
}

type cachedKey struct {
	mu  sync.Mutex
	key *wire.Key
	at  time.Time
}

// Key is the key in use with the server, of the first of its pools that has one;
// nil when none has.
func (c *KeyCache) Key(ctx context.Context, s fleet.Server, _ zone.Name) (*wire.Key, error) {
	k := c.of(s.ID)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := c.Fleet.Now()
	if !k.at.IsZero() && now.Sub(k.at) < keyAge {
		return k.key, nil
	}
	ring, err := c.Fleet.keyring(ctx, s)
	if err != nil {
		return nil, err
	}
	k.key, k.at = ring.probe, now
	return k.key, nil
}

func (c *KeyCache) of(server int64) *cachedKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[int64]*cachedKey)
	}
	if c.keys[server] == nil {
		c.keys[server] = new(cachedKey)
	}
	return c.keys[server]
}

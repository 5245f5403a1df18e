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
// every message opens a sealed secret. It may be used by many goroutines.
type KeyCache struct {
	Fleet *Fleet

	mu   sync.Mutex
	keys map[int64]cachedKey
}

type cachedKey struct {
	key *wire.Key
	at  time.Time
}

// Key is the newest valid key of the first of the server's pools that has one;
// nil when none has.
func (c *KeyCache) Key(ctx context.Context, s fleet.Server, _ zone.Name) (*wire.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Fleet.Now()
	if k, ok := c.keys[s.ID]; ok && now.Sub(k.at) < keyAge {
		return k.key, nil
	}
	ring, err := c.Fleet.keyring(ctx, s)
	if err != nil {
		return nil, err
	}
	if c.keys == nil {
		c.keys = make(map[int64]cachedKey)
	}
	c.keys[s.ID] = cachedKey{ring.probe, now}
	return ring.probe, nil
}

package inventory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/wire"
	"dnsctl/zone"
)

// Acceptance is what a nameserver makes of a TSIG key.
type Acceptance int

// The answers, from worst to best.
const (
	Doubtful Acceptance = iota // it does not know the key, or did not answer
	Known                      // it took the signature, and answered nothing that helps
	Served                     // it took the signature and answered with the zone
)

// How long an answer about a key is good for. A key that was accepted stays so; one
// that was not may be made known at any time.
const (
	acceptedFor = 10 * time.Minute
	doubtedFor  = 10 * time.Second
)

// proofs remembers what servers made of keys. It may be used by many goroutines.
type proofs struct {
	mu  sync.Mutex
	all map[proofOf]proof
}

type proofOf struct{ server, key int64 }

type proof struct {
	what Acceptance
	till time.Time
}

func (p *proofs) get(of proofOf, now time.Time) (Acceptance, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	got, ok := p.all[of]
	return got.what, ok && now.Before(got.till)
}

func (p *proofs) put(of proofOf, what Acceptance, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[proofOf]proof)
	}
	age := doubtedFor
	if what == Served {
		age = acceptedFor
	}
	p.all[of] = proof{what, now.Add(age)}
}

// inUse picks the one of a pool's valid keys, the newest first, that questions,
// NOTIFY and zones of this server use. While a key is being rotated there are
// two, and the new one is used only when the server has proven that it accepts
// it; until then, and in doubt, it is the old one, which still works.
func (f *Fleet) inUse(ctx context.Context, s fleet.Server, keys []fleet.Key) (fleet.Key, *wire.Key, error) {
	best := -1
	var found Acceptance
	var opened *wire.Key
	for i, key := range keys {
		k, err := OpenKey(ctx, f.Sealer, key)
		if err != nil {
			return key, nil, err
		}
		if len(keys) == 1 {
			return key, k, nil
		}
		what, fresh := f.proofs.get(proofOf{s.ID, key.ID}, f.Now())
		if !fresh {
			what = f.DNS.Accepts(ctx, Question{Addr: s.ProbeAddr(), Zone: s.Marker, Key: k})
			if ctx.Err() == nil {
				f.proofs.put(proofOf{s.ID, key.ID}, what, f.Now())
			}
		}
		// In doubt about all of them it is the oldest.
		if best < 0 || what > found || what == Doubtful && found == Doubtful {
			best, found, opened = i, what, k
		}
		if found == Served {
			break
		}
	}
	return keys[best], opened, nil
}

// OfferKeys gives a server that takes keys over its control channel those that it
// does not use yet, and says which it did not have; the next session finds out
// whether it accepts them. The server's marker was sound.
func (s *Session) OfferKeys(ctx context.Context) (made []zone.Name, err error) {
	holder, ok := s.Driver.(nameserver.KeyHolder)
	if !ok {
		return nil, nil
	}
	for _, key := range s.keys.newer {
		is, err := holder.HoldKey(ctx, key)
		if err != nil {
			return made, err
		}
		if is {
			made = append(made, key)
		}
	}
	return made, nil
}

// OpenKey is a key of the store, ready to sign.
func OpenKey(ctx context.Context, sealer secret.Sealer, key fleet.Key) (*wire.Key, error) {
	plain, err := sealer.Open(ctx, key.Secret)
	if err != nil {
		return nil, fmt.Errorf("open TSIG key %s: %w", key.Name, err)
	}
	alg, err := wire.ParseAlgorithm(key.Algorithm.String())
	if err != nil {
		return nil, fmt.Errorf("TSIG key %s: %w", key.Name, err)
	}
	return &wire.Key{Name: key.Name, Algorithm: alg, Secret: plain.Reveal()}, nil
}

package bind

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/dnsclient"
	"dnsctl/nameserver"
	"dnsctl/wire"
	"dnsctl/zone"
)

// checkKey makes sure that named knows a TSIG key. The list is read once, and
// again when a key is not on it; named 9.20 has none, and is asked over DNS.
func (d *driver) checkKey(ctx context.Context, key zone.Name) error {
	key = key.Lower()
	if d.keys[key] {
		return nil
	}
	text, err := d.control.do(ctx, "tsig-list")
	if hasReason(err, unknownCommand) {
		return d.askKey(ctx, key)
	}
	if err != nil && !isResult(err, resultNotFound) { // 23: it has no keys at all
		return err
	}
	if d.keys, err = readKeys(text, d.view); err != nil {
		return err
	}
	if !d.keys[key] {
		return noKey(key)
	}
	return nil
}

func noKey(key zone.Name) error {
	return fmt.Errorf("%w: it has no TSIG key %s; declare it in named.conf and run rndc reconfig", nameserver.ErrRefused, key)
}

// readKeys reads tsig-list's lines: view "V"; type "static"; key "K";
func readKeys(text, view string) (map[zone.Name]bool, error) {
	list, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("rndc tsig-list: %w: %w", nameserver.ErrAnswer, err)
	}
	keys := map[zone.Name]bool{}
	in := ""
	for _, s := range list {
		if len(s.words) != 2 {
			continue
		}
		switch value := s.words[1].text; s.words[0].text {
		case "view":
			in = value
		case "key":
			if in != view {
				continue
			}
			name, err := zone.ParseName(value)
			if err != nil {
				return nil, fmt.Errorf("rndc tsig-list: %w: %w", nameserver.ErrAnswer, err)
			}
			keys[name.Lower()] = true
		}
	}
	return keys, nil
}

// askKey finds out by a question that is signed with a TSIG key whether named knows
// it (RFC 8945 section 5.2). One that is not answered leaves that open; so does a
// server with views, which may take the question for that of another one.
func (d *driver) askKey(ctx context.Context, key zone.Name) error {
	if d.key == nil || d.view != "_default" {
		return nil
	}
	k, err := d.key(ctx, key)
	if err != nil {
		return err
	}
	alg, err := wire.ParseAlgorithm(k.Algorithm.String())
	if err != nil {
		return fmt.Errorf("TSIG key %s: %w", key, err)
	}
	_, err = d.dns.Ask(ctx, d.addr, zone.Root, zone.TypeSOA, &wire.Key{Name: k.Name, Algorithm: alg, Secret: k.Secret.Reveal()})
	var said *dnsclient.Error
	if errors.As(err, &said) {
		switch said.TSIG {
		case wire.BadKey:
			return noKey(key)
		case wire.BadSig:
			return fmt.Errorf("%w: its TSIG key %s has another secret", nameserver.ErrRefused, key)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.keys == nil {
		d.keys = map[zone.Name]bool{}
	}
	d.keys[key] = true
	return nil
}

package knot

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// HoldKey makes sure that the server has a TSIG key, and makes it there. One of
// this name with another secret is somebody else's, and stays.
func (d *driver) HoldKey(ctx context.Context, name zone.Name) (made bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name = name.Lower(); d.keys[name] {
		return false, nil
	}
	var want nameserver.KeyConfig
	if d.key != nil {
		if want, err = d.key(ctx, name); err != nil {
			return false, fmt.Errorf("TSIG key %s: %w", name, err)
		}
	}
	text := nameText(name)
	algorithm, secret := strings.TrimSuffix(want.Algorithm.Lower().String(), "."), want.Secret.Reveal()
	var has []unit
	var conf config
	err = d.with(ctx, func(c *channel) (err error) {
		if conf, err = c.readConfig(ctx, ""); err == nil {
			has, err = c.one(ctx, confUnit("conf-read", "key", text, "", ""))
		}
		return err
	})
	var requests [][]unit
	switch {
	case says(err, saysNoID) && d.key == nil:
		return false, fmt.Errorf("%w: it has no TSIG key %s", nameserver.ErrRefused, name)
	case says(err, saysNoID):
		made = true
		requests = append(requests, []unit{confUnit("conf-set", "key", text, "", ""), confUnit("conf-set", "key", text, "algorithm", algorithm),
			confUnit("conf-set", "key", text, "secret", base64.StdEncoding.EncodeToString(secret))})
	case err != nil:
		return false, fmt.Errorf("look for TSIG key %s: %w", name, err)
	case d.key != nil && !sameKey(has, algorithm, secret):
		return false, report.Hint(fmt.Errorf("%w: it has a TSIG key %s with another secret or algorithm", nameserver.ErrRefused, name),
			"use a key of another name, or remove that one there: knotc conf-begin; knotc conf-unset 'key["+text+"]'; knotc conf-commit")
	}
	requests = append(requests, admitKey(conf, text)...)
	if len(requests) > 0 {
		if err := d.transact(ctx, func(c *channel) error { return c.all(ctx, requests) }); err != nil {
			return false, fmt.Errorf("make TSIG key %s: %w", name, err)
		}
	}
	d.keys[name] = true
	return made, nil
}

// admitKey puts a key into the acl of all that the server was given.
func admitKey(conf config, key string) [][]unit {
	_, there := conf["acl"][ownKeys]
	switch {
	case slices.Contains(conf.get("acl", ownKeys, "key"), key):
		return nil
	case there:
		return [][]unit{{confUnit("conf-set", "acl", ownKeys, "key", key)}}
	}
	return [][]unit{{confUnit("conf-set", "acl", ownKeys, "", ""), confUnit("conf-set", "acl", ownKeys, "action", "query"),
		confUnit("conf-set", "acl", ownKeys, "action", "notify"), confUnit("conf-set", "acl", ownKeys, "key", key)}}
}

func sameKey(has []unit, algorithm string, secret []byte) bool {
	conf := config{}
	id := ""
	for _, u := range has {
		if u[itemID] != "" {
			id = u[itemID]
		}
		conf.put(u)
	}
	a, s := conf.get("key", id, "algorithm"), conf.get("key", id, "secret")
	if len(a) != 1 || len(s) != 1 {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(s[0])
	return err == nil && bytes.Equal(raw, secret) && a[0] == algorithm
}

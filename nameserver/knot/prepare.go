package knot

import (
	"context"
	"fmt"
	"net/netip"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// prepare refuses settings that could never work, and makes what zones refer to:
// keys and templates. templates gets the identifier of each zone's.
func (d *driver) prepare(ctx context.Context, zones []nameserver.ZoneConfig, templates []string, errs []error) error {
	var conf config
	made := map[string]bool{}
	held := map[zone.Name]error{}
	for i, z := range zones {
		if errs[i] = check(z); errs[i] != nil {
			continue
		}
		for _, p := range z.Primaries {
			if p.Key == "" {
				continue
			}
			err, known := held[p.Key]
			if !known {
				_, err = d.HoldKey(ctx, p.Key)
				held[p.Key] = err
			}
			if errs[i] == nil {
				errs[i] = err
			}
		}
		if errs[i] != nil {
			continue
		}
		if conf == nil {
			if err := d.with(ctx, func(c *channel) (err error) {
				conf, err = c.readConfig(ctx, "")
				return err
			}); err != nil {
				return err
			}
		}
		_, limits := conf["mod-queryacl"][probers]
		list := entriesOf(z, z.Limited && limits)
		templates[i] = list[len(list)-1].id
		if made[templates[i]] {
			continue
		}
		made[templates[i]] = true
		var requests [][]unit
		for _, e := range list {
			requests = append(requests, e.requests(conf)...)
		}
		if z.Limited && limits {
			requests = append(requests, admit(z, conf)...)
		}
		if len(requests) == 0 {
			continue
		}
		if err := d.make(ctx, requests, templates[i]); err != nil {
			return fmt.Errorf("make template %s: %w", templates[i], err)
		}
		conf = nil
	}
	return nil
}

// check refuses settings that could never work.
func check(z nameserver.ZoneConfig) error {
	if err := New().CanHold(z.Name); err != nil {
		return err
	}
	if len(z.Primaries) == 0 {
		return fmt.Errorf("%w: no primaries", nameserver.ErrRefused)
	}
	for _, p := range z.Primaries {
		if !p.Addr.IsValid() || p.Addr.Port() == 0 {
			return fmt.Errorf("%w: primary %s", nameserver.ErrRefused, p.Addr)
		}
	}
	return nil
}

// admit lets a zone's primaries query the zones that are limited, beside those who
// may already.
func admit(z nameserver.ZoneConfig, conf config) [][]unit {
	var list [][]unit
	for _, p := range z.Primaries {
		a := p.Addr.Addr().Unmap()
		if !covers(conf.get("mod-queryacl", probers, "address"), a) {
			list = append(list, []unit{confUnit("conf-set", "mod-queryacl", probers, "address", a.String())})
		}
	}
	return list
}

func covers(list []string, a netip.Addr) bool {
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(a) {
			return true
		}
		if b, err := netip.ParseAddr(text); err == nil && b == a {
			return true
		}
	}
	return false
}

// make puts a template and what it needs into the configuration, and makes sure
// that knotd keeps it: one that has its configuration in a file forgets it when it
// reads that again.
func (d *driver) make(ctx context.Context, requests [][]unit, template string) error {
	seen := false // what it has its configuration in
	err := d.with(ctx, func(c *channel) error {
		_, seen = c.arguments()
		return c.hasDatabase()
	})
	if err != nil {
		return err
	}
	if err := d.transact(ctx, func(c *channel) error { return c.all(ctx, requests) }); err != nil || seen {
		return err
	}
	return d.with(ctx, func(c *channel) error {
		c.wait = commitTime
		if _, err := c.one(ctx, command("reload")); err != nil {
			return fmt.Errorf("find out whether it keeps what it is told: %w", err)
		}
		_, err := c.one(ctx, confUnit("conf-read", "template", template, "", ""))
		if says(err, saysNoID) {
			return inFile("that it was started with")
		}
		return err
	})
}

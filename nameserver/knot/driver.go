package knot

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// busyFor is how long the transaction of another client is waited for.
const busyFor = 5 * time.Second

// driver talks to one knotd.
type driver struct {
	to      dialer
	busyFor time.Duration
	key     func(ctx context.Context, name zone.Name) (nameserver.KeyConfig, error)

	mu   sync.Mutex         // while a TSIG key is looked for, or made
	keys map[zone.Name]bool // those that the server has as they should be
}

var (
	_ nameserver.Driver      = (*driver)(nil)
	_ nameserver.BulkAdder   = (*driver)(nil)
	_ nameserver.BulkDeleter = (*driver)(nil)
	_ nameserver.KeyHolder   = (*driver)(nil)
)

// Close ends what was started to reach the server.
func (d *driver) Close() error {
	d.to.close()
	return nil
}

// batch is how many zones are added at a time: each commit has knotd look at all
// zones that it has, which takes it some seconds where there are 100,000.
const batch = 100_000

// Capabilities of Knot DNS: its inventory has everything. knotd serves one control
// connection at a time.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsPrimaries: true, ListsSerials: true, Batch: batch}
}

// with opens a channel for do, and closes it.
func (d *driver) with(ctx context.Context, do func(c *channel) error) error {
	c, err := connect(ctx, d.to)
	if err != nil {
		return err
	}
	defer c.close()
	return do(c)
}

// Info asks for knotd's version and identity. One that has its configuration in a
// text file is refused: it would forget every zone when it is started again.
func (d *driver) Info(ctx context.Context) (nameserver.Info, error) {
	var info nameserver.Info
	err := d.with(ctx, func(c *channel) error {
		if err := c.hasDatabase(); err != nil {
			return err
		}
		answers, errs, err := c.small(ctx, []unit{{itemCommand: "status", itemType: "version"}}, []unit{confUnit("conf-read", "server", "", "identity", "")})
		if err != nil {
			return err
		}
		if errs[0] != nil {
			return errs[0]
		}
		if len(answers[0]) > 0 {
			info.Version = strings.TrimPrefix(answers[0][0][itemData], "Version: ") // which 3.4 leaves out
		}
		if info.Version == "" {
			return fmt.Errorf("%w: no version", nameserver.ErrAnswer)
		}
		info.Version = "Knot DNS " + nameserver.Printable(info.Version)
		if len(answers[1]) > 0 {
			info.Identity = nameserver.Printable(answers[1][0][itemData])
		}
		return nil
	})
	if err != nil {
		return nameserver.Info{}, fmt.Errorf("ask knotd: %w", err)
	}
	return info, nil
}

// Inventory lists all zones with their primaries: first what the configuration
// says of each, then how each stands.
func (d *driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	var stop error // yield's
	err := d.with(ctx, func(c *channel) error {
		conf, err := c.readConfig(ctx, "")
		if err != nil {
			return err
		}
		zones, err := c.zoneConfs(ctx)
		if err != nil {
			return err
		}
		return c.statuses(ctx, "", func(s status) error {
			z, err := s.state()
			if err != nil {
				return err
			}
			conf.complete(&z, zones[s.name])
			stop = yield(z)
			return stop
		})
	})
	if stop != nil {
		return stop
	}
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	return nil
}

// details are what knotd says of one zone.
type details struct {
	nameserver.ZoneState
	items []item // of its own in the configuration
	in    bool   // it is in the configuration
}

// Zone reads one zone afresh.
func (d *driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	var z details
	err := d.with(ctx, func(c *channel) (err error) {
		z, _, err = c.look(ctx, name)
		return err
	})
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return z.ZoneState, nil
}

// look reads a zone, and the configuration that it refers to.
func (c *channel) look(ctx context.Context, name zone.Name) (details, config, error) {
	var z details
	if New().CanHold(name) != nil {
		return z, nil, nameserver.ErrNoZone // it refuses the question
	}
	text := nameText(name)
	seen := false
	err := c.statuses(ctx, text, func(s status) (err error) {
		if seen {
			return fmt.Errorf("%w: asked for one zone, it shows several", nameserver.ErrAnswer)
		}
		seen = true
		z.ZoneState, err = s.state()
		return err
	})
	switch {
	case err != nil:
		return z, nil, err
	case !seen:
		return z, nil, fmt.Errorf("%w: zone-status without a word", nameserver.ErrAnswer)
	case !z.Name.Equal(name):
		return z, nil, fmt.Errorf("%w: it shows zone %s", nameserver.ErrAnswer, z.Name)
	}
	conf, err := c.readConfig(ctx, text)
	if err != nil {
		return z, nil, err
	}
	var in *zoneConf
	for zoneID, list := range conf["zone"] {
		if n, err := zone.ParseName(zoneID); err != nil || !n.Equal(name) {
			return z, nil, fmt.Errorf("%w: asked for zone %s, it shows %s", nameserver.ErrAnswer, name, nameserver.Printable(zoneID))
		}
		in = new(zoneConf)
		for _, it := range list {
			for _, v := range it.Values {
				in.put(unit{itemItem: it.Name, itemData: v})
			}
		}
		z.items, z.in = list, true
	}
	conf.complete(&z.ZoneState, in)
	return z, conf, nil
}

// touchable says whether a zone may be changed or deleted.
func touchable(z details) error {
	switch {
	case z.Role == nameserver.Other:
		return fmt.Errorf("%w: it is of %s", nameserver.ErrUntouchable, z.Detail)
	case z.Origin == nameserver.Cataloged || !z.in:
		return fmt.Errorf("%w: it is a member of a catalog zone", nameserver.ErrUntouchable)
	case z.Signs:
		return fmt.Errorf("%w: the nameserver signs it with keys of its own", nameserver.ErrUntouchable)
	}
	return nil
}

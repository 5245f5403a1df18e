package nsd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"

	"dnsctl/dnsclient"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// driver talks to one nsd.
type driver struct {
	server   string // its name here
	control  channel
	dns      *dnsclient.Client
	addr     netip.AddrPort // where it is asked over DNS
	transfer func(ctx context.Context, name zone.Name) (*zone.Snapshot, error)
}

var (
	_ nameserver.Driver    = (*driver)(nil)
	_ nameserver.BulkAdder = (*driver)(nil)
	_ nameserver.Preparer  = (*driver)(nil)
)

// atOnce is how many connections NSD is given at a time; it closes an eleventh,
// and other programs want some.
const atOnce = 3

// Close does nothing: each command has a connection of its own.
func (d *driver) Close() error { return nil }

// Capabilities of NSD: its inventory has serials, and the primaries and keys that
// the names of our patterns state.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsPrimaries: true, ListsSerials: true, AtOnce: atOnce}
}

// Info asks for the server's version.
func (d *driver) Info(ctx context.Context) (nameserver.Info, error) {
	v, err := d.version(ctx)
	return nameserver.Info{Version: "NSD " + v}, err
}

func (d *driver) version(ctx context.Context) (string, error) {
	lines, err := d.control.ask(ctx, "status")
	if err != nil {
		return "", err
	}
	v, ok := strings.CutPrefix(lines[0], "version: ")
	if !ok {
		return "", fmt.Errorf("nsd status: %w: no version", nameserver.ErrAnswer)
	}
	return printable(v), nil
}

// Inventory lists all zones. Those that NSD is primary for come last: their
// serials are asked for over DNS.
func (d *driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	var primaries []nameserver.ZoneState
	err := d.each(ctx, func(s status) error {
		z, err := s.zoneState()
		switch {
		case err != nil:
			return err
		case z.Role == nameserver.Primary:
			primaries = append(primaries, z)
			return nil
		}
		return yield(z)
	})
	if err == nil {
		err = d.askSerials(ctx, primaries)
	}
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	for _, z := range primaries {
		if err := yield(z); err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
	}
	return nil
}

// serialsAtOnce is how many questions for serials are under way at a time.
const serialsAtOnce = 32

func (d *driver) askSerials(ctx context.Context, zones []nameserver.ZoneState) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(serialsAtOnce)
	for i := range zones {
		group.Go(func() error { return d.askSerial(ctx, &zones[i]) })
	}
	return group.Wait()
}

// askSerial asks for the serial of a zone that NSD is primary for, which the
// control channel does not tell. One that it does not answer for has none.
func (d *driver) askSerial(ctx context.Context, z *nameserver.ZoneState) error {
	a, err := d.dns.Ask(ctx, d.addr, z.Name, zone.TypeSOA, nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		if set, ok := a.RRset(z.Name, zone.TypeSOA); ok && a.AA {
			if soa, perr := zone.ParseSOA(set.Data.First()); perr == nil {
				z.Serial = new(soa.Serial)
				return nil
			}
		}
		err = errors.New("no SOA of its own")
	}
	z.Expired = true
	z.Detail += ", not answered: " + printable(err.Error())
	return nil
}

// Zone reads one zone afresh.
func (d *driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	_, z, err := d.look(ctx, name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return z, nil
}

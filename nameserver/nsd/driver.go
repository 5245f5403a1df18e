package nsd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

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
	added    atomic.Bool // zones, that may not be on disk yet
}

var (
	_ nameserver.Driver      = (*driver)(nil)
	_ nameserver.BulkAdder   = (*driver)(nil)
	_ nameserver.BulkDeleter = (*driver)(nil)
	_ nameserver.Preparer    = (*driver)(nil)
)

// atOnce is how many connections NSD is given at a time; it closes an eleventh,
// and other programs want some.
const atOnce = 3

// batch is how many zones NSD is given at a time: one process of it takes commands
// and transfers zones, so a command that comes while zones are transferred waits.
const batch = 20_000

// Close has zones that were added written to their files, as far as they have
// arrived; NSD would do so at its next time for that. There is no connection to
// end: each command has one of its own.
func (d *driver) Close() error {
	if !d.added.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), silenceLimit)
	defer cancel()
	err := d.control.order(ctx, "write")
	if err == nil {
		err = d.reloaded(ctx)
	}
	if err != nil {
		return fmt.Errorf("have zones written to files: %w", err)
	}
	return nil
}

// Capabilities of NSD: its inventory has serials, and the primaries and keys that
// the names of our patterns state.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsPrimaries: true, ListsSerials: true, AtOnce: atOnce, Batch: batch}
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

// Inventory lists all zones. Those whose serial the control channel does not tell
// come last: it is asked for over DNS.
func (d *driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	var unclear []nameserver.ZoneState
	err := d.each(ctx, func(s status) error {
		z, err := s.zoneState()
		switch {
		case err != nil:
			return err
		case tellsNoSerial(z):
			unclear = append(unclear, z)
			return nil
		}
		return yield(z)
	})
	if err == nil {
		err = d.askSerials(ctx, unclear)
	}
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	for _, z := range unclear {
		if err := yield(z); err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
	}
	return nil
}

// tellsNoSerial says whether a zone may have content of which the control channel
// does not show the serial: one that NSD is primary for, and a secondary right
// after a change or a forced transfer.
func tellsNoSerial(z nameserver.ZoneState) bool {
	return z.Role != nameserver.Other && z.Serial == nil
}

const (
	serialsAtOnce = 32 // questions for serials that are under way at a time
	silences      = 3  // questions without an answer, after which no more are asked
)

func (d *driver) askSerials(ctx context.Context, zones []nameserver.ZoneState) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(serialsAtOnce)
	var silent atomic.Int32
	for i := range zones {
		group.Go(func() error {
			z := &zones[i]
			if silent.Load() >= silences {
				unanswered(z, dnsclient.ErrTimeout)
				return nil
			}
			err := d.askSerial(ctx, z)
			if errors.Is(err, dnsclient.ErrTimeout) || errors.Is(err, dnsclient.ErrUnreachable) {
				silent.Add(1)
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// askSerial asks for a zone's serial over DNS. One that is not answered with data
// counts as expired; the error is why not.
func (d *driver) askSerial(ctx context.Context, z *nameserver.ZoneState) error {
	a, err := d.dns.Ask(ctx, d.addr, z.Name, zone.TypeSOA, nil)
	if err == nil {
		if set, ok := a.RRset(z.Name, zone.TypeSOA); ok && a.AA {
			var soa zone.SOA
			if soa, err = zone.ParseSOA(set.Data.First()); err == nil {
				z.Serial, z.Expired = new(soa.Serial), false
				return nil
			}
		} else {
			err = fmt.Errorf("%v, no SOA of its own", a.Rcode)
		}
	}
	unanswered(z, err)
	return err
}

func unanswered(z *nameserver.ZoneState, err error) {
	z.Expired = true
	z.Detail += ", not answered: " + printable(err.Error())
}

// Zone reads one zone afresh.
func (d *driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	_, z, err := d.look(ctx, name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return z, nil
}

package bind

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Add makes a secondary zone with addzone. named takes whatever it is told: an
// unknown TSIG key shows only in its log, so the keys are checked here.
func (d *driver) Add(ctx context.Context, z nameserver.ZoneConfig) error {
	if z.Catalog {
		return d.consumes(ctx, z)
	}
	if err := d.check(ctx, z); err != nil {
		return fmt.Errorf("add zone %s: %w", z.Name, err)
	}
	if err := d.add(ctx, z.Name, secondaryText(z, fileName(z.Name, z.Incarnation), "")); err != nil {
		return fmt.Errorf("add zone %s: %w", z.Name, err)
	}
	return nil
}

// add adds a zone. named 9.20 forgets a zone's settings a moment after delzone: those of
// one that comes back at once may go along, and it would be gone after a restart. So
// before one that was deleted comes back, a command is sent for which all of named's
// threads stop, and end what they had begun; afterwards it is looked at, and added once
// more if need be.
func (d *driver) add(ctx context.Context, name zone.Name, block string) error {
	again := d.deleted[name.Lower()]
	for pause := 20 * time.Millisecond; ; pause *= 3 {
		if again {
			if _, err := d.control.do(ctx, "serve-stale status"); err != nil {
				return err
			}
		}
		if _, err := d.control.do(ctx, "addzone "+d.at(name)+" "+block); err != nil || !again {
			return err
		}
		_, err := d.control.do(ctx, "showzone "+d.at(name))
		if !isResult(err, resultFailure) || pause > commandTimeout/10 {
			return err
		}
		if err := d.remove(ctx, "delzone "+d.at(name), name); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// remove carries out a delzone.
func (d *driver) remove(ctx context.Context, command string, name zone.Name) error {
	if d.deleted == nil {
		d.deleted = map[zone.Name]bool{}
	}
	d.deleted[name.Lower()] = true
	_, err := d.control.do(ctx, command)
	return err
}

// check refuses settings that named would accept and could never use.
func (d *driver) check(ctx context.Context, z nameserver.ZoneConfig) error {
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
		if p.Key == "" {
			continue
		}
		if err := d.checkKey(ctx, p.Key); err != nil {
			return err
		}
	}
	return nil
}

// Change gives a zone the settings of z.
//
// modzone says "reconfigured" to a new type or file as well, shows it, and goes
// on with the old one until it is started again. So only a secondary is changed
// by it, and keeps its file; a primary is removed with its file left in place
// and added as a secondary on that file, and is not answered for a few
// milliseconds.
func (d *driver) Change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.change(ctx, z); err != nil {
		return fmt.Errorf("change zone %s: %w", z.Name, err)
	}
	return nil
}

func (d *driver) change(ctx context.Context, z nameserver.ZoneConfig) error {
	if z.Catalog {
		return d.consumes(ctx, z)
	}
	if err := d.check(ctx, z); err != nil {
		return err
	}
	has, err := d.look(ctx, z.Name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil {
		return err
	}
	format := has.set.word("masterfile-format")
	if has.Role == nameserver.Secondary {
		_, err = d.control.do(ctx, "modzone "+d.at(z.Name)+" "+secondaryText(z, has.file, format))
		return err
	}
	if format == "" {
		format = "text"
	}
	if has.file == "" { // content from elsewhere than a file
		return d.replace(ctx, has, secondaryText(z, fileName(z.Name, z.Incarnation), ""))
	}
	return d.replace(ctx, has, secondaryText(z, has.file, format))
}

// touchable says whether a zone may be changed or deleted.
func touchable(z details) error {
	switch {
	case z.Role == nameserver.Other:
		return fmt.Errorf("%w: it is of %s", nameserver.ErrUntouchable, z.Detail)
	case z.Origin == nameserver.Declared:
		return fmt.Errorf("%w: it is declared in the nameserver's configuration file", nameserver.ErrUntouchable)
	case z.Origin == nameserver.Cataloged:
		return fmt.Errorf("%w: it is a member of a catalog zone", nameserver.ErrUntouchable)
	case z.Origin != nameserver.Runtime:
		return fmt.Errorf("%w: it is not loaded, and named tells only of loaded zones whether they stand in its configuration file", nameserver.ErrUntouchable)
	case z.Signs:
		return fmt.Errorf("%w: the nameserver signs it with keys of its own", nameserver.ErrUntouchable)
	}
	return nil
}

// replace removes a zone, leaving its files, and adds it with another block; if
// that fails, with its former one.
func (d *driver) replace(ctx context.Context, has details, block string) error {
	if err := d.remove(ctx, "delzone "+d.at(has.Name), has.Name); err != nil {
		return err
	}
	err := d.add(ctx, has.Name, block)
	if err == nil {
		return nil
	}
	return errors.Join(err, d.putBack(ctx, has))
}

// putBack adds a zone as it was, even when ctx has ended.
func (d *driver) putBack(ctx context.Context, has details) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	if err := d.add(ctx, has.Name, has.set.text()); err != nil && !errors.Is(err, nameserver.ErrExists) {
		return fmt.Errorf("put the zone back: %w", err)
	}
	return nil
}

// Delete removes a zone that was added at run time and proves it gone.
//
// named aborts on "delzone -clean" of a secondary without a file, so that is
// never sent. The files of a primary stay: an operator may have written them,
// and several zones may share one. A transfer that ends at the same moment may
// leave a file, which no zone added later uses.
func (d *driver) Delete(ctx context.Context, name zone.Name) error {
	if err := d.delete(ctx, name); err != nil {
		return fmt.Errorf("delete zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) delete(ctx context.Context, name zone.Name) error {
	has, err := d.look(ctx, name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil {
		return err
	}
	if err := d.checkCatalog(ctx, has); err != nil {
		return err
	}
	command := "delzone -clean " + d.at(name)
	if has.file == "" || has.Role == nameserver.Primary {
		command = "delzone " + d.at(name)
	}
	if err := d.remove(ctx, command, name); err != nil {
		var r *resultError
		if errors.As(err, &r) && strings.Contains(r.text, "response-policy") {
			return fmt.Errorf("%w: %w", nameserver.ErrUntouchable, err)
		}
		return err
	}
	_, err = d.control.do(ctx, "zonestatus "+d.at(name))
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		return nil
	case err != nil && !hasReason(err, notLoaded):
		return fmt.Errorf("prove it gone: %w", err)
	}
	return fmt.Errorf("prove it gone: %w: the zone is still there", nameserver.ErrRefused)
}

// checkCatalog refuses zones that are catalogs (RFC 9432: TXT "2" or "1" at
// version), which named tells from others in no way: deleting one may take its
// members along. Zones that we added are none.
func (d *driver) checkCatalog(ctx context.Context, z details) error {
	if ownFile(z.file) || z.Serial == nil || d.transfer == nil {
		return nil
	}
	content, err := d.transfer(ctx, z.Name)
	if err != nil {
		return nil // whoever deletes without a copy was asked about that
	}
	return nameserver.CheckNoCatalog(content)
}

// Retransfer asks for an AXFR; named answers when that is queued.
func (d *driver) Retransfer(ctx context.Context, name zone.Name) error {
	if _, err := d.control.do(ctx, "retransfer "+d.at(name)); err != nil {
		return fmt.Errorf("retransfer zone %s: %w", name, err)
	}
	return nil
}

// Export copies a zone: its settings as showzone prints them (none for members
// of catalogs), its content by AXFR.
func (d *driver) Export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	has, err := d.look(ctx, name)
	if err != nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w", name, err)
	}
	if has.Serial == nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w: it has none loaded", name, nameserver.ErrNoCopy)
	}
	if d.transfer == nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w: no transfers from this server", name, nameserver.ErrNoCopy)
	}
	e := nameserver.Export{}
	if has.set.block != nil {
		e.Settings = "zone " + nameText(name) + " " + has.set.text()
	}
	if e.Content, err = d.transfer(ctx, name); err != nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w (its allow-transfer must let us in): %w", name, nameserver.ErrNoCopy, err)
	}
	return e, nil
}

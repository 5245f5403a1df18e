package powerdns

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// secondary is what makes a zone one of ours. SOA-EDIT-API must not change the
// serial of what was transferred.
type secondary struct {
	Name          string   `json:"name,omitempty"`
	Kind          string   `json:"kind"`
	Masters       []string `json:"masters"`
	PrimaryKeys   []string `json:"master_tsig_key_ids"`
	SecondaryKeys []string `json:"slave_tsig_key_ids"`
	SOAEditAPI    string   `json:"soa_edit_api"`
}

// consumer is the kind of a catalog zone that zones are taken from.
const consumer = "Consumer"

// Add makes a secondary zone and asks for its transfer, which PowerDNS would not
// begin before its next round otherwise. PowerDNS cannot limit who may query a
// zone: Limited has no effect.
func (d *driver) Add(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.add(ctx, z); err != nil {
		return fmt.Errorf("add zone %s: %w", z.Name, err)
	}
	return nil
}

func (d *driver) add(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.create(ctx, z); err != nil {
		return err
	}
	return d.retrieve(ctx, z.Name)
}

func (d *driver) create(ctx context.Context, z nameserver.ZoneConfig) error {
	s, err := d.check(ctx, z)
	if err != nil {
		return err
	}
	s.Name = nameText(z.Name)
	return noAPI(d.call(ctx, http.MethodPost, "/zones?rrsets=false", s, nil))
}

// transferWhole has a zone come by AXFR only. PowerDNS 4.7 writes what an IXFR
// brings as data that it has no authority for, and answers it no more; and where a
// zone may come by IXFR it asks for nothing else, not even when it is told to
// retrieve the zone.
func (d *driver) transferWhole(ctx context.Context, name zone.Name) error {
	ixfr, err := d.metadata(ctx, name, "IXFR")
	if err != nil || len(ixfr) == 0 {
		return err
	}
	return d.zoneCall(ctx, name, http.MethodDelete, "/metadata/IXFR", nil)
}

func (d *driver) putMetadata(ctx context.Context, name zone.Name, m metadata) error {
	if err := d.zoneCall(ctx, name, http.MethodPut, "/metadata/"+m.Kind, m); err != nil {
		return fmt.Errorf("set metadata %s: %w", m.Kind, err)
	}
	return nil
}

// zoneCall changes something of a zone. ErrNoZone when that is gone.
func (d *driver) zoneCall(ctx context.Context, name zone.Name, method, path string, in any) error {
	err := d.call(ctx, method, "/zones/"+id(name)+path, in, nil)
	if errors.Is(err, errNotFound) {
		return d.absent(ctx, name)
	}
	return err
}

// noAPI reads status 404 where no zone was asked for.
func noAPI(err error) error {
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("%w: there is no PowerDNS API", nameserver.ErrAnswer)
	}
	return err
}

// check refuses settings that could never work, and makes sure that the server
// has the key.
func (d *driver) check(ctx context.Context, z nameserver.ZoneConfig) (secondary, error) {
	s := secondary{Kind: "Slave", PrimaryKeys: []string{}, SecondaryKeys: []string{}}
	if z.Catalog {
		s.Kind = consumer
	}
	if err := New().CanHold(z.Name); err != nil {
		return s, err
	}
	if len(z.Primaries) == 0 {
		return s, fmt.Errorf("%w: no primaries", nameserver.ErrRefused)
	}
	for _, p := range z.Primaries {
		switch {
		case !p.Addr.IsValid() || p.Addr.Port() == 0:
			return s, fmt.Errorf("%w: primary %s", nameserver.ErrRefused, p.Addr)
		case !p.Key.Equal(z.Primaries[0].Key):
			return s, fmt.Errorf("%w: a zone has one TSIG key for all its primaries", nameserver.ErrRefused)
		}
		s.Masters = append(s.Masters, p.Addr.String())
	}
	if key := z.Primaries[0].Key; key != "" {
		if _, err := d.HoldKey(ctx, key); err != nil {
			return s, err
		}
		s.PrimaryKeys, s.SecondaryKeys = []string{nameText(key)}, []string{nameText(key)}
	}
	return s, nil
}

// tsigKey is a TSIG key as the API has it.
type tsigKey struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Key       string `json:"key"` // base64
}

// HoldKey makes sure that the server has a TSIG key, and makes it there. One of
// this name with another secret is somebody else's, and stays.
func (d *driver) HoldKey(ctx context.Context, name zone.Name) (made bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name = name.Lower(); d.keys[name] {
		return false, nil
	}
	var has, want tsigKey
	if d.key != nil {
		k, err := d.key(ctx, name)
		if err != nil {
			return false, fmt.Errorf("TSIG key %s: %w", name, err)
		}
		want = tsigKey{Name: nameText(name), Algorithm: strings.TrimSuffix(k.Algorithm.Lower().String(), "."),
			Key: base64.StdEncoding.EncodeToString(k.Secret.Reveal())}
	}
	err = d.call(ctx, http.MethodGet, "/tsigkeys/"+id(name), nil, &has)
	switch {
	case errors.Is(err, errNotFound) && d.key == nil:
		return false, fmt.Errorf("%w: it has no TSIG key %s", nameserver.ErrRefused, name)
	case errors.Is(err, errNotFound):
		if err := noAPI(d.call(ctx, http.MethodPost, "/tsigkeys", want, nil)); err != nil {
			return false, fmt.Errorf("make TSIG key %s: %w", name, err)
		}
		made = true
	case err != nil:
		return false, fmt.Errorf("look for TSIG key %s: %w", name, err)
	case d.key != nil && !has.same(want):
		return false, fmt.Errorf("%w: it has a TSIG key %s with another secret or algorithm; remove that there (pdnsutil delete-tsig-key %s) or use a key of another name",
			nameserver.ErrRefused, name, strings.TrimSuffix(nameText(name), "."))
	}
	d.keys[name] = true
	return made, nil
}

func (k tsigKey) same(o tsigKey) bool {
	a, err := base64.StdEncoding.DecodeString(k.Key)
	b, e := base64.StdEncoding.DecodeString(o.Key)
	return err == nil && e == nil && bytes.Equal(a, b) && strings.EqualFold(strings.TrimSuffix(k.Algorithm, "."), o.Algorithm)
}

// Change makes a zone a secondary with the settings of z; it goes on answering
// with the content that it has.
func (d *driver) Change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.change(ctx, z); err != nil {
		return fmt.Errorf("change zone %s: %w", z.Name, err)
	}
	return nil
}

func (d *driver) change(ctx context.Context, z nameserver.ZoneConfig) error {
	s, err := d.check(ctx, z)
	if err != nil {
		return err
	}
	has, err := d.touchable(ctx, z.Name)
	if errors.Is(err, nameserver.ErrUntouchable) && (z.Catalog && strings.EqualFold(has.Kind, consumer) || z.Member && has.Catalog != "") {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := d.zoneCall(ctx, z.Name, http.MethodPut, "", s); err != nil {
		return err
	}
	return d.transferWhole(ctx, z.Name)
}

// touchable reads a zone that is to be changed or deleted.
func (d *driver) touchable(ctx context.Context, name zone.Name) (details, error) {
	z, s, err := d.look(ctx, name)
	switch {
	case err != nil:
		return z, err
	case s.Role == nameserver.Other:
		return z, fmt.Errorf("%w: it is of %s", nameserver.ErrUntouchable, s.Detail)
	case s.Origin == nameserver.Cataloged:
		return z, fmt.Errorf("%w: it is a member of a catalog zone", nameserver.ErrUntouchable)
	case s.Signs:
		return z, fmt.Errorf("%w: the nameserver signs it with keys of its own", nameserver.ErrUntouchable)
	}
	var keys []struct {
		ID int `json:"id"`
	}
	if err := d.call(ctx, http.MethodGet, "/zones/"+id(name)+"/cryptokeys", nil, &keys); err != nil {
		return z, fmt.Errorf("look for DNSSEC keys: %w", noAPI(err))
	}
	if len(keys) > 0 {
		return z, fmt.Errorf("%w: it has DNSSEC keys of its own", nameserver.ErrUntouchable)
	}
	return z, nil
}

// Delete removes a zone with its content and metadata, and proves it gone.
func (d *driver) Delete(ctx context.Context, name zone.Name) error {
	if err := d.delete(ctx, name); err != nil {
		return fmt.Errorf("delete zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) delete(ctx context.Context, name zone.Name) error {
	if _, err := d.touchable(ctx, name); err != nil {
		return err
	}
	if err := d.drop(ctx, name); err != nil {
		return err
	}
	found, err := d.lists(ctx, name)
	if err == nil && found {
		err = fmt.Errorf("%w: the zone is still there", nameserver.ErrRefused)
	}
	if err != nil {
		return fmt.Errorf("prove it gone: %w", err)
	}
	return nil
}

const (
	dropTries = 6 // of a deletion, which take 3 s with their pauses
	dropPause = 100 * time.Millisecond
)

// drop has PowerDNS remove a zone. On SQLite it gives up at once when another of its
// transactions writes meanwhile, as of a transfer: it is asked again then.
func (d *driver) drop(ctx context.Context, name zone.Name) error {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	pause := dropPause
	for try := 1; ; try++ {
		err := d.zoneCall(ctx, name, http.MethodDelete, "", nil)
		if !errors.Is(err, errInternal) || try == dropTries {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// Retransfer asks for an AXFR; PowerDNS answers when that is queued.
func (d *driver) Retransfer(ctx context.Context, name zone.Name) error {
	err := d.transferWhole(ctx, name)
	if err == nil {
		err = d.retrieve(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("retransfer zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) retrieve(ctx context.Context, name zone.Name) error {
	return d.zoneCall(ctx, name, http.MethodPut, "/axfr-retrieve", nil)
}

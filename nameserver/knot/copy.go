package knot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// settings of a zone are what Export writes and Convert reads, as JSON: the items
// that stand at the zone itself, in knotd's order.
type settings struct {
	Name  string `json:"name"`
	Role  string `json:"role"` // primary or secondary
	Items []item `json:"items"`
}

// Export copies a zone, settings and content, over the control socket.
func (d *driver) Export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	var e nameserver.Export
	err := d.with(ctx, func(c *channel) error {
		z, _, err := c.look(ctx, name)
		if err != nil {
			return err
		}
		if z.Serial == nil {
			return fmt.Errorf("%w: it has none loaded", nameserver.ErrNoCopy)
		}
		if z.in {
			text, err := json.Marshal(settings{Name: nameText(name), Role: string(z.Role), Items: z.items})
			if err != nil {
				return err
			}
			e.Settings = string(text)
		}
		e.Content, err = c.content(ctx, name)
		return err
	})
	if err != nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w", name, err)
	}
	return e, nil
}

// content reads a zone as it is served.
func (c *channel) content(ctx context.Context, name zone.Name) (*zone.Snapshot, error) {
	b := zone.NewBuilder(name, 0)
	err := c.ask(ctx, 1, just(unit{itemCommand: "zone-read", itemZone: nameText(name)}), func(_ int, u unit) error {
		if err := refusal(u); err != nil {
			return err
		}
		set, err := readRecord(u)
		if err != nil {
			return err
		}
		b.Add(set)
		return nil
	})
	if err != nil {
		return nil, err
	}
	snap, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nameserver.ErrNoCopy, err)
	}
	return snap, nil
}

// readRecord reads a record as zone-read sends it.
func readRecord(u unit) (zone.RRset, error) {
	bad := func(err error) (zone.RRset, error) {
		return zone.RRset{}, fmt.Errorf("%w: the record %s %s: %w", nameserver.ErrAnswer, nameserver.Printable(u[itemOwner]), nameserver.Printable(u[itemType]), err)
	}
	owner, err := zone.ParseName(u[itemOwner])
	if err != nil {
		return bad(err)
	}
	ttl, err := strconv.ParseUint(u[itemTTL], 10, 32)
	if err != nil {
		return bad(err)
	}
	typ, err := zone.ParseType(u[itemType])
	if err != nil {
		return bad(err)
	}
	data, err := zonefile.ParseRdata(typ, u[itemData], zone.Root)
	if err != nil {
		return bad(err)
	}
	return zone.RRset{Owner: owner, Type: typ, Covers: zone.CoversOf(typ, data), TTL: uint32(ttl), Data: zone.PackRdata(data)}, nil
}

// convertWait bounds how long a converted zone may take to be loaded.
const convertWait = 30 * time.Second

// restoredFile is where the content of a primary is written whose own file has
// other content by now. It is relative to the storage that the settings name.
const restoredFile = "dnsctl-restored-%s.zone"

// Convert gives a loaded secondary the settings that Export returned. It goes on
// answering with the content that it has.
func (d *driver) Convert(ctx context.Context, name zone.Name, text string) error {
	if err := d.convert(ctx, name, text); err != nil {
		return fmt.Errorf("restore settings of zone %s: %w", name, err)
	}
	return nil
}

var errSettings = errors.New("not the settings of a Knot DNS zone")

func readSettings(text string) (settings, zone.Name, error) {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, "", fmt.Errorf("%w: %w", errSettings, err)
	}
	name, err := zone.ParseName(s.Name)
	if err != nil || s.Role == "" {
		return s, "", errSettings
	}
	for _, it := range s.Items {
		if it.Name == "" || len(it.Values) == 0 {
			return s, "", errSettings
		}
	}
	return s, name, nil
}

func (d *driver) convert(ctx context.Context, name zone.Name, text string) error {
	want, of, err := readSettings(text)
	switch {
	case err != nil:
		return err
	case !of.Equal(name):
		return fmt.Errorf("%w: they are those of zone %s", nameserver.ErrRefused, of)
	}
	has, err := d.touch(ctx, name)
	if err != nil {
		return err
	}
	if has.Role != nameserver.Secondary || has.Serial == nil {
		return fmt.Errorf("%w: it is not a loaded secondary", nameserver.ErrRefused)
	}
	for _, it := range want.Items {
		if it.Name == "dnssec-signing" && it.Values[0] == "on" || it.Name == "catalog-role" && it.Values[0] != "none" {
			return fmt.Errorf("%w: it was signed there with keys that the copy does not have, or a catalog zone", nameserver.ErrUntouchable)
		}
	}
	if err := d.become(ctx, has, want); err != nil {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), convertWait)
		defer cancel()
		return errors.Join(err, d.putBack(back, has))
	}
	return nil
}

// putBack gives a zone the items that it had.
func (d *driver) putBack(ctx context.Context, has details) error {
	now, err := d.touch(ctx, has.Name)
	if err == nil && !slices.EqualFunc(now.items, has.items, sameItem) {
		err = d.replace(ctx, now, has.items)
	}
	if err != nil {
		return fmt.Errorf("put the zone back: %w", err)
	}
	return nil
}

func sameItem(a, b item) bool { return a.Name == b.Name && slices.Equal(a.Values, b.Values) }

// become gives a zone its items and has its content in its zone file, which is
// written where it is gone. knotd goes on with the content that it has until it has
// read another one. A file that a primary finds with other content is left alone in
// favour of one of our names.
func (d *driver) become(ctx context.Context, has details, want settings) error {
	var before *zone.Snapshot
	err := d.with(ctx, func(c *channel) (err error) {
		before, err = c.content(ctx, has.Name)
		return err
	})
	if err != nil {
		return err
	}
	if err := d.replace(ctx, has, want.Items); err != nil {
		return err
	}
	if want.Role != string(nameserver.Primary) {
		return d.flush(ctx, has.Name)
	}
	same, err := d.loads(ctx, before)
	if err != nil || same {
		return err
	}
	// Its content comes once more from where it came from.
	if err := d.putBack(ctx, has); err != nil {
		return err
	}
	if err := d.Retransfer(ctx, has.Name); err != nil {
		return err
	}
	if err := d.waitFor(ctx, before); err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(want.Items), func(it item) bool { return it.Name == "file" })
	list = append(list, item{"file", []string{fmt.Sprintf(restoredFile, newMark())}})
	if has, err = d.touch(ctx, has.Name); err != nil {
		return err
	}
	if err := d.replace(ctx, has, list); err != nil {
		return err
	}
	if same, err = d.loads(ctx, before); err == nil && !same {
		err = fmt.Errorf("%w: as a primary it has other content", nameserver.ErrRefused)
	}
	return err
}

// loads has a primary read its zone file, or written where there is none, and says
// whether it has this content then.
func (d *driver) loads(ctx context.Context, want *zone.Snapshot) (same bool, err error) {
	err = d.with(ctx, func(c *channel) error {
		_, err := c.one(ctx, unit{itemCommand: "zone-reload", itemZone: nameText(want.Apex()), itemFlags: "B"})
		var r *refused
		if err != nil && !errors.As(err, &r) { // it says so of a file that is not there
			return err
		}
		now, err := c.content(ctx, want.Apex())
		same = err == nil && now.Serial() == want.Serial() && zone.Diff(want, now).Empty()
		return err
	})
	if err == nil && same {
		err = d.flush(ctx, want.Apex())
	}
	return same, err
}

// flush writes a zone's file.
func (d *driver) flush(ctx context.Context, name zone.Name) error {
	return d.with(ctx, func(c *channel) error {
		_, err := c.one(ctx, unit{itemCommand: "zone-flush", itemZone: nameText(name), itemFlags: "B"})
		return err
	})
}

// waitFor waits until a zone has this content again.
func (d *driver) waitFor(ctx context.Context, want *zone.Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, convertWait)
	defer cancel()
	for {
		var now *zone.Snapshot
		err := d.with(ctx, func(c *channel) (err error) {
			now, err = c.content(ctx, want.Apex())
			return err
		})
		if err != nil {
			return err
		}
		if now.Serial() == want.Serial() && zone.Diff(want, now).Empty() {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for its transfer: %w", err)
		}
	}
}

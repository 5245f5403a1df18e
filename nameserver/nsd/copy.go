package nsd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dnsctl/dnsclient"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Export copies a zone: its line of the zone list (none for zones that nsd.conf
// declares), its content by AXFR.
func (d *driver) Export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	e, err := d.export(ctx, name)
	if err != nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w", name, err)
	}
	return e, nil
}

func (d *driver) export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	s, has, err := d.look(ctx, name)
	switch {
	case err != nil:
		return nameserver.Export{}, err
	case has.Serial == nil:
		return nameserver.Export{}, fmt.Errorf("%w: it has none loaded", nameserver.ErrNoCopy)
	case d.transfer == nil:
		return nameserver.Export{}, fmt.Errorf("%w: no transfers from this server", nameserver.ErrNoCopy)
	}
	e := nameserver.Export{}
	if s.pattern != "" {
		e.Settings = settingsText(s.name, s.pattern)
	}
	if e.Content, err = d.content(ctx, name); err != nil {
		return nameserver.Export{}, fmt.Errorf("%w (the provide-xfr of its pattern must let us in): %w", nameserver.ErrNoCopy, err)
	}
	return e, nil
}

// content transfers a zone from the server. A reload ends the processes that
// answer, and the transfers that they have under way, so it is tried again.
func (d *driver) content(ctx context.Context, name zone.Name) (content *zone.Snapshot, err error) {
	for range transferTries {
		content, err = d.transfer(ctx, name)
		if err == nil || ctx.Err() != nil || !errors.Is(err, dnsclient.ErrCut) {
			break
		}
	}
	return content, err
}

const transferTries = 5

// settingsText is a zone's settings as the zone list has them.
func settingsText(name, pattern string) string { return "add " + name + " " + pattern }

// readSettings reads settings of a zone.
func readSettings(text string, of zone.Name) (name, pattern string, err error) {
	rest, ok := strings.CutPrefix(text, "add ")
	name, pattern, found := strings.Cut(rest, " ")
	if !ok || !found || pattern == "" || strings.ContainsAny(pattern, " \t\r\n") {
		return "", "", fmt.Errorf("%w: settings %q are not a line of NSD's zone list", nameserver.ErrRefused, printable(text))
	}
	n, err := zone.ParseName(name)
	if err != nil || !n.Equal(of) {
		return "", "", fmt.Errorf("%w: they are those of zone %s", nameserver.ErrRefused, printable(name))
	}
	return name, pattern, nil
}

// Convert gives a loaded secondary the pattern that Export returned, and the name
// as it was typed then, which leads to its former file.
//
// A primary has what is in that file: NSD leaves it where it is when a zone is
// deleted. When the file is gone, or holds anything else than the zone's present
// content, the zone is put back as it was.
func (d *driver) Convert(ctx context.Context, name zone.Name, text string) error {
	if err := d.convert(ctx, name, text); err != nil {
		return fmt.Errorf("restore settings of zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) convert(ctx context.Context, name zone.Name, text string) error {
	former, pattern, err := readSettings(text, name)
	if err != nil {
		return err
	}
	was, has, err := d.look(ctx, name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil {
		return err
	}
	if has.Role != nameserver.Secondary || has.Serial == nil {
		return fmt.Errorf("%w: it is not a loaded secondary", nameserver.ErrRefused)
	}
	if d.transfer == nil {
		return fmt.Errorf("%w: no transfers from this server", nameserver.ErrRefused)
	}
	if err := d.hasPattern(ctx, pattern); err != nil {
		return fmt.Errorf("%w: pattern %s", err, printable(pattern))
	}
	content, err := d.content(ctx, name)
	if err != nil {
		return err
	}
	if err := d.exchange(ctx, was, former, pattern); err != nil {
		return err
	}
	if err := d.primaryHas(ctx, name, content); err != nil {
		return errors.Join(err, d.putBack(ctx, was))
	}
	return nil
}

// primaryHas makes sure that a zone that NSD is primary for now has the content; of
// a secondary, its primaries decide.
func (d *driver) primaryHas(ctx context.Context, name zone.Name, content *zone.Snapshot) error {
	if err := d.reloaded(ctx); err != nil {
		return err
	}
	_, now, err := d.look(ctx, name)
	if err != nil || now.Role != nameserver.Primary {
		return err
	}
	wrong := func(what string) error {
		return fmt.Errorf("%w: the file of its pattern %s; put the zone's content there, as dnsctl quarantine show prints it, and try again", nameserver.ErrRefused, what)
	}
	if now.Serial == nil {
		return wrong("cannot be loaded")
	}
	got, err := d.content(ctx, name)
	if err != nil {
		return err
	}
	if got.Serial() != content.Serial() || !zone.Diff(content, got).Empty() {
		return wrong("has other content")
	}
	return nil
}

package bind

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// driver talks to one named and view over one control connection.
type driver struct {
	control  rndc
	stats    string // URL without a path
	view     string
	transfer func(ctx context.Context, name zone.Name) (*zone.Snapshot, error)
	keys     map[zone.Name]bool // TSIG keys of the view, as last listed
}

var _ nameserver.Driver = (*driver)(nil)

// Close ends the control connection.
func (d *driver) Close() error {
	d.control.close()
	return nil
}

// Capabilities of BIND 9: its inventory has serials but no primaries.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsSerials: true, DetailsPerSec: 4000}
}

// Info asks for named's status.
func (d *driver) Info(ctx context.Context) (nameserver.Info, error) {
	text, err := d.control.do(ctx, "status")
	if err != nil {
		return nameserver.Info{}, err
	}
	lines := readLines(text)
	info := nameserver.Info{Version: lines["version"]}
	if info.Version == "" {
		return info, fmt.Errorf("rndc status: %w: no version", nameserver.ErrAnswer)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "running on "); ok {
			info.Identity, _, _ = strings.Cut(rest, ":")
		}
	}
	return info, nil
}

// readLines reads named's "key: value" lines.
func readLines(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// at names a zone in a command.
func (d *driver) at(name zone.Name) string {
	return nameText(name) + " IN " + d.view
}

// Inventory lists the view's zones of class IN from the statistics channel.
func (d *driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	before, err := d.countZones(ctx)
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	listed := listing{}
	views, err := readStats(ctx, d.stats, func(view string, z statsZone) error {
		listed.count(z)
		if view != d.view || z.Class != "IN" {
			return nil
		}
		s, err := stateOf(z)
		if err != nil {
			return err
		}
		return yield(s)
	})
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	if err := d.checkViews(views); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	after, err := d.countZones(ctx)
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	if err := d.checkHidden(ctx, min(before, after), len(views), listed); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	return nil
}

// checkViews makes sure that our view is one of the server's.
func (d *driver) checkViews(views []string) error {
	var others []string
	for _, v := range views {
		if v == d.view {
			return nil
		}
		if v != "_bind" {
			others = append(others, strconv.Quote(v))
		}
	}
	return fmt.Errorf("%w: the nameserver has no view %q; it has %s", nameserver.ErrRefused, d.view, strings.Join(others, ", "))
}

// listing counts what the statistics channel lists, in all views.
type listing struct {
	zones     int // built-in ones not included
	primaries int
}

func (l *listing) count(z statsZone) {
	if z.Type == "builtin" {
		return
	}
	l.zones++
	if roleOf(z.Type) == nameserver.Primary {
		l.primaries++
	}
}

// countZones is the number of zones that named manages, its automatic ones not
// included: per view, a zone of trust anchors and perhaps a redirect zone, which
// no list shows; the zones; and one more for each zone signed inline.
func (d *driver) countZones(ctx context.Context) (int, error) {
	text, err := d.control.do(ctx, "status")
	if err != nil {
		return 0, err
	}
	var all, automatic int
	if _, err := fmt.Sscanf(readLines(text)["number of zones"], "%d (%d automatic)", &all, &automatic); err != nil {
		return 0, fmt.Errorf("rndc status: %w: no number of zones", nameserver.ErrAnswer)
	}
	return all - automatic, nil
}

// checkHidden fails when named has more zones than the statistics channel
// lists, as it does with "zone-statistics none": that list is not whole.
func (d *driver) checkHidden(ctx context.Context, managed, views int, listed listing) error {
	views-- // _bind's zones are not managed ones
	excess := managed - listed.zones - 2*views - listed.primaries
	if excess <= 0 {
		return nil
	}
	// Secondaries that are signed inline count twice; look for them.
	var names []zone.Name
	if _, err := readStats(ctx, d.stats, func(view string, z statsZone) error {
		if view != d.view || z.Class != "IN" || roleOf(z.Type) != nameserver.Secondary || z.Serial == nil {
			return nil
		}
		s, err := stateOf(z)
		names = append(names, s.Name)
		return err
	}); err != nil {
		return err
	}
	for _, name := range names {
		text, err := d.control.do(ctx, "zonestatus "+d.at(name))
		if err != nil && !errors.Is(err, nameserver.ErrNoZone) && !isResult(err, resultNotLoaded) {
			return err
		}
		if readLines(text)["inline signing"] == "yes" {
			if excess--; excess == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: the statistics channel leaves out %d or more of the nameserver's zones (is zone-statistics set to none?)",
		nameserver.ErrAnswer, excess)
}

func isResult(err error, code int) bool {
	var r *resultError
	return errors.As(err, &r) && r.code == code
}

// stateOf reads one entry of the list. A zone without a serial has no content:
// it was never loaded, or it has expired, and is answered with SERVFAIL.
func stateOf(z statsZone) (nameserver.ZoneState, error) {
	name, err := zone.ParseName(z.Name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	}
	s := nameserver.ZoneState{Name: name.Lower(), Role: roleOf(z.Type), Detail: "type " + modernKind(z.Type)}
	if z.Type == "builtin" {
		s.Origin = nameserver.Builtin
	}
	if s.Role == nameserver.Other {
		return s, nil
	}
	if z.Serial != nil {
		s.Serial = new(zone.Serial(*z.Serial))
		return s, nil
	}
	s.Expired = true
	if z.Loaded.Unix() > 0 {
		s.Detail += ", content gone"
	} else {
		s.Detail += ", never loaded"
	}
	return s, nil
}

// details are what named says of one zone.
type details struct {
	nameserver.ZoneState
	set  settings // of zones that showzone shows
	file string   // "" when it has none
}

// Zone reads one zone with zonestatus and showzone.
func (d *driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	z, err := d.look(ctx, name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return z.ZoneState, nil
}

// look reads all that the control channel tells of a zone.
//
// Where a zone comes from shows so: showzone knows zones of named.conf and added
// ones, and fails on members of catalogs and built-in zones; of the former,
// zonestatus calls added ones "reconfigurable via modzone", but says nothing of
// a zone that is not loaded. The files of those that we added have names of
// ours; the origin of other zones that are not loaded stays unsure.
func (d *driver) look(ctx context.Context, name zone.Name) (details, error) {
	z := details{ZoneState: nameserver.ZoneState{Name: name.Lower()}}
	status, err := d.control.do(ctx, "zonestatus "+d.at(name))
	unloaded := isResult(err, resultNotLoaded)
	if err != nil && !unloaded {
		return z, err
	}
	lines := readLines(status)
	if text, err := d.control.do(ctx, "showzone "+d.at(name)); err == nil {
		if z.set, err = parseSettings(text); err != nil {
			return z, fmt.Errorf("rndc showzone: %w: %w", nameserver.ErrAnswer, err)
		}
		if !z.set.name.Equal(name) {
			return z, fmt.Errorf("rndc showzone: %w: it shows zone %s", nameserver.ErrAnswer, z.set.name)
		}
		z.file = z.set.word("file")
		z.Role = roleOf(z.set.kind)
		z.Primaries, z.Known = z.set.primaries()
		z.Signs = z.set.signs() || lines["inline signing"] == "yes" || lines["key maintenance"] != ""
		switch {
		case ownFile(z.file), lines["reconfigurable via modzone"] == "yes":
			z.Origin = nameserver.Runtime
		case !unloaded:
			z.Origin = nameserver.Declared
		}
		z.Detail = "type " + z.set.kind
		if z.file != "" {
			z.Detail += ", file " + z.file
		}
	} else if isResult(err, resultFailure) {
		z.file, _, _ = strings.Cut(lines["files"], ",")
		z.Role = roleOf(lines["type"])
		switch {
		case unloaded || z.Role == nameserver.Secondary:
			z.Role, z.Origin = nameserver.Secondary, nameserver.Cataloged
			z.Detail = "member of a catalog zone"
		default:
			z.Role, z.Origin = nameserver.Other, nameserver.Builtin
			z.Detail = "built in"
		}
	} else {
		return z, err
	}
	if z.Role == nameserver.Other {
		return z, nil
	}
	if unloaded {
		z.Expired = true
		z.Detail += ", not loaded"
		return z, nil
	}
	serial := lines["serial"]
	if signed := lines["signed serial"]; signed != "" {
		serial = signed
	}
	n, err := strconv.ParseUint(serial, 10, 32)
	if err != nil {
		return z, fmt.Errorf("rndc zonestatus: %w: serial %q", nameserver.ErrAnswer, serial)
	}
	z.Serial = new(zone.Serial(n))
	return z, nil
}

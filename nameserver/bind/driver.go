package bind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// driver talks to one named and view over one control connection.
type driver struct {
	control  rndc
	stats    string // URL without a path
	view     string
	transfer func(ctx context.Context, name zone.Name) (*zone.Snapshot, error)
	key      func(ctx context.Context, name zone.Name) (nameserver.KeyConfig, error)
	dns      *dnsclient.Client
	addr     netip.AddrPort     // where it is asked over DNS
	keys     map[zone.Name]bool // TSIG keys of the view, as far as they are known

	deleted       map[zone.Name]bool // zones that were there and may come back
	countsDeleted bool               // named does, among its zones, as of the last count
}

var (
	_ nameserver.Driver   = (*driver)(nil)
	_ nameserver.Preparer = (*driver)(nil)
)

// Close ends the control connection.
func (d *driver) Close() error {
	d.control.close()
	return nil
}

// Capabilities of BIND 9: its inventory has serials but no primaries, and named
// carries out one command at a time, over however many connections they come.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsSerials: true}
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
	if err := d.inventory(ctx, yield); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	return nil
}

func (d *driver) inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	managed, err := d.countZones(ctx)
	if err != nil {
		return err
	}
	var here, elsewhere, builtin int
	views, err := readStats(ctx, d.stats, func(view string, z statsZone) error {
		ours := view == d.view && z.Class == "IN"
		switch {
		case z.Type == "builtin":
			builtin++
		case ours:
			here++
		default:
			elsewhere++
		}
		if !ours {
			return nil
		}
		s, err := stateOf(z)
		if err != nil {
			return err
		}
		return yield(s)
	})
	if err != nil {
		return err
	}
	if err := d.checkViews(views); err != nil {
		return err
	}
	if here > 0 || d.countsDeleted && builtin > 0 {
		return nil
	}
	explained := 0
	if !d.countsDeleted {
		// Each view but _bind has one more zone, of trust anchors, and each zone
		// that is signed inline counts twice.
		explained = 2*elsewhere + len(views) - 1
	}
	return d.checkEmpty(ctx, managed, explained)
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

// countZones is the number of zones that named manages, in all views, its
// automatic ones not included.
func (d *driver) countZones(ctx context.Context) (int, error) {
	text, err := d.control.do(ctx, "status")
	if err != nil {
		return 0, err
	}
	var all, automatic int
	if _, err := fmt.Sscanf(readLines(text)["number of zones"], "%d (%d automatic)", &all, &automatic); err != nil {
		return 0, fmt.Errorf("rndc status: %w: no number of zones", nameserver.ErrAnswer)
	}
	has, known := nameserver.ReleaseOf(readLines(text)["version"])
	d.countsDeleted = known && !has.Before(nameserver.Release{Major: 9, Minor: 20})
	return all - automatic, nil
}

// lingering is how long zones that were just deleted may still be counted. named 9.20
// may count them for ever; there it counts as no zones that built-in ones are listed.
const lingering = 5 * time.Second

// checkEmpty fails when the statistics channel lists no zone though named
// manages more than explained: "zone-statistics none" hides them all.
func (d *driver) checkEmpty(ctx context.Context, managed, explained int) error {
	end := time.Now().Add(lingering)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for managed > explained {
		if time.Now().After(end) {
			return fmt.Errorf("%w: the statistics channel lists no zone of the nameserver's %d (is zone-statistics set to none?)",
				nameserver.ErrAnswer, managed-explained)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var err error
		if managed, err = d.countZones(ctx); err != nil {
			return err
		}
	}
	return nil
}

func isResult(err error, code int) bool {
	var r *resultError
	return errors.As(err, &r) && r.code == code
}

func hasReason(err error, reason string) bool {
	var r *resultError
	return errors.As(err, &r) && r.reason == reason
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

// keysKept says whether named keeps keys for a zone; of one that was signed when it
// came it says that it does not.
func keysKept(maintenance string) bool { return maintenance != "" && maintenance != "none" }

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
	unloaded := hasReason(err, notLoaded)
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
		z.Signs = z.set.signs() || lines["inline signing"] == "yes" || keysKept(lines["key maintenance"])
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

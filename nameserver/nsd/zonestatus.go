package nsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// status is what zonestatus prints of one zone.
type status struct {
	name    string // as it was typed when the zone was added
	pattern string // "" for a zone that nsd.conf declares
	state   string
	served  *zone.Serial
	serials int    // how many lines with serials there were
	catalog string // of a newer NSD: the zone is a catalog, or a member of one
	invalid string // why no members are taken from the catalog
	member  bool
}

// served are the states of secondaries that may have content. Newer ones say where the
// serial that is answered is for a moment not the one that was transferred.
var served = []string{"ok", "refreshing", "old-serial", "future-serial"}

// primary says whether NSD is primary for the zone.
func (s status) primary() bool { return s.state == "master" || s.state == "primary" }

// statusReader gathers the blocks of zonestatus: "zone:", a tab and the name, then
// lines of a tab, a key, a colon and a value.
type statusReader struct {
	cur   *status
	known map[string]string // values that many zones have, each once
	yield func(status) error
}

// once is a value, the same text in memory for all zones that have it.
func (r *statusReader) once(value string) string {
	if r.known == nil {
		return value
	}
	if v, there := r.known[value]; there {
		return v
	}
	r.known[value] = value
	return value
}

func (r *statusReader) line(l string) error {
	if name, ok := strings.CutPrefix(l, "zone:\t"); ok {
		if err := r.end(); err != nil {
			return err
		}
		r.cur = &status{name: name}
		return nil
	}
	field, ok := strings.CutPrefix(l, "\t")
	if !ok || r.cur == nil {
		if err := lineError(l); err != nil {
			return err
		}
		return fmt.Errorf("%w: %q", nameserver.ErrAnswer, printable(l))
	}
	key, value, ok := strings.Cut(field, ":")
	if !ok {
		return fmt.Errorf("%w: %q", nameserver.ErrAnswer, printable(l))
	}
	value = strings.TrimSpace(value)
	switch key {
	case "pattern":
		r.cur.pattern = r.once(value)
	case "state":
		r.cur.state = r.once(value)
	case "served-serial":
		r.cur.serials++
		serial, err := readSerial(value)
		if err != nil {
			return err
		}
		r.cur.served = serial
	case "commit-serial":
		r.cur.serials++
	case "catalog":
		r.cur.catalog = value
	case "catalog-invalid":
		r.cur.invalid = value
	case "catalog-member-id":
		r.cur.member = true
	}
	return nil
}

// end passes the last block on. Every zone has a state, and a secondary its
// serials, so a block that was cut short shows.
func (r *statusReader) end() error {
	s := r.cur
	if s == nil {
		return nil
	}
	r.cur = nil
	if s.name == "" || s.state == "" || !s.primary() && s.serials != 2 {
		return fmt.Errorf("%w: what it says of zone %q is not whole", nameserver.ErrAnswer, printable(s.name))
	}
	return r.yield(*s)
}

// readSerial reads none, or "7 since 2026-11-30T09:00:03" in quotes; nil is none.
func readSerial(value string) (*zone.Serial, error) {
	if value == "none" {
		return nil, nil
	}
	text, _, _ := strings.Cut(strings.Trim(value, `"`), " ")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%w: serial %q", nameserver.ErrAnswer, printable(value))
	}
	return new(zone.Serial(n)), nil
}

// zoneState is what the status means. Of a zone that NSD is primary for it has no
// serial, and of a secondary that was just changed or is transferred by force none
// either, though it may be answered as before. An expired zone is answered with
// SERVFAIL and still shows the serial that it had.
func (s status) zoneState() (nameserver.ZoneState, error) {
	name, err := zone.ParseName(s.name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	}
	z := nameserver.ZoneState{Name: name.Lower(), Role: nameserver.Secondary, Origin: nameserver.Runtime, Detail: "pattern " + printable(s.pattern)}
	switch {
	case s.member:
		z.Origin, z.Detail = nameserver.Cataloged, "member of a catalog zone"
	case s.pattern == "":
		z.Origin, z.Detail = nameserver.Declared, "declared in nsd.conf"
	}
	switch {
	case s.primary():
		z.Role = nameserver.Primary
	case slices.Contains(served, s.state):
	case s.state == "expired":
		z.Expired = true
		z.Detail += ", expired"
	default:
		return z, fmt.Errorf("%w: zone %s is in state %q", nameserver.ErrAnswer, name, printable(s.state))
	}
	if s.catalog != "" {
		z.Role, z.Detail = nameserver.Other, "catalog zone, "+printable(s.catalog)
		if s.invalid != "" {
			z.Detail += ", invalid: " + printable(s.invalid)
		}
		z.Primaries, z.Known = readPattern(s.pattern)
		z.Serial = s.taken()
		return z, nil
	}
	if z.Role == nameserver.Primary {
		return z, nil
	}
	// Patterns that others made are known not to be what we would have, and so is one
	// that hides an ordinary zone; but a member of a catalog may have that of its group.
	ours := false
	if !strings.HasPrefix(s.pattern, limitedPrefix) || fleet.IsMarkerName(z.Name) {
		z.Primaries, ours = readPattern(s.pattern)
	}
	z.Known = ours || !s.member
	z.Serial = s.served
	return z, nil
}

// taken is the serial of the catalog's version that members are taken from; nil when
// there is none. NSD 4.12 may serve a version, and for ever not have read it there: then
// it does when the zone is transferred again.
func (s status) taken() *zone.Serial {
	_, rest, _ := strings.Cut(s.catalog, "(serial: ")
	text, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil
	}
	return new(zone.Serial(n))
}

// countTries is how often the zones are listed anew while they come and go.
const countTries = 5

// countAgain is half of the pause before the second of them; the others have longer ones.
const countAgain = 10 * time.Millisecond

// each reads the status of all zones. Over TLS the list has an end that only NSD can
// have set. The end of a socket may come of NSD's own, and nothing at all is said of
// no zones and by an NSD that is busy: there the list is believed, and yield called,
// when NSD's statistics have as many zones as it.
func (d *driver) each(ctx context.Context, yield func(status) error) error {
	var list []status
	before := -1
	for try := 1; ; try++ {
		list = list[:0]
		r := statusReader{known: make(map[string]string), yield: func(s status) error {
			list = append(list, s)
			return nil
		}}
		err := d.control.list(ctx, "zonestatus", r.line)
		if errors.Is(err, errNothing) { // that is how it says so of no zones
			err = nil
		}
		if err == nil {
			err = r.end()
		}
		if err != nil {
			return err
		}
		if d.control.tls != nil && len(list) > 0 {
			break
		}
		now, err := d.count(ctx)
		if err != nil {
			return err
		}
		// Zones may have come or gone since, which two counts that differ tell.
		if n := len(list); n == now || before >= 0 && before != now && min(before, now) <= n && n <= max(before, now) {
			break
		}
		if try == countTries {
			return fmt.Errorf("nsd zonestatus: %w: it lists %d zones, and has %d", nameserver.ErrAnswer, len(list), now)
		}
		before = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(countAgain << try):
		}
	}
	for _, s := range list {
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

// count is how many zones NSD has, as its statistics say. Newer ones count each kind
// under its old name as well.
func (d *driver) count(ctx context.Context) (n int, err error) {
	lines, err := d.statistics(ctx)
	if err != nil {
		return 0, err
	}
	return readCount(lines)
}

func readCount(lines []string) (int, error) {
	primaries, secondaries := -1, -1
	for _, l := range lines {
		key, value, _ := strings.Cut(l, "=")
		var kind *int
		switch key {
		case "zone.master", "zone.primary":
			kind = &primaries
		case "zone.slave", "zone.secondary":
			kind = &secondaries
		default:
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || *kind >= 0 && *kind != n {
			return 0, fmt.Errorf("nsd stats_noreset: %w: %q", nameserver.ErrAnswer, printable(l))
		}
		*kind = n
	}
	if primaries < 0 || secondaries < 0 {
		return 0, fmt.Errorf("nsd stats_noreset: %w: it does not say how many zones there are", nameserver.ErrAnswer)
	}
	return primaries + secondaries, nil
}

// look reads one zone's status.
func (d *driver) look(ctx context.Context, name zone.Name) (status, nameserver.ZoneState, error) {
	var found status
	var seen bool
	keep := func(s status) error {
		found, seen = s, true
		return nil
	}
	command := "zonestatus " + typed(name)
	if !name.Valid() || len(command) > longestCommand { // NSD would not read it
		return found, nameserver.ZoneState{}, nameserver.ErrNoZone
	}
	r := statusReader{yield: keep}
	err := d.control.do(ctx, command, nil, r.line)
	if err == nil {
		err = r.end()
	}
	if err == nil && !seen {
		err = nameserver.ErrAnswer
	}
	if err != nil {
		return found, nameserver.ZoneState{}, err
	}
	z, err := found.zoneState()
	if err == nil && !z.Name.Equal(name) {
		err = fmt.Errorf("%w: it shows zone %s", nameserver.ErrAnswer, z.Name)
	}
	if err == nil && tellsNoSerial(z) {
		_ = d.askSerial(ctx, &z)
		err = ctx.Err()
	}
	return found, z, err
}

package edit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// SOA timers of zones that dnsctl makes itself: RFC 1912 section 2.2 ranges,
// with NOTIFY doing the real work.
const (
	defaultTTL     = 3600
	defaultRefresh = 7200
	defaultRetry   = 900
	defaultExpire  = 1209600
	defaultMinimum = 300
)

// NewZone is a zone to be made from its pools' defaults.
type NewZone struct {
	Name        zone.Name
	Pools       []string
	NS          []zone.Name // nil: those of the first pool
	Email       string      // "": that of the first pool
	SerialStyle zone.SerialStyle
}

// Create makes a zone of an SOA and its NS. It starts past the last serial that
// an earlier zone of the same name had.
func (e *Editor) Create(ctx context.Context, n NewZone, m Meta) (Result, error) {
	if err := reserved(n.Name); err != nil {
		return Result{}, err
	}
	if len(n.Pools) == 0 {
		return Result{}, report.Fail(report.ExitUsage, fmt.Errorf("zone %q: no pool", n.Name), "name one with --pool")
	}
	pool, err := e.Store.Pool(ctx, n.Pools[0])
	if err != nil {
		return Result{}, err
	}
	if n.NS == nil {
		n.NS = pool.NS
	}
	if len(n.NS) == 0 {
		return Result{}, report.Fail(report.ExitUsage, fmt.Errorf("zone %q: no NS", n.Name),
			fmt.Sprintf("give --ns NAME, or the pool a default: dnsctl pool set %s --ns NAME", pool.Name))
	}
	if n.Email == "" {
		n.Email = pool.Email
	}
	rname, err := Mailbox(n.Email, n.Name)
	if err != nil {
		return Result{}, err
	}
	ids, err := e.poolIDs(ctx, n.Pools)
	if err != nil {
		return Result{}, err
	}
	var res Result
	err = retry(ctx, n.Name, func() error {
		last, err := e.Store.LastSerial(ctx, n.Name)
		if err != nil {
			return err
		}
		soa := zone.SOA{MName: n.NS[0], RName: rname, Refresh: defaultRefresh, Retry: defaultRetry, Expire: defaultExpire, Minimum: defaultMinimum}
		if soa.Serial = zone.Serial(0).Next(n.SerialStyle, e.Now()); last != nil && !soa.Serial.Ahead(*last) {
			soa.Serial = last.Next(n.SerialStyle, e.Now())
		}
		b := zone.NewBuilder(n.Name, 2)
		b.Add(zone.RRset{Owner: n.Name, Type: zone.TypeSOA, TTL: defaultTTL, Data: zone.PackRdata(soa.Rdata())})
		for _, ns := range n.NS {
			b.Add(zone.RRset{Owner: n.Name, Type: zone.TypeNS, TTL: defaultTTL, Data: zone.PackRdata(string(ns))})
		}
		snap, err := b.Build()
		if err != nil {
			return err
		}
		var warnings []Warning
		for _, f := range zone.Check(snap) {
			// A new zone's name servers may lie in it and get their addresses next.
			warnings = append(warnings, Warning{Text: f.Msg})
		}
		_, err = e.Store.Commit(ctx, fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment,
			Creates: []fleet.Create{{Name: n.Name, Kind: fleet.Ordinary, SerialStyle: n.SerialStyle, Pools: ids, Content: snap, After: last}}})
		res = Result{Zone: n.Name, Action: Created, Serial: soa.Serial, Added: snap.Records(), RRsets: snap.RRsets(), Records: snap.Records(), Warnings: warnings}
		return err
	})
	if errors.Is(err, fleet.ErrExists) {
		return Result{}, report.Hint(fmt.Errorf("zone %q exists already", n.Name), "look at it with: dnsctl zone show "+n.Name.String())
	}
	return res, err
}

// Mailbox makes an SOA's mailbox name (RFC 1035 section 8) of user@domain; of ""
// it makes hostmaster in the zone.
func Mailbox(email string, apex zone.Name) (zone.Name, error) {
	if email == "" {
		return apex.Prepend("hostmaster")
	}
	user, domain, ok := strings.Cut(email, "@")
	if !ok || user == "" {
		return "", report.Fail(report.ExitUsage, fmt.Errorf("mailbox %q is not of the form user@domain", email), "for instance hostmaster@example.org")
	}
	d, err := zone.ParseName(domain)
	if err != nil {
		return "", report.Fail(report.ExitUsage, fmt.Errorf("mailbox %q: %w", email, err), "for instance hostmaster@example.org")
	}
	return d.Prepend(user)
}

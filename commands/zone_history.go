package commands

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

type zoneHistoryOptions struct {
	name, since, diff string
	limit             int
}

func newZoneHistoryCmd(a *App) *cobra.Command {
	var o zoneHistoryOptions
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "Show who changed a zone, when and how",
		Long: `Lists what was done to a zone, the newest first: every change of its content with
the serial before and after and the number of records removed and added, and its
creation, deletion, undeletion and moves between pools. Earlier zones of the same
name are among it, and so are deleted ones.

KEPT says whether the content of that serial can be had again: by zone rollback, or
of a deleted zone by zone undelete first. --diff SERIAL shows the records that the
change to that serial removed (-) and added (+).`,
		Example: `  dnsctl zone history example.org
  dnsctl zone history example.org --since 24h -o json
  dnsctl zone history example.org --diff 2026112301`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runZoneHistory(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.limit, "limit", 50, "show at most this `number` of entries; 0 is all")
	f.StringVar(&o.since, "since", "", "only entries since this `time`: 90m, 24h, 7d, 2026-11-23 or RFC 3339")
	f.StringVar(&o.diff, "diff", "", "show the records of the change to this `serial`")
	c.MarkFlagsMutuallyExclusive("diff", "limit")
	c.MarkFlagsMutuallyExclusive("diff", "since")
	return c
}

// historyEntry is an event of a zone; kept is nil where it did not change
// content.
type historyEntry struct {
	report.Event
	kept *bool
}

var historyColumns = render.List[historyEntry]{
	Nothing: "there are no such entries",
	Columns: []render.Column[historyEntry]{
		{Name: "serial", Value: func(e historyEntry) any { return e.Serial }},
		{Name: "from", Value: func(e historyEntry) any { return e.From }, Show: render.IfRoom},
		{Name: "at", Value: func(e historyEntry) any { return e.At }},
		{Name: "who", Value: func(e historyEntry) any { return e.Actor.Person() }},
		{Name: "command", Value: func(e historyEntry) any { return e.Command }},
		{Name: "action", Value: func(e historyEntry) any { return e.Action }, Show: render.IfRoom},
		{Name: "removed", Value: func(e historyEntry) any { return e.Removed }},
		{Name: "added", Value: func(e historyEntry) any { return e.Added }},
		{Name: "kept", Value: func(e historyEntry) any { return e.kept }},
		{Name: "comment", Value: func(e historyEntry) any { return e.Comment }},
		{Name: "uid", Value: func(e historyEntry) any { return e.Actor.UID }, Show: render.WideOnly},
		{Name: "user", Value: func(e historyEntry) any { return e.Actor.User }, Show: render.WideOnly},
		{Name: "sudo_user", Value: func(e historyEntry) any { return e.Actor.SudoUser }, Show: render.WideOnly},
		{Name: "host", Value: func(e historyEntry) any { return e.Actor.Host }, Show: render.WideOnly},
		{Name: "before", Value: func(e historyEntry) any { return e.Before }, Show: render.WideOnly},
		{Name: "result", Value: func(e historyEntry) any { return e.Result }, Show: render.WideOnly},
		{Name: "event", Value: func(e historyEntry) any { return e.ID }, Show: render.WideOnly},
	},
}

func runZoneHistory(ctx context.Context, a *App, o zoneHistoryOptions) error {
	name, err := parseZone(o.name)
	if err != nil {
		return err
	}
	if o.diff != "" {
		return runZoneDiff(ctx, a, name, o.diff)
	}
	f := fleet.EventFilter{Zone: name, Database: true, Limit: math.MaxInt32}
	if o.limit < 0 {
		return usagef("", "--limit %d is no number of entries", o.limit)
	} else if o.limit > 0 {
		f.Limit = o.limit + 1
	}
	if f.Since, err = a.parseSince(o.since); err != nil {
		return err
	}
	if err := historyColumns.Check(a.Out); err != nil {
		return err
	}
	z, versions, err := a.versions(ctx, name)
	if err != nil {
		return err
	}
	events, err := a.store.Events(ctx, f)
	if err != nil {
		return err
	}
	more := o.limit > 0 && len(events) > o.limit
	if more {
		events = events[:o.limit]
	}
	if err := historyColumns.Write(a.Out, render.Rows(entries(z, versions, events))); err != nil {
		return err
	}
	if more {
		a.Out.Say("there is more: --limit 0 shows all")
	}
	if oldest := len(versions) - 1; oldest >= 0 && versions[oldest].Version > 1 {
		a.Out.Say("content before serial %d is not kept any more", versions[oldest].Serial)
	}
	return nil
}

// versions is the zone, and those of its versions whose content can be had
// again: none of a purged zone.
func (a *App) versions(ctx context.Context, name zone.Name) (fleet.Zone, []fleet.Version, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return fleet.Zone{}, nil, err
	}
	z, err := s.Zone(ctx, name)
	if err != nil {
		return z, nil, a.zoneError(ctx, name, err)
	}
	if z.Purged {
		return z, nil, nil
	}
	versions, err := s.Versions(ctx, z.Edition.ID)
	return z, versions, err
}

func entries(z fleet.Zone, versions []fleet.Version, events []report.Event) []historyEntry {
	kept := make(map[zone.Serial]bool, len(versions))
	for _, v := range versions {
		kept[v.Serial] = true
	}
	out := make([]historyEntry, len(events))
	for i, e := range events {
		out[i].Event = e
		if e.Added != nil && e.Serial != nil {
			out[i].kept = new(e.ZoneID == z.ID && kept[*e.Serial])
		}
	}
	return out
}

// parseSerial reads a serial that a person typed.
func parseSerial(text string) (zone.Serial, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, usagef("serials are numbers from 0 to 4294967295", "%q is not a serial", text)
	}
	return zone.Serial(n), nil
}

// runZoneDiff shows one change of a zone.
func runZoneDiff(ctx context.Context, a *App, name zone.Name, text string) error {
	serial, err := parseSerial(text)
	if err != nil {
		return err
	}
	if err := deltaColumns.Check(a.Out); err != nil {
		return err
	}
	z, versions, err := a.versions(ctx, name)
	if err != nil {
		return err
	}
	for _, v := range versions { // a serial that was there twice counts as the last time
		if v.Serial == serial && v.Whole {
			d, err := a.store.Delta(ctx, z.Edition.ID, v.Version)
			if err != nil {
				return err
			}
			return a.showDelta(d)
		}
	}
	hint := "what there was is listed by: dnsctl zone history " + name.String()
	if n := len(versions); n > 1 {
		hint = fmt.Sprintf("the oldest change that is kept made serial %d", versions[n-2].Serial)
	}
	return report.Hint(fmt.Errorf("zone %q: no change to serial %d is kept", name, serial), hint)
}

// deltaRow is a record that a change removed or added.
type deltaRow struct {
	recordRow
	added bool
}

var deltaColumns = render.List[deltaRow]{Columns: []render.Column[deltaRow]{
	{Name: "change", Value: func(r deltaRow) any {
		if r.added {
			return "added"
		}
		return "removed"
	}},
	{Name: "name", Value: func(r deltaRow) any { return r.name }},
	{Name: "ttl", Value: func(r deltaRow) any { return r.ttl }},
	{Name: "type", Value: func(r deltaRow) any { return r.typ.String() }},
	{Name: "data", Value: func(r deltaRow) any { return zonefile.RdataText(r.typ, r.data) }},
}}

// showDelta shows a change, the SOA first: as lines of a zone file with - and +
// in front, or as rows in the formats for programs.
func (a *App) showDelta(d zone.Delta) error {
	removed, added := append([]zone.RRset{d.OldSOA}, d.Removed...), append([]zone.RRset{d.NewSOA}, d.Added...)
	if d.OldSOA == d.NewSOA {
		removed, added = nil, nil
	}
	if a.Out.Format.Machine() || a.Out.Format == render.Name || len(a.Out.Columns) > 0 {
		return deltaColumns.Write(a.Out, func(yield func(deltaRow, error) bool) {
			for i, sets := range [][]zone.RRset{removed, added} {
				for _, set := range sets {
					for data := range set.Data.All() {
						if !yield(deltaRow{recordRow{set.Owner, set.TTL, set.Type, data}, i == 1}, nil) {
							return
						}
					}
				}
			}
		})
	}
	for _, side := range []struct {
		sign  string
		style render.Style
		sets  []zone.RRset
	}{{"-", render.Bad, removed}, {"+", render.Good, added}} {
		var lines []byte
		for _, set := range side.sets {
			lines = zonefile.AppendRecords(lines[:0], set)
			for line := range bytes.Lines(lines) {
				text := a.Out.Paint(side.style, side.sign+string(bytes.TrimSuffix(line, []byte("\n"))))
				if _, err := fmt.Fprintln(a.Out.Out, text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// parseSince reads how far back to look: a duration, days included, a date or a
// time; the zero time of "".
func (a *App) parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if n := len(text) - 1; text[n] == 'd' {
		if days, err := strconv.Atoi(text[:n]); err == nil && days >= 0 {
			return a.Now().AddDate(0, 0, -days), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return a.Now().Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("write 90m, 24h, 7d, 2026-11-23 or 2026-11-23T14:00:00Z", "--since %q is neither a time nor a duration", text)
}

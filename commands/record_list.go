package commands

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// recordRow is one record.
type recordRow struct {
	name zone.Name
	ttl  uint32
	typ  zone.Type
	data string // wire
}

var recordColumns = render.List[recordRow]{
	Nothing: "there are no such records",
	Columns: []render.Column[recordRow]{
		{Name: "name", Value: func(r recordRow) any { return r.name }},
		{Name: "ttl", Value: func(r recordRow) any { return r.ttl }},
		{Name: "type", Value: func(r recordRow) any { return r.typ.String() }},
		{Name: "data", Value: func(r recordRow) any { return zonefile.RdataText(r.typ, r.data) }},
	},
}

// recordFilter selects records; the zero value is all.
type recordFilter struct {
	owner zone.Name // "" is all
	types []zone.Type
}

type recordListOptions struct {
	zone, name string
	types      []string
}

func newRecordListCmd(a *App) *cobra.Command {
	var o recordListOptions
	c := &cobra.Command{
		Use:   "list ZONE",
		Short: "List the records of a zone",
		Long: `Lists the records of a zone in canonical order, names whole, data in the form of
zone files.`,
		Example: `  dnsctl record list example.org
  dnsctl record list example.org --name www --type A,AAAA -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zone = args[0]
			return runRecordList(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.name, "name", "", "only the records of this `name`")
	c.Flags().StringSliceVar(&o.types, "type", nil, "only records of these `types`")
	return c
}

func runRecordList(ctx context.Context, a *App, o recordListOptions) error {
	if err := recordColumns.Check(a.Out); err != nil {
		return err
	}
	var f recordFilter
	for _, text := range o.types {
		t, err := zone.ParseType(text)
		if err != nil {
			return usagef("", "%v", err)
		}
		f.types = append(f.types, t)
	}
	if o.name != "" {
		z, err := parseZone(o.zone)
		if err != nil {
			return err
		}
		if f.owner, err = parseOwner(o.name, z); err != nil {
			return err
		}
	}
	snap, err := a.snapshot(ctx, o.zone)
	if err != nil {
		return err
	}
	return writeRecords(a, snap, f)
}

// writeRecords lists the records that the filter lets through.
func writeRecords(a *App, snap *zone.Snapshot, f recordFilter) error {
	return recordColumns.Write(a.Out, recordRows(snap, f))
}

func recordRows(snap *zone.Snapshot, f recordFilter) iter.Seq2[recordRow, error] {
	return func(yield func(recordRow, error) bool) {
		for set := range snap.All() {
			if f.owner != "" && !set.Owner.Equal(f.owner) || !f.wants(set.Type) {
				continue
			}
			for d := range set.Data.All() {
				if !yield(recordRow{set.Owner, set.TTL, set.Type, d}, nil) {
					return
				}
			}
		}
	}
}

func (f recordFilter) wants(t zone.Type) bool {
	for _, w := range f.types {
		if w == t {
			return true
		}
	}
	return len(f.types) == 0
}

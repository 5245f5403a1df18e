package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

func newQuarantineShowCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a copy with its records",
		Long: `Shows a copy: where it comes from, why it was taken, the zone's settings there, and
its records.`,
		Example: "  dnsctl quarantine show 1\n  dnsctl quarantine show 1 -o json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runQuarantineShow(cmd.Context(), a, args[0]) },
	}
}

// copyRecord is one record as JSON has it.
type copyRecord struct {
	Name zone.Name `json:"name"`
	TTL  uint32    `json:"ttl"`
	Type string    `json:"type"`
	Data string    `json:"data"`
}

func runQuarantineShow(ctx context.Context, a *App, text string) error {
	id, err := parseCopyID(text)
	if err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	c, err := s.Copy(ctx, id)
	if err != nil {
		return copyError(err)
	}
	sets, err := zone.ParseWire(c.Content)
	if err != nil {
		return fmt.Errorf("read copy %d: %w", id, err)
	}
	list := render.List[report.Copy]{Columns: append(copyColumns.Columns[:len(copyColumns.Columns):len(copyColumns.Columns)],
		render.Column[report.Copy]{Name: "content", Show: render.DataOnly, Value: func(report.Copy) any { return copyRecords(sets) }})}
	if err := list.One(a.Out, c); err != nil || a.Out.Format.Machine() || a.Out.Format == render.Name || len(a.Out.Columns) > 0 {
		return err
	}
	var lines []byte
	for _, set := range sets {
		lines = zonefile.AppendRecords(lines, set)
	}
	_, err = fmt.Fprintf(a.Out.Out, "\n%s", lines)
	return err
}

func copyRecords(sets []zone.RRset) []copyRecord {
	out := []copyRecord{}
	for _, set := range sets {
		for d := range set.Data.All() {
			out = append(out, copyRecord{set.Owner, set.TTL, set.Type.String(), zonefile.RdataText(set.Type, d)})
		}
	}
	return out
}

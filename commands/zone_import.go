package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
)

type zoneImportOptions struct {
	paths   []string
	from    string // a primary to transfer them from; paths are their names then
	tsig    string
	pools   []string
	zone    string
	mapPath []string
	lax     bool
	style   string
	comment string
}

func newZoneImportCmd(a *App) *cobra.Command {
	var o zoneImportOptions
	c := &cobra.Command{
		Use:   "import FILE|DIR|named.conf...",
		Short: "Import zones from files, or from a running primary",
		Long: `Imports zones from master files, from all master files below a folder, or from the
primary zones of a BIND named.conf and what it includes. A zone that exists is
brought to the file's content: only the difference is stored, and the serial never
goes back. A zone whose serial in the file is ahead takes it.

The name of a zone is that of its SOA; where that is relative, --zone, named.conf,
or the file's name (example.org, db.example.org, example.org.zone) says it. The
root zone is imported only when it is named: --zone .

$INCLUDE may only reach what is below --include-root. --map-path replaces the start
of the paths in a named.conf that comes from another machine. --lax turns faults of
coexistence and glue into warnings; no record is ever dropped or changed.

With --from the arguments are names of zones, - for a list on standard input with a
name a line, and each is transferred (AXFR) from the primary there, which goes on as
it is. --tsig signs with a key of the database: one that the primary and its
nameservers know already is made here with tsig create --secret-file.

A file that fails, or that a named.conf names and is not there, is listed, and the
others are imported all the same; the exit code is then 4.`,
		Example: `  dnsctl zone import example.org.zone
  dnsctl zone import --zone example.org --pool main db.example
  dnsctl zone import --include-root /etc/bind --map-path /etc/bind=./etc-bind ./etc-bind/named.conf
  dnsctl zone import --pool main --from 192.0.2.9 --tsig old example.org example.net`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runZoneImport(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.pools, "pool", nil, "a `pool` for zones that are new")
	f.StringVar(&o.zone, "zone", "", "the `name` of the zone in the file; of a named.conf only this zone")
	f.StringArrayVar(&o.mapPath, "map-path", nil, "read `OLD=NEW`: paths that begin with OLD from NEW")
	f.StringVar(&o.from, "from", "", "transfer the zones from the primary at `ADDR[:PORT]`")
	f.StringVar(&o.tsig, "tsig", "", "with --from: sign with this `key` of the database")
	f.String("include-root", "", "the `folder` that $INCLUDE may reach")
	f.BoolVar(&o.lax, "lax", false, "faults of coexistence and glue are warnings")
	f.Var(newEnum(&o.style, "", serialStyles()...), "serial-style", "how serials of new zones are chosen")
	f.StringVar(&o.comment, "comment", "", "a `text` for the zones' history")
	for _, file := range []string{"zone", "map-path", "include-root"} {
		c.MarkFlagsMutuallyExclusive("from", file)
	}
	return c
}

// imported is what became of one file.
type imported struct {
	edit.Result
	file string
	err  error
}

var importColumns = render.List[imported]{
	Nothing: "there was nothing to import",
	Columns: []render.Column[imported]{
		{Name: "zone", Value: func(r imported) any { return r.Zone }},
		{Name: "action", Value: func(r imported) any { return r.Action }, Style: func(r imported) render.Style {
			if r.err != nil {
				return render.Bad
			}
			return render.Plain
		}},
		{Name: "serial", Value: func(r imported) any {
			if r.err != nil {
				return nil
			}
			return uint32(r.Serial)
		}},
		{Name: "records", Value: func(r imported) any { return r.Records }},
		{Name: "added", Value: func(r imported) any { return r.Added }},
		{Name: "removed", Value: func(r imported) any { return r.Removed }},
		{Name: "file", Value: func(r imported) any { return r.file }, Show: render.WideOnly},
		{Name: "warnings", Value: func(r imported) any { return warningTexts(r.Warnings) }, Show: render.DataOnly},
		{Name: "error", Value: func(r imported) any {
			if r.err != nil {
				return r.err.Error()
			}
			return nil
		}, Show: render.DataOnly},
	},
}

func runZoneImport(ctx context.Context, a *App, o zoneImportOptions) error {
	if err := importColumns.Check(a.Out); err != nil {
		return err
	}
	src, err := newSources(a.Config.IncludeRoot, o)
	if err != nil {
		return err
	}
	if o.from != "" {
		err = a.addTransfers(ctx, src, o)
	} else if o.tsig != "" {
		err = usagef("name the primary with --from", "--tsig is for transfers")
	} else {
		err = src.addAll(o.paths)
	}
	if err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	pools, err := a.importPools(ctx, o.pools)
	if err != nil {
		return err
	}
	servers, err := a.store.Servers(ctx)
	if err != nil {
		return err
	}
	results := make([]imported, 0, len(src.list)+len(src.missing))
	progress := a.Out.Progress()
	done := func(s edit.Source, r edit.Result, err error) {
		if r.Zone == "" {
			r.Zone = src.names[s.Path]
		}
		if err == nil && r.Action == edit.Created {
			for _, text := range unheld(r.Zone, pools, servers) {
				r.Warnings = append(r.Warnings, edit.Warning{Place: r.Zone.String(), Text: text})
			}
		}
		results = append(results, a.importedOne(progress, s.Path, r, err))
		progress.Update(report.Progress{Server: "import", Phase: "zones", Done: len(results), Total: len(src.list)})
	}
	for _, m := range src.missing {
		results = append(results, a.importedOne(progress, m.path, edit.Result{Zone: m.zone}, m.err))
	}
	opts := edit.ImportOptions{Pools: pools, SerialStyle: zone.SerialStyle(o.style), Lax: o.lax}
	err = e.Import(ctx, src.list, opts, a.meta(o.comment), done)
	progress.Done()
	slices.SortStableFunc(results, func(a, b imported) int {
		return cmp.Or(strings.Compare(string(a.Zone.Key()), string(b.Zone.Key())), strings.Compare(a.file, b.file))
	})
	if e := unread(importColumns.Write(a.Out, render.Rows(results))); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return a.importEnd(results)
}

// importPools is the pools for new zones: those named, or the only one. Where
// there are several and none is named, only what is new fails.
func (a *App) importPools(ctx context.Context, given []string) ([]string, error) {
	if len(given) == 0 {
		pools, err := a.store.Pools(ctx) // open, as the editor is
		if err != nil || len(pools) > 1 {
			return nil, err
		}
	}
	return a.oneOrMorePools(ctx, given)
}

// importedOne says what is wrong with a file at once, and makes its row.
func (a *App) importedOne(p *render.Progress, path string, r edit.Result, err error) imported {
	if len(r.Warnings) > 0 || err != nil {
		p.Done()
	}
	for _, w := range r.Warnings {
		a.warn(w.Place, w.Text)
	}
	if err == nil {
		return imported{r, path, nil}
	}
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, path) {
			lines[i] = path + ": " + line
		}
	}
	_, hint := exitOf(err)
	a.showProblem("failed:", render.Bad, strings.Join(lines, "\n"), hint, report.ExitFailed)
	r.Action = "failed"
	return imported{r, path, err}
}

// importEnd sums up on standard error and chooses the exit code: whatever could
// not be imported makes it 4, and 1 when nothing could.
func (a *App) importEnd(results []imported) error {
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Action]++
	}
	var parts []string
	for _, action := range []string{edit.Created, edit.Changed, edit.Unchanged, "failed"} {
		if n := counts[action]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, action))
		}
	}
	if len(parts) == 0 {
		return report.Fail(report.ExitUsage, errors.New("there is no zone in what is named"), "in a folder, files that end in "+strings.Join(noZoneFiles, ", ")+" and hidden ones are left out; in a named.conf, all but primary zones")
	}
	a.Out.Say("%s: %s", report.Count(len(results), "zone"), strings.Join(parts, ", "))
	return end(partly(counts["failed"], len(results)))
}

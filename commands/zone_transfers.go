package commands

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"dnsctl/dnsclient"
	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/wire"
	"dnsctl/zone"
)

// addTransfers takes zones from a running primary, by their names.
func (a *App) addTransfers(ctx context.Context, src *sources, o zoneImportOptions) error {
	addr, err := parseAddr("from", o.from)
	if err != nil {
		return err
	}
	names, err := a.transferNames(o.paths)
	if err != nil {
		return err
	}
	var key *wire.Key
	if o.tsig != "" {
		k, err := a.key(ctx, o.tsig)
		if err != nil {
			return err
		}
		sealer, err := a.sealer(ctx)
		if err != nil {
			return err
		}
		if key, err = inventory.OpenKey(ctx, sealer, k); err != nil {
			return err
		}
	}
	client := &dnsclient.Client{Now: a.Now}
	seen := map[zone.Key]bool{}
	for _, name := range names {
		if seen[name.Key()] {
			continue
		}
		seen[name.Key()] = true
		place := fmt.Sprintf("%s at %s", name, addr)
		src.names[place] = name
		src.list = append(src.list, edit.Source{Path: place, Parse: func(ctx context.Context) (edit.Parsed, error) {
			snap, err := client.Transfer(ctx, addr, name, key, dnsclient.TransferOptions{})
			return edit.Parsed{Content: snap}, err
		}})
	}
	return nil
}

// transferNames reads names of zones; - is a list of them on standard input.
func (a *App) transferNames(args []string) ([]zone.Name, error) {
	var texts []string
	for _, arg := range args {
		if arg != "-" {
			texts = append(texts, arg)
			continue
		}
		lines := bufio.NewScanner(a.Out.In)
		for lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
				texts = append(texts, line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, report.Fail(report.ExitUsage, fmt.Errorf("standard input: %w", err), "it is a list of zones, one name a line")
		}
	}
	if len(texts) == 0 {
		return nil, usagef("one name a line, as dnsctl audit --columns zone --no-headers prints them", "there is no zone in the list on standard input")
	}
	return parseZones(texts)
}

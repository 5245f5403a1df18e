package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"dnsctl/nameserver"
	"dnsctl/report"
)

// ErrNotNew is returned for a configuration of a server that was not added with
// --new.
var ErrNotNew = errors.New("was not added with --new: it has a configuration of its own")

// ConfigOptions of a new server.
type ConfigOptions struct {
	Dir      string         // that it will live in
	Admin    []netip.Prefix // whom its channels answer beside the primaries of its pools
	Database string         // URL of the database for its zones; "" for files of its own
}

// Config makes the complete configuration of a server added with --new.
func (b *Bootstrapper) Config(ctx context.Context, name string, o ConfigOptions) (nameserver.Type, []nameserver.File, error) {
	s, err := b.Store.Server(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if !s.New {
		return nil, nil, report.Hint(fmt.Errorf("server %s %w", name, ErrNotNew), "dnsctl only adds zones to it: dnsctl bootstrap "+name+" --wait")
	}
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	defer ses.Close()
	req, err := ses.ConfigRequest(ctx, o.Dir)
	if err != nil {
		return nil, nil, err
	}
	req.ProbeFrom, req.Database = o.Admin, o.Database
	files, err := ses.Type.Config(req)
	if err != nil {
		return nil, nil, fmt.Errorf("make the configuration of server %s: %w", name, err)
	}
	slices.SortFunc(files, func(a, b nameserver.File) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return ses.Type, files, nil
}

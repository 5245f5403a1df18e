package powerdns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// settings of a zone are what Export writes and Convert reads, as JSON.
type settings struct {
	Name          string     `json:"name,omitempty"`
	Kind          string     `json:"kind"`
	Masters       []string   `json:"masters"`
	Account       string     `json:"account"`
	SOAEdit       string     `json:"soa_edit"`
	SOAEditAPI    string     `json:"soa_edit_api"`
	APIRectify    bool       `json:"api_rectify"`
	PrimaryKeys   []string   `json:"master_tsig_key_ids"`
	SecondaryKeys []string   `json:"slave_tsig_key_ids"`
	Metadata      []metadata `json:"metadata,omitempty"`
	// RRsets that no transfer carries as they are: with disabled records or
	// comments, or of a type that is PowerDNS's own.
	RRsets []rrset `json:"rrsets,omitempty"`
}

// rrset is one as the API has it.
type rrset struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	TTL        uint32          `json:"ttl"`
	ChangeType string          `json:"changetype,omitempty"`
	Records    []record        `json:"records"`
	Comments   json.RawMessage `json:"comments,omitempty"`
}

type record struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

// byField are the kinds of metadata that are set as fields of a zone.
func byField() []string {
	return []string{"AXFR-MASTER-TSIG", "TSIG-ALLOW-AXFR", "SOA-EDIT", "SOA-EDIT-API", "API-RECTIFY"}
}

// notWritten are those that the API shows and takes from nobody (found by trying
// all that the manual lists). PRESIGNED follows from the content.
func notWritten() []string { return []string{"LUA-AXFR-SCRIPT", "NSEC3NARROW", "NSEC3PARAM"} }

// Export copies a zone: settings and content over the API; the content of a
// signed zone by AXFR, as the API does not show its NSEC records.
func (d *driver) Export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	e, err := d.export(ctx, name)
	if err != nil {
		return nameserver.Export{}, fmt.Errorf("copy zone %s: %w", name, err)
	}
	return e, nil
}

func (d *driver) export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	z, s, err := d.look(ctx, name)
	if err != nil {
		return nameserver.Export{}, err
	}
	if s.Serial == nil && s.Role == nameserver.Secondary {
		return nameserver.Export{}, fmt.Errorf("%w: it has none loaded", nameserver.ErrNoCopy)
	}
	set := settings{Name: nameText(name), Kind: z.Kind, Masters: z.Masters, Account: z.Account, SOAEdit: z.SOAEdit, SOAEditAPI: z.SOAEditAPI,
		APIRectify: z.APIRectify, PrimaryKeys: z.PrimaryKeys, SecondaryKeys: z.SecondaryKeys}
	if err := d.call(ctx, http.MethodGet, "/zones/"+id(name)+"/metadata", nil, &set.Metadata); err != nil {
		return nameserver.Export{}, noAPI(err)
	}
	set.Metadata = slices.DeleteFunc(set.Metadata, func(m metadata) bool { return slices.Contains(byField(), m.Kind) || m.Kind == "PRESIGNED" })
	for _, m := range set.Metadata {
		if slices.Contains(notWritten(), m.Kind) && !z.DNSSEC {
			return nameserver.Export{}, fmt.Errorf("%w: its metadata %s could not be written back over the API", nameserver.ErrNoCopy, m.Kind)
		}
	}
	content, err := d.content(ctx, name, &set)
	if z.DNSSEC && err == nil {
		content, err = d.transferred(ctx, name)
	}
	if err != nil {
		return nameserver.Export{}, err
	}
	text, err := json.Marshal(set)
	return nameserver.Export{Settings: string(text), Content: content}, err
}

// transferred is the content as it is served.
func (d *driver) transferred(ctx context.Context, name zone.Name) (*zone.Snapshot, error) {
	if d.transfer == nil {
		return nil, fmt.Errorf("%w: it is signed, and no transfers from this server", nameserver.ErrNoCopy)
	}
	content, err := d.transfer(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%w: it is signed, and must come by transfer (allow-axfr-ips, or TSIG-ALLOW-AXFR, must let us in): %w", nameserver.ErrNoCopy, err)
	}
	return content, nil
}

// content reads the RRsets of a zone. Those that cannot be content go to the
// settings.
func (d *driver) content(ctx context.Context, name zone.Name, set *settings) (*zone.Snapshot, error) {
	b := zone.NewBuilder(name, 0)
	seen := false
	err := d.client.Do(ctx, http.MethodGet, d.base+"/zones/"+id(name), nil, func(status int, answer *httpjson.Decoder) error {
		if status != http.StatusOK {
			return refusal(status, answer)
		}
		err := answer.Object(func(member string) error {
			if member != "rrsets" {
				return answer.Skip()
			}
			seen = true
			return answer.Array(func() error {
				var r rrset
				if err := answer.Value(&r); err != nil {
					return err
				}
				return r.addTo(b, set)
			})
		})
		if err != nil {
			return err
		}
		return answer.End()
	})
	switch {
	case errors.Is(err, errNotFound):
		return nil, d.absent(ctx, name)
	case err != nil:
		return nil, err
	case !seen:
		return nil, fmt.Errorf("%w: a zone without its RRsets", nameserver.ErrAnswer)
	}
	snap, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nameserver.ErrNoCopy, err)
	}
	return snap, nil
}

// addTo puts an RRset into the content, the settings, or both.
func (r rrset) addTo(b *zone.Builder, set *settings) error {
	keep := len(r.Comments) > 0 && string(r.Comments) != "[]"
	if !keep {
		r.Comments = nil
	}
	owner, err := zone.ParseName(r.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	}
	typ, known := typeOf(r.Type)
	for _, rec := range r.Records {
		if rec.Disabled || !known {
			keep = true
			continue
		}
		data, err := zonefile.ParseRdata(typ, rec.Content, zone.Root)
		if err != nil {
			keep = true
			continue
		}
		b.Add(zone.RRset{Owner: owner, Type: typ, Covers: zone.CoversOf(typ, data), TTL: r.TTL, Data: zone.PackRdata(data)})
	}
	if keep {
		r.ChangeType = "REPLACE"
		set.RRsets = append(set.RRsets, r)
	}
	return nil
}

// typeOf is the type of this name. PowerDNS has a name of its own for 65400; its
// ALIAS and LUA are no content.
func typeOf(name string) (zone.Type, bool) {
	if name == "ADDR" {
		return 65400, true
	}
	t, err := zone.ParseType(name)
	return t, err == nil
}

// Convert gives a loaded secondary the settings that Export returned. It goes on
// answering with the content that it has.
func (d *driver) Convert(ctx context.Context, name zone.Name, text string) error {
	if err := d.convert(ctx, name, text); err != nil {
		return fmt.Errorf("restore settings of zone %s: %w", name, err)
	}
	return nil
}

var errSettings = errors.New("not the settings of a PowerDNS zone")

func (d *driver) convert(ctx context.Context, name zone.Name, text string) error {
	var want settings
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		return fmt.Errorf("%w: %w", errSettings, err)
	}
	n, err := zone.ParseName(want.Name)
	switch {
	case err != nil || want.Name == "" || want.Kind == "":
		return errSettings
	case !n.Equal(name):
		return fmt.Errorf("%w: they are those of zone %s", nameserver.ErrRefused, n)
	case roleOf(want.Kind) == nameserver.Other:
		return fmt.Errorf("%w: they are of kind %s", nameserver.ErrUntouchable, strconv.Quote(want.Kind))
	}
	has, err := d.touchable(ctx, name)
	if err != nil {
		return err
	}
	if s, err := stateOf(has.listed); err != nil || s.Role != nameserver.Secondary || s.Serial == nil {
		return fmt.Errorf("%w: it is not a loaded secondary", nameserver.ErrRefused)
	}
	return d.give(ctx, name, want)
}

// give writes settings: first what no transfer brought, which SOA-EDIT-API does
// not see yet, the kind and the keys last.
func (d *driver) give(ctx context.Context, name zone.Name, want settings) error {
	if len(want.RRsets) > 0 {
		if err := d.zoneCall(ctx, name, http.MethodPatch, "", struct {
			RRsets []rrset `json:"rrsets"`
		}{want.RRsets}); err != nil {
			return fmt.Errorf("put back %d RRsets: %w", len(want.RRsets), err)
		}
	}
	for _, m := range want.Metadata {
		if slices.Contains(notWritten(), m.Kind) {
			continue // of a signed zone: its content says the same
		}
		if err := d.putMetadata(ctx, name, m); err != nil {
			return err
		}
	}
	fields := want
	fields.Name, fields.Metadata, fields.RRsets = "", nil, nil
	return d.zoneCall(ctx, name, http.MethodPut, "", fields)
}

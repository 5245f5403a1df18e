package bind

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
)

// statsZone is a zone as the statistics channel's /json/v1/zones shows it.
type statsZone struct {
	Name   string    `json:"name"`
	Class  string    `json:"class"`
	Type   string    `json:"type"`
	Serial *uint32   `json:"serial"` // absent: never loaded, or expired
	Loaded time.Time `json:"loaded"` // 1970: never
}

// errNotStats says that a document is not that of /json/v1/zones.
var errNotStats = errors.New("not the JSON of /json/v1/zones")

const maxViews = 10000

// readStats fetches the list of zones and calls yield for each with its view. It
// returns the views that the list names.
func readStats(ctx context.Context, url string, yield func(view string, z statsZone) error) ([]string, error) {
	client := httpjson.NewClient(nil, nil)
	defer client.Close()
	var views []string
	var stop error // yield's
	err := client.Do(ctx, http.MethodGet, url+"/json/v1/zones", nil, func(status int, d *httpjson.Decoder) (err error) {
		if status != http.StatusOK {
			return fmt.Errorf("%w: HTTP status %d", nameserver.ErrAnswer, status)
		}
		views, err = decodeStats(d, func(view string, z statsZone) error {
			stop = yield(view, z)
			return stop
		})
		return err
	})
	switch {
	case stop != nil:
		return nil, stop
	case err != nil:
		return nil, fmt.Errorf("read zones at %s: %w", url, err)
	}
	return views, nil
}

// decodeStats reads {"views": {NAME: {"zones": [ZONE...]}}} and ignores all
// other members. A view without zones has no such list.
func decodeStats(d *httpjson.Decoder, yield func(view string, z statsZone) error) ([]string, error) {
	var views []string
	seen := false
	err := d.Object(func(name string) error {
		if name != "views" {
			return d.Skip()
		}
		seen = true
		return d.Object(func(view string) error {
			if views = append(views, view); len(views) > maxViews {
				return fmt.Errorf("%w: %w: more than %d views", nameserver.ErrAnswer, errNotStats, maxViews)
			}
			return d.Object(func(name string) error {
				if name != "zones" {
					return d.Skip()
				}
				return d.Array(func() error {
					var z statsZone
					if err := d.Value(&z); err != nil {
						return err
					}
					return yield(view, z)
				})
			})
		})
	})
	switch {
	case err != nil:
		return nil, err
	case !seen:
		return nil, fmt.Errorf("%w: %w: no views", nameserver.ErrAnswer, errNotStats)
	}
	return views, d.End()
}

package powerdns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"dnsctl/nameserver"
)

const (
	batch = 500 // about a second's work of the API
	// Zones that are added together are left to a round of PowerDNS's own where it
	// makes one as often as that: a call of the API takes it a millisecond, for which
	// it opens its database anew, so two for each zone take twice as long.
	soon = 10 * time.Second
	many = 50 // zones that are worth waiting for a round
)

// AddAll adds zones by as many calls at a time as PowerDNS bears.
func (d *driver) AddAll(ctx context.Context, zones []nameserver.ZoneConfig) []error {
	add := d.add
	if len(zones) >= many && d.rounds(ctx) <= soon {
		add = d.create
	}
	errs := make([]error, len(zones))
	begun := make([]bool, len(zones))
	var gone atomic.Pointer[error]
	nameserver.Each(ctx, d, len(zones), func(i int) {
		if gone.Load() != nil {
			return
		}
		begun[i] = true
		if errs[i] = add(ctx, zones[i]); errors.Is(errs[i], nameserver.ErrUnreachable) {
			gone.Store(&errs[i])
		}
	}, func(int) {})
	for i := range zones {
		switch err := gone.Load(); {
		case begun[i]:
		case err != nil:
			errs[i] = *err
		default:
			errs[i] = fmt.Errorf("%w: %w", nameserver.ErrUnreachable, context.Cause(ctx))
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("add zone %s: %w", zones[i].Name, errs[i])
		}
	}
	return errs
}

// rounds is how often PowerDNS looks for zones to be transferred; long when it does
// not say.
func (d *driver) rounds(ctx context.Context) time.Duration {
	var settings []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	if err := d.call(ctx, http.MethodGet, "/config", nil, &settings); err != nil {
		return time.Hour
	}
	for _, s := range settings {
		if s.Name != "xfr-cycle-interval" {
			continue
		}
		if n, err := strconv.Atoi(s.Value); err == nil && n > 0 {
			return time.Duration(n) * time.Second
		}
	}
	return time.Hour
}

package bind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"dnsctl/nameserver"
)

// statsZone is a zone as the statistics channel's /json/v1/zones shows it.
type statsZone struct {
	Name   string    `json:"name"`
	Class  string    `json:"class"`
	Type   string    `json:"type"`
	Serial *uint32   `json:"serial"` // absent: never loaded, or expired
	Loaded time.Time `json:"loaded"` // 1970: never
}

const (
	statsStall = 30 * time.Second // without an octet, the channel is given up
	maxToken   = 1 << 20          // octets that one JSON value may take
)

// Errors of reading the statistics channel.
var (
	errHuge    = errors.New("a JSON value of more than a megabyte")
	errStalled = errors.New("nothing came for 30 s")
	errNotJSON = errors.New("not the JSON of /json/v1/zones")
)

// readStats fetches the list of zones and calls yield for each with its view.
// It returns the views that the list names. Memory is bounded by maxToken
// whatever the server sends; an answer that is cut short is an error.
func readStats(ctx context.Context, url string, yield func(view string, z statsZone) error) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(statsStall, func() { cancel(errStalled) })
	defer watchdog.Stop()

	// The statistics channel is asked directly, without a proxy, and obeyed by
	// no redirection.
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/json/v1/zones", nil)
	if err != nil {
		return nil, fmt.Errorf("read zones: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("read zones: %w: %w", nameserver.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read zones at %s: %w: HTTP status %d", url, nameserver.ErrAnswer, resp.StatusCode)
	}
	body := &meteredReader{r: resp.Body, left: maxToken, progress: func() { watchdog.Reset(statsStall) }}
	views, err := decodeStats(body, yield)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", nameserver.ErrAnswer, cause)
		}
		return nil, fmt.Errorf("read zones at %s: %w", url, err)
	}
	return views, nil
}

// meteredReader fails when more than left octets are read without a refill.
type meteredReader struct {
	r        io.Reader
	left     int
	progress func()
}

func (m *meteredReader) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errHuge
	}
	n, err := m.r.Read(b[:min(len(b), m.left)])
	m.left -= n
	if n > 0 && m.progress != nil {
		m.progress()
	}
	return n, err
}

func (m *meteredReader) refill() { m.left = maxToken }

// statsDecoder walks the document token by token.
type statsDecoder struct {
	*json.Decoder
	meter *meteredReader
}

// decodeStats reads {"views": {NAME: {"zones": [ZONE...]}}} and ignores all
// other members. A view without zones has no such list.
func decodeStats(body *meteredReader, yield func(view string, z statsZone) error) ([]string, error) {
	d := statsDecoder{json.NewDecoder(body), body}
	var views []string
	var stop error // yield's
	seen := false
	err := d.object(func(name string) error {
		if name != "views" {
			return d.skip()
		}
		seen = true
		return d.object(func(view string) error {
			views = append(views, view)
			if len(views) > 10000 {
				return fmt.Errorf("%w: more than 10000 views", errNotJSON)
			}
			return d.object(func(name string) error {
				if name != "zones" {
					return d.skip()
				}
				return d.array(func() error {
					var z statsZone
					if err := d.Decode(&z); err != nil {
						return err
					}
					stop = yield(view, z)
					return stop
				})
			})
		})
	})
	switch {
	case stop != nil:
		return nil, stop
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it ends in the middle", nameserver.ErrAnswer)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	case !seen:
		return nil, fmt.Errorf("%w: %w: no views", nameserver.ErrAnswer, errNotJSON)
	}
	return views, nil
}

func (d statsDecoder) token() (json.Token, error) {
	t, err := d.Token()
	d.meter.refill()
	return t, err
}

func (d statsDecoder) delim(want json.Delim) error {
	t, err := d.token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%w: %v where %v was expected", errNotJSON, t, want)
	}
	return nil
}

// object reads {...} and calls member after each name.
func (d statsDecoder) object(member func(name string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("%w: a member without a name", errNotJSON)
		}
		if err := member(name); err != nil {
			return err
		}
	}
	return d.delim('}')
}

// array reads [...] and calls element before each.
func (d statsDecoder) array(element func() error) error {
	if err := d.delim('['); err != nil {
		return err
	}
	for d.More() {
		if err := element(); err != nil {
			return err
		}
		d.meter.refill()
	}
	return d.delim(']')
}

// skip reads one value of any kind.
func (d statsDecoder) skip() error {
	for depth := 0; ; {
		t, err := d.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

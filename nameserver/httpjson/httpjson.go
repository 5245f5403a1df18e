// Package httpjson asks a nameserver's HTTP interface and reads its JSON as it
// arrives: whatever the other end sends, memory and patience are bounded, and an
// answer that is cut short, malformed or not the nameserver's own is an error.
package httpjson

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"dnsctl/nameserver"
)

const (
	connectTime = 10 * time.Second
	stall       = 30 * time.Second // without an octet, the other end is given up
)

// ErrStalled says that the other end went silent.
var ErrStalled = errors.New("nothing came for 30 s")

// Client asks one HTTP server. It goes there directly, whatever proxies the
// environment names, and follows no redirection. It may be used by several
// goroutines.
type Client struct {
	http   http.Client
	header http.Header
}

// NewClient is a client that sends this header with every request; it may be nil.
// Certificates are those of the CAs in roots, or of the system's where that is nil.
func NewClient(header http.Header, roots *x509.CertPool) *Client {
	return &Client{header: header, http: http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSHandshakeTimeout: connectTime,
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			DisableCompression:  true,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends the connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request, with a body of JSON unless that is nil, and lets read see
// the answer's status and body. read's own errors are returned as they are.
func (c *Client) Do(ctx context.Context, method, url string, body []byte, read func(status int, d *Decoder) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() { cancel(ErrStalled) })
	defer watchdog.Stop()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", nameserver.ErrUnreachable, because(ctx, err))
	}
	defer resp.Body.Close()
	err = read(resp.StatusCode, NewDecoder(&meter{r: resp.Body, left: maxValue, progress: func() { watchdog.Reset(stall) }}))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w: %w", nameserver.ErrAnswer, cause)
	}
	if err == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, 512) // what is left of a short answer, so that the connection can be used again
	}
	return err
}

// because prefers the reason why the request was given up to its symptom, and says
// what is to be done about a certificate.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) {
		if errors.As(err, new(x509.UnknownAuthorityError)) {
			return fmt.Errorf("nobody vouches for its certificate: %w (the certificate of its CA, in PEM, belongs into the file of --control-key-file, below the key)", bad.Err)
		}
		return fmt.Errorf("its certificate is not good: %w", bad.Err)
	}
	return err
}

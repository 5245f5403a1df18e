package mdns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// TLS says where and how zones are transferred over TLS (RFC 9103): version 1.3
// and the protocol "dot", without session tickets and early data. Without an
// address to listen on there is no TLS.
type TLS struct {
	Listen   []netip.AddrPort // TCP; port 0 picks one
	CertFile string           // PEM, the server's own certificate first
	KeyFile  string           // PEM; no business of others
	// ClientCAFile, PEM, signs the certificates of clients, which are asked for one;
	// see fleet.PoolTLS.Clients. Empty: no client is asked.
	ClientCAFile string
	// LookEvery is how often the files are read again. What they say now is used for
	// connections from then on; files that cannot be used change nothing.
	LookEvery time.Duration

	HandshakeTimeout    time.Duration // for a client to finish its handshake
	MaxHandshakes       int           // unfinished ones in all
	MaxHandshakesClient int           // unfinished ones of one address
}

// ErrTLSFiles is wrapped by errors about files that TLS cannot be offered with.
var ErrTLSFiles = errors.New("TLS files cannot be used")

// alpn is the protocol that both sides must have chosen (RFC 9103 section 7.1).
const alpn = "dot"

// certificates keeps what the files say.
type certificates struct {
	files TLS
	log   *slog.Logger
	m     *metrics
	now   func() time.Time

	config atomic.Pointer[tls.Config]
	tried  [][]byte // what the files had when they were last tried
}

// loadCertificates reads the files. The error wraps ErrTLSFiles and says which
// file is wrong.
func loadCertificates(files TLS, log *slog.Logger, m *metrics, now func() time.Time) (*certificates, error) {
	c := &certificates{files: files, log: log, m: m, now: now}
	read, err := c.read()
	if err == nil {
		c.tried = read
		err = c.use(read)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLSFiles, err)
	}
	return c, nil
}

// read is the content of the certificate, the key and the CA.
func (c *certificates) read() ([][]byte, error) {
	out := make([][]byte, 3)
	for i, path := range []string{c.files.CertFile, c.files.KeyFile, c.files.ClientCAFile} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	info, err := os.Stat(c.files.KeyFile)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = fmt.Errorf("key file %s is open to others (mode %04o): chmod 600 it, and think about who has read it", c.files.KeyFile, info.Mode().Perm())
	}
	return out, err
}

// use makes the files' content what new connections get.
func (c *certificates) use(read [][]byte) error {
	pair, err := tls.X509KeyPair(read[0], read[1])
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %s", c.files.CertFile, c.files.KeyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: []tls.Certificate{pair},
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true, Time: c.now,
	}
	if read[2] != nil {
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !conf.ClientCAs.AppendCertsFromPEM(read[2]) {
			return fmt.Errorf("client CA %s: no certificate in it", c.files.ClientCAFile)
		}
	}
	leaf := pair.Leaf
	if now := c.now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		c.log.Warn("TLS certificate is not valid now", "file", c.files.CertFile, "from", leaf.NotBefore, "until", leaf.NotAfter)
	}
	c.m.tlsExpiry.Set(float64(leaf.NotAfter.Unix()))
	c.m.tlsBad.Set(0)
	c.config.Store(conf)
	return nil
}

// follow looks at the files until ctx ends. What is wrong with them is told once
// for each change of theirs.
func (c *certificates) follow(ctx context.Context) {
	tick := time.NewTicker(c.files.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look()
		}
	}
}

func (c *certificates) look() {
	read, err := c.read()
	if err != nil {
		read = nil
	}
	if slices.EqualFunc(read, c.tried, bytes.Equal) {
		return
	}
	c.tried = read
	if err == nil {
		err = c.use(read)
	}
	if err != nil {
		c.m.tlsBad.Set(1)
		c.log.Error("TLS files cannot be used; the certificate read before stays in use", "err", err)
		return
	}
	c.log.Info("TLS files read again", "certificate", c.files.CertFile, "until", c.config.Load().Certificates[0].Leaf.NotAfter)
}

// peerNames is the lower-case DNS names in a client's certificate, which the CA
// has signed, and the end of its validity.
func peerNames(s tls.ConnectionState) (names []string, until time.Time) {
	if len(s.VerifiedChains) == 0 {
		return nil, time.Time{}
	}
	leaf := s.VerifiedChains[0][0]
	for _, n := range leaf.DNSNames {
		names = append(names, strings.ToLower(strings.TrimSuffix(n, ".")))
	}
	return names, leaf.NotAfter
}

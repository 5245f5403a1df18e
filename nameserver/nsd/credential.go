package nsd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"dnsctl/secret"
)

// Files of nsd-control-setup(8).
const (
	serverKeyFile   = "nsd_server.key"
	serverCertFile  = "nsd_server.pem"
	controlKeyFile  = "nsd_control.key"
	controlCertFile = "nsd_control.pem"
)

// Names in the certificates of nsd-control-setup(8).
const (
	serverName  = "nsd"
	controlName = "nsd-control"
)

// credential is what opens a control channel over TLS: the server's certificate,
// which is all that is trusted, and ours. Of a server that was made here there is
// its key as well.
type credential struct {
	server     *x509.Certificate
	serverKey  crypto.Signer // nil: the server alone has it
	control    *x509.Certificate
	controlKey crypto.Signer
}

// errCredential is wrapped by errors about certificates and keys; what is in them
// is never part of it.
var errCredential = errors.New("not the keys and certificates of an NSD control channel")

// readCredential sorts certificates and keys in PEM: each key belongs to the
// certificate with the same public key, and the one that is signed by the other
// is the client's.
func readCredential(text []byte) (credential, error) {
	fail := func(what string) (credential, error) {
		return credential{}, fmt.Errorf("%w: %s; want what %s, %s and %s hold", errCredential, what, serverCertFile, controlKeyFile, controlCertFile)
	}
	var certs []*x509.Certificate
	var keys []crypto.Signer
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fail("there is more than PEM in it")
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fail("a certificate cannot be read")
			}
			certs = append(certs, c)
			continue
		}
		key, err := readKey(block)
		if err != nil {
			return fail(fmt.Sprintf("a block %q is no key that can be read", printable(block.Type)))
		}
		keys = append(keys, key)
	}
	if len(certs) != 2 {
		return fail(fmt.Sprintf("it has %d certificates", len(certs)))
	}
	c := credential{server: certs[0], control: certs[1]}
	if c.server.CheckSignatureFrom(c.control) == nil && c.control.CheckSignatureFrom(c.server) != nil {
		c.server, c.control = c.control, c.server
	}
	for _, k := range keys {
		switch {
		case belongs(k, c.control):
			c.controlKey = k
		case belongs(k, c.server):
			c.serverKey = k
		default:
			return fail("a key belongs to neither certificate")
		}
	}
	if c.controlKey == nil {
		return fail("the key of the client's certificate is missing")
	}
	return c, nil
}

func readKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	if s, ok := key.(crypto.Signer); ok {
		return s, nil
	}
	return nil, errCredential
}

func belongs(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// plain is the credential as it is stored.
func (c credential) plain() secret.Plain {
	var b bytes.Buffer
	for _, part := range [][]byte{certPEM(c.server), keyPEM(c.serverKey), certPEM(c.control), keyPEM(c.controlKey)} {
		b.Write(part)
	}
	return secret.New(b.Bytes())
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// keyPEM is nil for a key that is not there. Keys that were read or made here can
// always be written.
func keyPEM(key crypto.Signer) []byte {
	if key == nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// config trusts the server's certificate and no other. Certificates of older
// setups have the name nsd only where crypto/tls does not look for one, so it is
// compared here.
func (c credential) config() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.server)
	return &tls.Config{
		MinVersion:         minTLS,
		ServerName:         serverName,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{c.control.Raw}, PrivateKey: c.controlKey}},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf := s.PeerCertificates[0]
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				return fmt.Errorf("%w: %w", errServerCert, err)
			}
			if leaf.Subject.CommonName != serverName && leaf.VerifyHostname(serverName) != nil {
				return fmt.Errorf("%w: it is not one of a server", errServerCert)
			}
			return nil
		},
	}
}

// errServerCert says that the server showed another certificate than the known one.
var errServerCert = errors.New("the server's certificate is not the one that is known")

// certLife is how long a new server's certificates are valid, as those of
// nsd-control-setup(8) are.
const certLife = 20 * 365 * 24 * time.Hour

func newCredential() (credential, error) {
	var c credential
	var err error
	if c.server, c.serverKey, err = newCert(serverName, nil, nil); err != nil {
		return c, fmt.Errorf("make the server's certificate: %w", err)
	}
	if c.control, c.controlKey, err = newCert(controlName, c.server, c.serverKey); err != nil {
		return c, fmt.Errorf("make the control channel's certificate: %w", err)
	}
	return c, nil
}

// newCert makes a P-256 key and its certificate, signed by a parent or, without
// one, by itself.
func newCert(name string, parent *x509.Certificate, signer crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certLife), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	if parent == nil {
		parent, signer = t, key
		t.IsCA, t.MaxPathLenZero = true, true
		t.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

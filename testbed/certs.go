package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA signs certificates for a test, with P-256 keys.
type CA struct {
	File string // its certificate, PEM
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

// NewCA makes one; its files are in a folder of the test.
func NewCA(t T) *CA {
	t.Helper()
	ca := &CA{dir: t.TempDir()}
	ca.File = filepath.Join(ca.dir, "ca.pem")
	ca.Cert, ca.key = ca.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "testbed CA"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	writePEM(t, ca.File, "CERTIFICATE", ca.Cert.Raw)
	return ca
}

// Issue makes a certificate for a server or a client of these DNS names and of
// 127.0.0.1, and returns its file and that of its key.
func (ca *CA) Issue(t T, file string, until time.Time, names ...string) (cert, key string) {
	t.Helper()
	c, k := ca.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "testbed"}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	cert, key = filepath.Join(ca.dir, file+".pem"), filepath.Join(ca.dir, file+".key")
	writePEM(t, cert, "CERTIFICATE", c.Raw)
	writePEM(t, key, "PRIVATE KEY", der)
	return cert, key
}

func (ca *CA) sign(t T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	parent, signer := ca.Cert, ca.key
	if parent == nil {
		parent, signer = c, key
	}
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	return c, key
}

// writePEM writes by way of a new file, so that nobody reads half of it.
func writePEM(t T, path, kind string, der []byte) {
	t.Helper()
	err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

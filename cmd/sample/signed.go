package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The zone that arrives signed. Its file is kept as it is: the keys are gone.
const (
	signedZone = "signed.example"
	signedFile = "signed/signed.example.zone"
	// signedUntil is far enough that nobody has to sign it again.
	signedUntil = "20450101000000"
	signedFrom  = "20240101000000"
)

const unsigned = `@	A	192.0.2.90
@	AAAA	2001:db8:90::1
@	MX	10 mail
mail	A	192.0.2.91
www	CNAME	@
*.pages	A	192.0.2.92
insecure	NS	ns.elsewhere.example.
secure	NS	ns.elsewhere.example.
secure	DS	60485 13 2 ( 4355A46B19D348DC2F57C046F8EF63D4
			538EBB936000F3C9EE954A27460DD865 )
long	TXT	"signed, and served as it came"
`

// writeSigned signs the zone with new keys, which are thrown away, and writes
// it into dir: NSEC, ECDSA P-256, one key for the keys and one for the rest.
func writeSigned(dir string) error {
	work, err := os.MkdirTemp("", "dnsctl-sample-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	text := soa(2024030110) + unsigned
	if err := os.WriteFile(filepath.Join(work, "zone"), []byte(text), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", signedZone},
		{"dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", signedZone},
		{"dnssec-signzone", "-q", "-S", "-s", signedFrom, "-e", signedUntil, "-o", signedZone, "-f", "signed", "zone"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("run %s: %w: %s", args[0], err, out)
		}
	}
	signed, err := os.ReadFile(filepath.Join(work, "signed"))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, signedFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, signed, 0o644)
}

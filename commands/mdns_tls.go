package commands

import (
	"errors"

	"dnsctl/mdns"
	"dnsctl/report"
)

// serveTLS is where and how TLS is served; without an address it is not.
func (a *App) serveTLS() (mdns.TLS, error) {
	c := a.Config.MDNS
	t := mdns.TLS{CertFile: c.TLSCert, KeyFile: c.TLSKey, ClientCAFile: c.TLSClientCA}
	var err error
	if t.Listen, err = parseAddrs("tls-listen", c.TLSListen, portTLS); err != nil {
		return t, err
	}
	switch {
	case len(t.Listen) > 0 && (t.CertFile == "" || t.KeyFile == ""):
		return t, usagef("give the files with --tls-cert and --tls-key", "--tls-listen needs a certificate and its key")
	case len(t.Listen) == 0 && t.CertFile+t.KeyFile+t.ClientCAFile != "":
		return t, usagef("for instance --tls-listen 192.0.2.1", "TLS files are given, and no address to serve TLS on")
	}
	return t, nil
}

// errTLSFiles makes unusable TLS files what they are: a mistake in the
// configuration.
func errTLSFiles(err error) error {
	if errors.Is(err, mdns.ErrTLSFiles) {
		return report.Fail(report.ExitUsage, err, "--tls-cert, --tls-key and --tls-client-ca name PEM files that this user can read")
	}
	return err
}

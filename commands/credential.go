package commands

import (
	"bytes"
	"path/filepath"

	"github.com/spf13/pflag"

	"dnsctl/fleet"
	"dnsctl/nameserver"
)

// credentialFlags say where a server's control credential is read from.
type credentialFlags struct{ keyFile, certDir string }

func (o *credentialFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&o.keyFile, "control-key-file", "", "the `file` with the control channel's credential")
	f.StringVar(&o.certDir, "control-cert-dir", "", "the `folder` with the control channel's keys and certificates")
}

// read reads the credential; nil when neither flag was given.
func (o credentialFlags) read(typ string) ([]byte, error) {
	if o.keyFile != "" {
		return readOnce("control-key-file", o.keyFile)
	}
	if o.certDir == "" {
		return nil, nil
	}
	t, ok := typeNamed(typ).(nameserver.CredentialDir)
	if !ok {
		return nil, usagef("its credential is one file: --control-key-file", "a nameserver of type %s has no --control-cert-dir", typ)
	}
	var parts [][]byte
	for _, name := range t.CredentialFiles() {
		b, err := readOnce("control-cert-dir", filepath.Join(o.certDir, name))
		if err != nil {
			return nil, err
		}
		parts = append(parts, b)
	}
	return bytes.Join(parts, []byte("\n")), nil
}

// keyless says whether the server's control channel needs no credential.
func keyless(s fleet.Server) bool {
	t, ok := typeNamed(s.Type).(nameserver.Keyless)
	return ok && t.Keyless(s)
}

// typeNamed is the nameserver type of a name; nil when there is none.
func typeNamed(name string) nameserver.Type {
	for _, t := range nameserverTypes() {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

// Package fleetfile is the fleet as one YAML document: pools, TSIG keys and
// nameservers, as fleet apply reads it and fleet export writes it. Its fields are
// the flags of pool create, tsig create and server add, and a field that is left
// out means that flag's default. Secrets are never in it.
package fleetfile

// Schema is the version of the document's form.
const Schema = "dnsctl-fleet/v1"

// Document is a whole fleet.
type Document struct {
	Schema  string   `yaml:"schema"`
	Pools   []Pool   `yaml:"pools"`
	Keys    []Key    `yaml:"keys"`
	Servers []Server `yaml:"servers"`
}

// Pool is a pool's settings, as the flags of pool create take them.
type Pool struct {
	Name          string   `yaml:"name"`
	Primary       []string `yaml:"primary"`
	NS            []string `yaml:"ns,omitempty"`
	Email         string   `yaml:"email,omitempty"`
	NoTSIG        bool     `yaml:"no-tsig,omitempty"`
	AllowTransfer []string `yaml:"allow-transfer,omitempty"`
	RequireTLS    bool     `yaml:"require-tls,omitempty"`
	TLSClient     []string `yaml:"tls-client,omitempty"`
	TLSName       string   `yaml:"tls-name,omitempty"`
	TLSCA         string   `yaml:"tls-ca,omitempty"` // the certificates themselves, PEM
	Unmanaged     string   `yaml:"unmanaged,omitempty"`
	Protect       []string `yaml:"protect,omitempty"`
	CompareEvery  string   `yaml:"compare-every,omitempty"`
	MinActive     *int     `yaml:"min-active,omitempty"`
	Catalog       string   `yaml:"catalog,omitempty"`
}

// Key is a TSIG key without its secret. SecretFile is read when the key is made,
// and is never written.
type Key struct {
	Name       string `yaml:"name"`
	Scope      string `yaml:"scope"`
	Algorithm  string `yaml:"algorithm,omitempty"`
	SecretFile string `yaml:"secret-file,omitempty"`
}

// Server is a nameserver without its credential. New, ControlKeyFile and
// ControlCertDir say how it is added, and are never written.
type Server struct {
	Name           string   `yaml:"name"`
	Type           string   `yaml:"type"`
	Pool           []string `yaml:"pool"`
	Address        string   `yaml:"address"`
	Probe          string   `yaml:"probe,omitempty"`
	Notify         string   `yaml:"notify,omitempty"`
	Control        string   `yaml:"control,omitempty"`
	Stats          string   `yaml:"stats,omitempty"`
	View           string   `yaml:"view,omitempty"`
	Provision      string   `yaml:"provision,omitempty"`
	New            bool     `yaml:"new,omitempty"`
	ControlKeyFile string   `yaml:"control-key-file,omitempty"`
	ControlCertDir string   `yaml:"control-cert-dir,omitempty"`
}

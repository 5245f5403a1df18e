// Package config is dnsctl's configuration: typed, read from flags, DNSCTL_*
// environment variables and YAML files, each value with its origin.
//
// A value is taken from the first of: flag, environment, the file of --config,
// the user's file ($XDG_CONFIG_HOME/dnsctl/dnsctl.yaml), the system's file
// (/etc/dnsctl/dnsctl.yaml), the default. Each value is looked up by itself, so
// that a user's file need not repeat the system's.
package config

import "time"

// Config is every setting. The comments of its fields are the reference that
// users read (see Reference); the key tag is the place in a YAML file, and the
// environment variable is DNSCTL_ and the key in capitals with an underscore
// for each dot.
type Config struct {
	// The database: sqlite:PATH or postgres://USER@HOST/DATABASE. The default is
	// an SQLite file, /var/lib/dnsctl/dnsctl.db for root and
	// $XDG_DATA_HOME/dnsctl/dnsctl.db for others, which is made on first use. A
	// database that is named here is never made by itself: see dnsctl db init.
	Store string `key:"store" flag:"store"`

	// The format of data on standard output: table, wide, json, jsonl, yaml, csv
	// or name.
	Output string `key:"output" flag:"output" default:"table" oneof:"table,wide,json,jsonl,yaml,csv,name"`

	// Whether to use color: auto is on a terminal only.
	Color string `key:"color" flag:"color" default:"auto" oneof:"auto,always,never"`

	// Bounds the whole run, as 30s or 10m; 0 is no bound.
	Timeout time.Duration `key:"timeout" flag:"timeout" default:"0s"`

	// The folder that $INCLUDE in imported zone files may reach, and nothing
	// outside it. Empty allows no $INCLUDE.
	IncludeRoot string `key:"include_root" flag:"include-root"`

	// How often the leader among the mdns processes compares each nameserver with
	// the database.
	CompareEvery time.Duration `key:"compare_every" default:"1h" min:"1s"`

	// A program and its arguments, separated by spaces, that is run before a
	// nameserver goes out of service (dnsctl drain) and before it comes back
	// (dnsctl undrain). It gets SERVER, STATE (drain or undrain) and REASON in its
	// environment, and no shell. When it fails, the nameserver stays as it is.
	DrainHook string `key:"drain_hook"`

	// How long the program of drain_hook may take.
	DrainHookTimeout time.Duration `key:"drain_hook_timeout" default:"30s" min:"1s"`

	Log       Log       `key:"log"`
	Secret    Secret    `key:"secret"`
	MDNS      MDNS      `key:"mdns"`
	Retention Retention `key:"retention"`
}

// Log says how the log on standard error looks.
type Log struct {
	// The format of log lines: text or json.
	Format string `key:"format" flag:"log-format" default:"text" oneof:"text,json"`

	// The least severe level that is logged: debug, info, warn or error. One-shot
	// commands log from warn up unless this or -v says otherwise.
	Level string `key:"level" flag:"log-level" default:"info" oneof:"debug,info,warn,error"`
}

// Secret says how sealed secrets are opened.
type Secret struct {
	// The age identity that opens the store's secrets. For SQLite the default is
	// the file identity.age beside the database, made with it.
	IdentityFile string `key:"identity_file"`

	// A program and its arguments, separated by spaces, that prints the age
	// identity; used instead of a file.
	IdentityCommand string `key:"identity_command"`
}

// MDNS is the hidden primary, dnsctl mdns serve.
type MDNS struct {
	// Addresses to serve DNS on, UDP and TCP on each, as IP or IP:PORT.
	Listen []string `key:"listen" flag:"listen"`

	// The address of /metrics, /healthz, /readyz and /servers/NAME/ready, as
	// IP:PORT; empty is none.
	HTTP string `key:"http" flag:"http"`

	// How often the change feed is read even when no wake-up came.
	PollInterval time.Duration `key:"poll_interval" default:"1s" min:"10ms"`

	// How much memory the zones being transferred may take in all, as 512MiB.
	Memory Size `key:"memory" default:"1GiB"`

	// The database to read zones from, where that is a streaming standby of the one
	// in store, as postgres://USER@HOST/DATABASE; empty reads from store.
	ReadStore string `key:"read_store" flag:"read-store"`

	// Addresses to transfer zones over TLS on (RFC 9103), as IP or IP:PORT.
	TLSListen []string `key:"tls_listen" flag:"tls-listen"`

	// The file with the TLS certificate, PEM, and those between it and its CA.
	TLSCert string `key:"tls_cert" flag:"tls-cert"`

	// The file with the TLS certificate's private key, PEM.
	TLSKey string `key:"tls_key" flag:"tls-key"`

	// The file with the CA that signs clients' certificates, PEM; empty asks no
	// client for one.
	TLSClientCA string `key:"tls_client_ca" flag:"tls-client-ca"`

	// What to answer to who asks which server this is (NSID, RFC 5001), up to 128
	// octets; empty is nothing.
	NSID string `key:"nsid"`

	// How many workers, each with a socket of its own, answer over UDP on each
	// address; 0 is one for each processor.
	UDPWorkers int `key:"udp_workers" default:"0" min:"0"`

	// How many TCP connections are served at once, those over TLS among them.
	MaxTCP int `key:"max_tcp" default:"4096" min:"1"`

	// How many TCP connections of one address are served at once.
	MaxTCPClient int `key:"max_tcp_client" default:"512" min:"1"`

	// How long a TCP connection may stay open without a query or a transfer.
	IdleTimeout time.Duration `key:"idle_timeout" default:"30s" min:"100ms"`

	// How long a query over TCP may take to arrive.
	ReadTimeout time.Duration `key:"read_timeout" default:"10s" min:"100ms"`

	// How long a TCP client may take less than 2 KiB of what is sent to it.
	WriteTimeout time.Duration `key:"write_timeout" default:"30s" min:"100ms"`

	// How long a zone transfer may take, however steadily the client reads: the
	// version that is sent stays in memory for it.
	TransferTimeout time.Duration `key:"transfer_timeout" default:"2h" min:"1s"`
}

// Retention says how long the database keeps what is past. The leader among the
// mdns processes removes the rest, a little at a time.
type Retention struct {
	// How long a deleted zone can be brought back; 0 is for ever. Its name and last
	// serial stay.
	Deleted Age `key:"deleted" default:"90d" min:"1h"`

	// How long changes of zones are kept, from which nameservers are sent only what
	// is new, and which a rollback undoes; 0 is for ever.
	History Age `key:"history" default:"90d" min:"1h"`

	// How long it is known who changed what, when; 0 is for ever.
	Events Age `key:"events" default:"365d" min:"1h"`

	// How long copies of zones in quarantine are kept from when they are made; 0 is
	// for ever. Those that were restored and are protected stay longer.
	Quarantine Age `key:"quarantine" default:"30d" min:"1h"`

	// How long each entry of the change feed is kept; 0 is for ever. Later one in a
	// thousand stays, and those that markers on nameservers state.
	Feed Age `key:"feed" default:"7d" min:"1h"`
}

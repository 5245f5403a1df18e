// Package nameserver is what we ask of a nameserver: its inventory, and adding,
// changing, deleting, retransferring and exporting a zone over its control
// channel. Each kind of server has a driver in a folder below; nothing above
// this folder knows one from another.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/zone"
)

// Driver talks to one nameserver (and view). It is used by one goroutine at a
// time; Zone, Add, Change, Delete, Retransfer and Export by as many as its capabilities say. Every
// call honours ctx's deadline and returns typed errors; an answer that is cut
// short, malformed or not authenticated is an error, never an empty result.
type Driver interface {
	// Info proves that the control channel works and says who answers.
	Info(ctx context.Context) (Info, error)
	Capabilities() Capabilities
	// Inventory calls yield for every zone, in no particular order. A nil error
	// means that the list was read whole.
	Inventory(ctx context.Context, yield func(ZoneState) error) error
	// Zone reads one zone afresh, primaries and keys included. It returns
	// ErrNoZone when the server answers that it does not have it.
	Zone(ctx context.Context, name zone.Name) (ZoneState, error)
	// Add makes a secondary zone. ErrExists when it is there already.
	Add(ctx context.Context, z ZoneConfig) error
	// Change makes an existing zone a secondary with these settings, in place.
	Change(ctx context.Context, z ZoneConfig) error
	// Delete removes the zone with its files. ErrNoZone when it is not there,
	// ErrUntouchable when it may not be deleted this way.
	Delete(ctx context.Context, name zone.Name) error
	// Retransfer asks for a full transfer; it returns when that is queued.
	Retransfer(ctx context.Context, name zone.Name) error
	// Export copies a zone, settings and content. ErrNoCopy when the content
	// cannot be had.
	Export(ctx context.Context, name zone.Name) (Export, error)
	// Convert gives a zone that the server has as a loaded secondary the settings
	// that Export returned, keeping its present content.
	Convert(ctx context.Context, name zone.Name, settings string) error
	Close() error
}

// KeyHolder is a driver that gives its server TSIG keys over the control channel.
// Other servers have them in their configuration.
type KeyHolder interface {
	// HoldKey makes sure that the server has the key, and says whether it had to make
	// it. ErrRefused when it has another one of that name.
	HoldKey(ctx context.Context, key zone.Name) (made bool, err error)
}

// BulkAdder is a driver that adds many zones in one exchange with its server, much
// faster than one by one.
type BulkAdder interface {
	// AddAll is Add for each of the zones, no name of which comes twice; errs has one
	// error for each, in their order, nil where the zone was added. One that could not
	// be added does not keep the others from it. ErrUnreachable is for those of which
	// the server was not asked.
	AddAll(ctx context.Context, zones []ZoneConfig) (errs []error)
}

// BulkDeleter is a driver that deletes many zones in one exchange with its server,
// much faster than one by one.
type BulkDeleter interface {
	// DeleteAll is Delete for each of the zones, which are as Zone has just shown them,
	// no name of which comes twice; errs has one error for each, in their order. That
	// they are gone is not proven: the caller reads them again.
	DeleteAll(ctx context.Context, zones []ZoneState) (errs []error)
}

// Preparer is a driver of servers whose operators prepare them for the settings
// that zones get.
type Preparer interface {
	// Prepared says what the server's configuration lacks for zones with r.Settings:
	// an error that wraps ErrUnprepared and whose hint is what to add, or nil.
	Prepared(ctx context.Context, r ConfigRequest) error
}

// Alterer is a Type whose servers do not serve every RRset as it came.
type Alterer interface {
	// Alters says what such a server may make of an RRset of a zone that is signed or
	// not, "" when it serves it as it came; harmless when DNS works the same with it,
	// so that it is no difference.
	Alters(set zone.RRset, signed bool) (how string, harmless bool)
}

// Errors that drivers return, wrapped with what they are about.
var (
	ErrNoZone      = errors.New("the nameserver does not have the zone")
	ErrExists      = errors.New("the nameserver has the zone already")
	ErrUntouchable = errors.New("the zone may not be changed over the control channel")
	ErrNoCopy      = errors.New("the zone's content cannot be copied")
	ErrRefused     = remedied("the nameserver refused the command", "the nameserver's log says why")
	ErrUnreachable = remedied("the control channel cannot be reached",
		"is the nameserver running? Its control channel as it is known here: dnsctl server list -o wide")
	ErrAuth = remedied("the control channel rejected the credential",
		"the nameserver has another one: dnsctl server set with --control-key-file stores that")
	ErrAnswer = remedied("the control channel's answer is incomplete or malformed",
		"does something else listen there, or cut off what passes? The nameserver's log says what it was asked")
	ErrUnprepared = errors.New("the nameserver's configuration lacks what zones of its pools need")
	ErrBadName    = errors.New("the nameserver cannot hold a zone of this name")
)

// remedy is an error with the hint that report.ExitOf finds, however it is
// wrapped.
type remedy struct{ text, hint string }

func remedied(text, hint string) error { return &remedy{text, hint} }

func (e *remedy) Error() string { return e.text }

// As gives the hint to report.ExitOf.
func (e *remedy) As(target any) bool {
	t, ok := target.(**report.Error)
	if ok {
		*t = &report.Error{Err: e, Hint: e.hint, Exit: report.ExitFailed}
	}
	return ok
}

// HintOf is the remedy that a driver has for just this error; "" where there is
// only that of its kind.
func HintOf(err error) string {
	_, hint := report.ExitOf(err)
	for _, kind := range []error{ErrRefused, ErrUnreachable, ErrAuth, ErrAnswer} {
		if _, usual := report.ExitOf(kind); hint == usual {
			return ""
		}
	}
	return hint
}

// Info says who answers on a control channel.
type Info struct {
	Version  string // as the server says it
	Identity string // hostname or server id, "" when it does not say
}

// Capabilities is what a driver can do beyond the interface; the plan uses it.
type Capabilities struct {
	ListsPrimaries bool // Inventory carries primaries and keys for every zone
	ListsSerials   bool // Inventory carries serials
	AtOnce         int  // how many calls about single zones it takes at a time; 0: one
	KeylessMembers bool // members of a catalog come without its TSIG key: Change gives it to them
	Batch          int  // how many zones a BulkAdder is best given at a time; 0: it does not matter
}

// Role of a zone on the nameserver.
type Role string

// The roles. Other is what we never touch: hint, forward, stub, mirror,
// response policy and built-in zones.
const (
	Secondary Role = "secondary"
	Primary   Role = "primary"
	Other     Role = "other"
)

// Origin says where the server's zone comes from.
type Origin string

// The origins.
const (
	Runtime   Origin = "runtime"  // added over the control channel
	Declared  Origin = "declared" // in its configuration file
	Cataloged Origin = "catalog"  // a member of a catalog zone
	Builtin   Origin = "builtin"
	Unsure    Origin = "" // the inventory does not tell; Zone does
)

// PrimaryRef is one primary of a secondary zone as configured there.
type PrimaryRef struct {
	Addr netip.AddrPort
	Key  zone.Name // "" when transfers are not signed
	TLS  string    // name of the TLS settings to use (RFC 9103); "" when transfers are plain
}

// SamePrimaries says whether two lists name the same primaries with the same
// keys and TLS settings, in any order.
func SamePrimaries(a, b []PrimaryRef) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y PrimaryRef) bool {
			return x.Addr == y.Addr && x.Key.Equal(y.Key) && x.TLS == y.TLS
		}) {
			return false
		}
	}
	return true
}

// ZoneState is a zone as the nameserver has it.
type ZoneState struct {
	Name      zone.Name
	Role      Role
	Origin    Origin
	Serial    *zone.Serial // nil: never loaded
	Expired   bool         // there, but not answering with data
	Primaries []PrimaryRef // nil with Known false
	Known     bool         // Primaries are known; with none of a secondary, that they are others than ours
	Signs     bool         // the nameserver signs it with keys of its own
	Detail    string       // the server's own words, for reasons and events
}

// ZoneConfig is a secondary zone as we want it on a nameserver.
type ZoneConfig struct {
	Name        zone.Name
	Incarnation string // keeps files of a zone's earlier life apart
	Primaries   []PrimaryRef
	Limited     bool // only its primaries' keys and addresses may query it (markers)
	Catalog     bool // it is a catalog zone (RFC 9432), whose members come with the same primaries
	Member      bool // it came with the catalog that the server takes its zones from
}

// Export is a copy of a zone.
type Export struct {
	Settings string // the server's own syntax
	Content  *zone.Snapshot
}

// Target is a nameserver to open a driver on.
type Target struct {
	Server     fleet.Server
	Credential secret.Plain
	// Transfer fetches a zone's content from the server over DNS; drivers whose
	// control channel cannot carry content use it for Export.
	Transfer func(ctx context.Context, name zone.Name) (*zone.Snapshot, error)
	// Key is a TSIG key with its secret; drivers that can make keys on the server
	// use it. fleet.ErrNoKey when there is none of this name.
	Key func(ctx context.Context, name zone.Name) (KeyConfig, error)
}

// Type is a kind of nameserver; commands holds the explicit list of them.
type Type interface {
	Name() string
	// NewCredential makes the control credential of a new server; empty where the
	// control channel needs none.
	NewCredential() (secret.Plain, error)
	// ReadCredential reads a --control-key-file's content, or nil where there is no
	// file: an error then where the control channel needs a credential.
	ReadCredential(file []byte) (secret.Plain, error)
	// Check says what is wrong with a server's settings (URLs, name), if anything.
	Check(s fleet.Server) error
	// CanHold says why such a server can never have a zone of this name: an error
	// that wraps ErrBadName, or nil.
	CanHold(name zone.Name) error
	// Open does not connect; the first call does.
	Open(t Target) (Driver, error)
	// Config makes the complete configuration of a new server, which declares no
	// zone.
	Config(r ConfigRequest) ([]File, error)
	// CheckConfig runs the server's own checker on a written configuration;
	// checked is false when that program is not installed.
	CheckConfig(ctx context.Context, dir string) (checked bool, err error)
}

// CredentialDir is a Type whose operators have the control credential as several
// files in one folder.
type CredentialDir interface {
	// CredentialFiles are their names. What is in them, one after the other, is what
	// ReadCredential reads.
	CredentialFiles() []string
}

// Keyless is a Type some of whose servers have a control channel without a
// credential: who may open a socket on this host decides.
type Keyless interface {
	Keyless(s fleet.Server) bool
}

// ConfigRequest is what a new server's configuration is made of.
type ConfigRequest struct {
	Server     fleet.Server
	Credential secret.Plain
	Keys       []KeyConfig      // TSIG keys of its pools
	TLS        []TLSConfig      // TLS settings of its pools
	Settings   []ZoneConfig     // what zones of its pools are added with, each once, without names
	Catalog    ZoneConfig       // that it takes its zones from; without a name: none
	Primaries  []netip.AddrPort // of its pools
	ProbeFrom  []netip.Prefix   // where our own questions come from
	Database   string           // URL of the database for its zones, without a password; "" for files of its own
	Dir        string           // absolute folder that the files will live in
}

// KeyConfig is a TSIG key with its secret.
type KeyConfig struct {
	Name      zone.Name
	Algorithm zone.Name
	Secret    secret.Plain
}

// TLSConfig is how a nameserver reaches primaries over TLS. Without a CA it takes
// whatever certificate it is shown.
type TLSConfig struct {
	Name string // as PrimaryRef.TLS
	Host string // DNS name in the primaries' certificate; "": their address
	CA   string // PEM; "": none
}

// ErrNoTLS is wrapped when a pool requires what its nameserver cannot do.
var ErrNoTLS = errors.New("cannot transfer zones over TLS")

// CheckTLS refuses a server of a type that cannot transfer over TLS (RFC 9103) in
// a pool that requires it. A type that can says so by its method TransfersTLS.
func CheckTLS(t Type, s fleet.Server) error {
	if x, ok := t.(interface{ TransfersTLS() bool }); ok && x.TransfersTLS() {
		return nil
	}
	for _, p := range s.Pools {
		if p.TLS.Require {
			return fmt.Errorf("server %s, of type %s, %w, and pool %s requires that", s.Name, t.Name(), ErrNoTLS, p.Name)
		}
	}
	return nil
}

// KnowsKeysByZone says that servers of this type take a TSIG key in a question only
// where the zone that is asked for names it, and answer those about a zone that they
// do not have without a signature. Such a type says so by its method KeysByZone.
func KnowsKeysByZone(t Type) bool {
	x, ok := t.(interface{ KeysByZone() bool })
	return ok && x.KeysByZone()
}

// File is one file of a configuration. Mode has no bit for others when Secret.
type File struct {
	Path    string // relative to Dir
	Mode    uint32
	Content []byte
	Secret  bool
	Seed    bool // the nameserver writes to it: one that is there stays as it is
}

package pretend

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Server is a nameserver in memory. The fields that tests set are set before the
// run that they are for.
type Server struct {
	// Before is called at the start of each operation of the control channel
	// (inventory, zone, add, change, delete, retransfer, export, convert); its
	// error is the operation's.
	Before func(op string, name zone.Name) error
	// Asked is called before each question over DNS; true leaves it unanswered.
	Asked func(name zone.Name) (lost bool)
	// Rejects says whether the server does not know a TSIG key.
	Rejects func(key zone.Name) bool
	// Walked is called before content is compared by transfer; its error is the
	// transfer's.
	Walked func(name zone.Name) error
	// Stalled says whether a transfer of the zone goes nowhere.
	Stalled func(name zone.Name) bool
	// Undead zones are on the wire after they were deleted.
	Undead map[string]bool
	// Hidden says whether a deleted zone is still listed by the control channel.
	Hidden func(name zone.Name) bool
	// Hollow makes copies come without content and without an error.
	Hollow bool
	// ListsPrimaries and AtOnce are the capabilities.
	ListsPrimaries bool
	AtOnce         int
	// Bulk makes it take many adds, and deletions, in one exchange; Before is called
	// for "add all" or "delete all" and then for each of them.
	Bulk bool

	w    *World
	name string
	ID   int64

	mu    sync.Mutex
	zones map[zone.Key]*onServer
	log   []string
}

type onServer struct {
	state   nameserver.ZoneState
	content *zone.Snapshot
	config  nameserver.ZoneConfig
	ghost   bool // deleted for the control channel, still answered
}

func newServer(w *World, s fleet.Server) *Server {
	return &Server{w: w, name: s.Name, ID: s.ID, zones: make(map[zone.Key]*onServer)}
}

// Writes are the operations that changed the server, in order: "add a.example.".
func (s *Server) Writes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// ForgetWrites empties Writes.
func (s *Server) ForgetWrites() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
}

// Has says whether the control channel lists the zone.
func (s *Server) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[Name(name).Key()]
	return z != nil && !z.ghost
}

// Serves is the serial that the zone is answered with; 0 when it is not.
func (s *Server) Serves(name string) zone.Serial {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.zones[Name(name).Key()]; z != nil && z.content != nil {
		return z.content.Serial()
	}
	return 0
}

// Put makes a zone on the server as somebody else would: a loaded primary that
// change may make something else of.
func (s *Server) Put(name string, serial zone.Serial, change ...func(*nameserver.ZoneState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := &onServer{content: Content(name, serial), state: nameserver.ZoneState{Name: Name(name), Role: nameserver.Primary,
		Origin: nameserver.Runtime, Known: true, Detail: "type primary"}}
	for _, f := range change {
		f(&z.state)
	}
	s.zones[Name(name).Key()] = z
}

// Swap gives a zone, if it is there, other content.
func (s *Server) Swap(name string, content *zone.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.zones[Name(name).Key()]; z != nil {
		z.content = content
	}
}

// Alter changes the state of a zone, if it is there.
func (s *Server) Alter(name string, change func(*nameserver.ZoneState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.zones[Name(name).Key()]; z != nil {
		change(&z.state)
	}
}

// Remove takes a zone off as somebody else would.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zones, Name(name).Key())
}

// Transfer fetches a secondary's content from the store, as after NOTIFY.
func (s *Server) Transfer(name zone.Name) {
	if s.Stalled != nil && s.Stalled(name) {
		return
	}
	ctx := context.Background()
	z, err := s.w.Store.Zone(ctx, name)
	if err != nil || z.Deleted != nil {
		return
	}
	snap, _, err := s.w.Store.Snapshot(ctx, z.Edition.ID)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.zones[name.Key()]; have != nil && have.state.Role == nameserver.Secondary {
		have.content = snap
	}
}

// driver is the control channel.
type driver struct{ s *Server }

var _ nameserver.Driver = driver{}

func (d driver) begin(ctx context.Context, op string, name zone.Name) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.s.Before != nil {
		if err := d.s.Before(op, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (d driver) wrote(op string, name zone.Name) {
	d.s.log = append(d.s.log, op+" "+name.String())
}

func (d driver) get(name zone.Name) (*onServer, error) {
	z := d.s.zones[name.Key()]
	if z == nil || z.ghost {
		return nil, fmt.Errorf("zone %s: %w", name, nameserver.ErrNoZone)
	}
	return z, nil
}

func (z *onServer) look() nameserver.ZoneState {
	out := z.state
	if z.content != nil {
		out.Serial = new(z.content.Serial())
	} else {
		out.Expired = true
	}
	return out
}

func (d driver) Info(ctx context.Context) (nameserver.Info, error) {
	return nameserver.Info{Version: "pretend 1"}, d.begin(ctx, "info", "")
}

func (d driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsPrimaries: d.s.ListsPrimaries, ListsSerials: true, AtOnce: d.s.AtOnce}
}

func (d driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	if err := d.begin(ctx, "inventory", ""); err != nil {
		return err
	}
	d.s.mu.Lock()
	var all []nameserver.ZoneState
	for _, z := range d.s.zones {
		if z.ghost {
			continue
		}
		state := z.look()
		if !d.s.ListsPrimaries {
			state.Primaries, state.Known = nil, false
		}
		all = append(all, state)
	}
	d.s.mu.Unlock()
	for _, z := range all {
		if err := yield(z); err != nil {
			return err
		}
	}
	// A list that is cut short: the error comes after a part of it.
	return d.begin(ctx, "inventory end", "")
}

func (d driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	if err := d.begin(ctx, "zone", name); err != nil {
		return nameserver.ZoneState{}, err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	z, err := d.get(name)
	if err != nil {
		return nameserver.ZoneState{}, err
	}
	return z.look(), nil
}

func (d driver) Add(ctx context.Context, c nameserver.ZoneConfig) error {
	if err := d.begin(ctx, "add", c.Name); err != nil {
		return err
	}
	d.s.mu.Lock()
	if z := d.s.zones[c.Name.Key()]; z != nil && !z.ghost {
		d.s.mu.Unlock()
		return nameserver.ErrExists
	}
	d.s.zones[c.Name.Key()] = &onServer{config: c, state: nameserver.ZoneState{Name: c.Name, Role: nameserver.Secondary,
		Origin: nameserver.Runtime, Known: true, Primaries: c.Primaries, Detail: "type secondary"}}
	d.wrote("add", c.Name)
	d.s.mu.Unlock()
	d.s.Transfer(c.Name)
	return nil
}

func (d driver) Change(ctx context.Context, c nameserver.ZoneConfig) error {
	if err := d.begin(ctx, "change", c.Name); err != nil {
		return err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	z, err := d.get(c.Name)
	if err != nil {
		return err
	}
	z.config, z.state.Role, z.state.Primaries, z.state.Known = c, nameserver.Secondary, c.Primaries, true
	d.wrote("change", c.Name)
	return nil
}

func (d driver) Delete(ctx context.Context, name zone.Name) error {
	if err := d.begin(ctx, "delete", name); err != nil {
		return err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	z, err := d.get(name)
	if err != nil {
		return err
	}
	d.wrote("delete", name)
	switch {
	case d.s.Hidden != nil && d.s.Hidden(name):
	case d.s.Undead[name.String()]:
		z.ghost = true
	default:
		delete(d.s.zones, name.Key())
	}
	return nil
}

func (d driver) Retransfer(ctx context.Context, name zone.Name) error {
	if err := d.begin(ctx, "retransfer", name); err != nil {
		return err
	}
	d.s.mu.Lock()
	_, err := d.get(name)
	if err == nil {
		d.wrote("retransfer", name)
	}
	d.s.mu.Unlock()
	if err == nil {
		d.s.Transfer(name)
	}
	return err
}

func (d driver) Export(ctx context.Context, name zone.Name) (nameserver.Export, error) {
	if err := d.begin(ctx, "export", name); err != nil {
		return nameserver.Export{}, err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	z, err := d.get(name)
	if err != nil {
		return nameserver.Export{}, err
	}
	if d.s.Hollow {
		return nameserver.Export{Settings: string(z.state.Role)}, nil
	}
	if z.content == nil {
		return nameserver.Export{}, nameserver.ErrNoCopy
	}
	return nameserver.Export{Settings: string(z.state.Role), Content: z.content}, nil
}

func (d driver) Convert(ctx context.Context, name zone.Name, settings string) error {
	if err := d.begin(ctx, "convert", name); err != nil {
		return err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	z, err := d.get(name)
	if err != nil {
		return err
	}
	z.state.Role = nameserver.Role(settings)
	if z.state.Role == nameserver.Primary {
		z.state.Primaries = nil
	}
	d.wrote("convert", name)
	return nil
}

// bulkDriver is one that takes many adds, and deletions, in one exchange.
type bulkDriver struct{ driver }

var (
	_ nameserver.BulkAdder   = bulkDriver{}
	_ nameserver.BulkDeleter = bulkDriver{}
)

func (d bulkDriver) AddAll(ctx context.Context, zones []nameserver.ZoneConfig) []error {
	errs := make([]error, len(zones))
	failed := d.begin(ctx, "add all", "")
	for i, z := range zones {
		if errs[i] = failed; failed == nil {
			errs[i] = d.Add(ctx, z)
		}
	}
	return errs
}

func (d bulkDriver) DeleteAll(ctx context.Context, zones []nameserver.ZoneState) []error {
	errs := make([]error, len(zones))
	failed := d.begin(ctx, "delete all", "")
	for i, z := range zones {
		if errs[i] = failed; failed == nil {
			errs[i] = d.Delete(ctx, z.Name)
		}
	}
	return errs
}

func (d driver) Close() error { return nil }

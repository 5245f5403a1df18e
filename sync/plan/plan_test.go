package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

var (
	primary = nameserver.PrimaryRef{Addr: netip.MustParseAddrPort("127.0.0.1:5300"), Key: zone.MustParseName("eu.")}
	pool    = fleet.Pool{ID: 1, Name: "eu", Unmanaged: fleet.Delete, Protect: []string{"keep.*"}}
)

func name(s string) zone.Name { return zone.MustParseName(s) }

func wanted(n string, serial zone.Serial) fleet.Wanted {
	return fleet.Wanted{Name: name(n), Kind: fleet.Ordinary, Serial: serial, Pools: []int64{1}, Incarnation: "i"}
}

func serial(s zone.Serial) *zone.Serial { return &s }

func secondary(n string, s zone.Serial) Have {
	return Have{ZoneState: nameserver.ZoneState{Name: name(n), Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: serial(s)},
		Probe: Probe{Asked: true, Serves: true, Serial: s}}
}

func foreign(n string) Have {
	h := secondary(n, 1)
	h.Role, h.Probe = nameserver.Primary, Probe{}
	return h
}

func input() Input {
	return Input{
		Server:     fleet.Server{Name: "ns1", Accepted: true, Pools: []fleet.Pool{pool}, Marker: name("m1.dnsctl.invalid.")},
		Wanted:     []fleet.Wanted{wanted("a.example.", 5)},
		Tombstones: map[zone.Key]fleet.Tombstone{},
		Protected:  map[zone.Key]bool{},
		Marker:     Marker{State: MarkerSound},
		Primaries:  func(fleet.Wanted) []nameserver.PrimaryRef { return []nameserver.PrimaryRef{primary} },
		Ours: func(r []nameserver.PrimaryRef) bool {
			return len(r) > 0 && r[0].Addr == primary.Addr
		},
		CanHold: func(n zone.Name) error {
			if strings.HasPrefix(string(n), "\x01~") {
				return fmt.Errorf("%w: it has a tilde", nameserver.ErrBadName)
			}
			return nil
		},
	}
}

func step(t *testing.T, p Plan, n string) Step {
	t.Helper()
	for _, s := range p.Steps {
		if s.Zone.Equal(name(n)) {
			return s
		}
	}
	t.Fatalf("plan has no step for %s", n)
	return Step{}
}

func TestEachDifferenceGetsItsClassAndAction(t *testing.T) {
	soa := func(refresh uint32) string {
		return zone.SOA{MName: name("ns."), RName: name("h."), Serial: 5, Refresh: refresh}.Rdata()
	}
	tests := []struct {
		name   string
		have   func() []Have
		class  report.Class
		action report.Action
		copy   bool
	}{
		{"agreement", func() []Have { return []Have{secondary("A.example.", 5)} }, report.OK, report.None, false},
		{"not there", func() []Have { return nil }, report.Missing, report.Add, false},
		{"behind", func() []Have { return []Have{secondary("a.example.", 4)} }, report.Behind, report.Retransfer, false},
		{"behind over the wrap", func() []Have { return []Have{secondary("a.example.", 4294967295)} }, report.Behind, report.Retransfer, false},
		{"ahead", func() []Have { return []Have{secondary("a.example.", 6)} }, report.Ahead, report.Retransfer, true},
		{"2^31 away", func() []Have { return []Have{secondary("a.example.", 5+1<<31)} }, report.Ahead, report.Retransfer, true},
		{"other SOA of the same serial", func() []Have {
			h := secondary("a.example.", 5)
			h.Probe.SOA = soa(2)
			return []Have{h}
		}, report.Differs, report.Retransfer, true},
		{"SERVFAIL", func() []Have {
			h := secondary("a.example.", 5)
			h.Probe = Probe{Asked: true, Err: "SERVFAIL"}
			return []Have{h}
		}, report.Expired, report.Retransfer, false},
		{"no answer", func() []Have {
			h := secondary("a.example.", 5)
			h.Probe = Probe{Asked: true, Lost: true, Err: "no answer within 1s"}
			return []Have{h}
		}, report.Unknown, report.None, false},
		{"never loaded", func() []Have {
			h := secondary("a.example.", 5)
			h.Serial, h.Probe = nil, Probe{}
			return []Have{h}
		}, report.Expired, report.Retransfer, false},
		{"other primaries", func() []Have {
			h := secondary("a.example.", 5)
			h.Known, h.Primaries = true, []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}
			return []Have{h}
		}, report.Misconfigured, report.Change, true},
		{"other primaries, nothing transferred yet", func() []Have {
			h := secondary("a.example.", 5)
			h.Known, h.Primaries, h.Serial, h.Probe = true, []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}, nil, Probe{}
			return []Have{h}
		}, report.Misconfigured, report.Change, false},
		{"without our key, ahead", func() []Have {
			h := secondary("a.example.", 6)
			h.Known, h.Primaries = true, []nameserver.PrimaryRef{{Addr: primary.Addr}}
			return []Have{h}
		}, report.Misconfigured, report.Change, true},
		{"without our key", func() []Have {
			h := secondary("a.example.", 5)
			h.Known, h.Primaries = true, []nameserver.PrimaryRef{{Addr: primary.Addr}}
			return []Have{h}
		}, report.Misconfigured, report.Change, false},
		{"primary there", func() []Have { return []Have{foreign("a.example.")} }, report.Misconfigured, report.Change, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input()
			in.Wanted[0].SOA = soa(1)
			in.Have = tt.have()
			s := step(t, Make(in), "a.example.")
			if s.Class != tt.class || s.Action != tt.action || s.Copy != tt.copy {
				t.Errorf("got %s/%s copy %v (%s), want %s/%s copy %v", s.Class, s.Action, s.Copy, s.Reason, tt.class, tt.action, tt.copy)
			}
			want := report.Planned
			if tt.action == report.None {
				want = ""
			}
			if s.Outcome != want {
				t.Errorf("outcome %q (%s), want %q", s.Outcome, s.Reason, want)
			}
		})
	}
}

func TestEachGuardWithholdsWhatItIsFor(t *testing.T) {
	agree := secondary("a.example.", 5)
	two := 2
	tests := []struct {
		name    string
		change  func(*Input)
		zone    string
		class   report.Class
		outcome report.Outcome
		guard   string
	}{
		{"nothing withholds a foreign zone's deletion", func(*Input) {}, "f.example.", report.Foreign, report.Planned, ""},
		{"marker of another store", func(in *Input) { in.Marker = Marker{State: MarkerWrong, Reason: "another store's"} }, "f.example.", report.Foreign, report.Withheld, GuardMarker},
		{"a doubt about the marker withholds", func(in *Input) { in.Marker = Marker{} }, "f.example.", report.Foreign, report.Withheld, GuardMarker},
		{"wrong marker withholds adds", func(in *Input) {
			in.Marker = Marker{State: MarkerWrong, Reason: "x"}
			in.Wanted = append(in.Wanted, wanted("n.example.", 1))
		}, "n.example.", report.Missing, report.Withheld, GuardMarker},
		{"missing marker withholds deletions", func(in *Input) { in.Marker = Marker{State: MarkerMissing, Reason: "none"} }, "f.example.", report.Foreign, report.Withheld, GuardMarker},
		{"missing marker lets adds through", func(in *Input) {
			in.Marker = Marker{State: MarkerMissing, Reason: "none"}
			in.Wanted = append(in.Wanted, wanted("n.example.", 1))
		}, "n.example.", report.Missing, report.Planned, ""},
		{"a server that awaits its bootstrap gets its marker first", func(in *Input) {
			in.Marker, in.Server.State = Marker{State: MarkerMissing, Reason: "none"}, fleet.Joining
			in.Wanted, in.Have = append(in.Wanted, wanted("n.example.", 1)), nil
		}, "n.example.", report.Missing, report.Withheld, GuardMarker},
		{"one that had zones before gets others", func(in *Input) {
			in.Marker, in.Server.State = Marker{State: MarkerMissing, Reason: "none"}, fleet.Joining
			in.Wanted = append(in.Wanted, wanted("n.example.", 1))
		}, "n.example.", report.Missing, report.Planned, ""},
		{"so does one whose zones are in agreement", func(in *Input) {
			in.Marker, in.Server.State = Marker{State: MarkerMissing, Reason: "none"}, fleet.Joining
			in.Wanted, in.Have, in.Agreed = append(in.Wanted, wanted("n.example.", 1)), nil, 1
		}, "n.example.", report.Missing, report.Planned, ""},
		{"of some zones nobody knows whether it is", func(in *Input) {
			in.Marker, in.Server.State, in.Partial = Marker{State: MarkerMissing, Reason: "none"}, fleet.Joining, true
			in.Wanted = append(in.Wanted, wanted("n.example.", 1))
		}, "n.example.", report.Missing, report.Withheld, GuardMarker},
		{"empty wanted list", func(in *Input) { in.Wanted = nil }, "f.example.", report.Foreign, report.Withheld, GuardEmpty},
		{"empty wanted list that is meant", func(in *Input) { in.Wanted, in.Options.AllowEmpty = nil, true }, "f.example.", report.Foreign, report.Planned, ""},
		{"empty wanted list keeps stale zones too", func(in *Input) {
			in.Wanted = nil
			in.Tombstones[name("f.example.").Key()] = fleet.Tombstone{Name: name("f.example.")}
		}, "f.example.", report.Stale, report.Withheld, GuardEmpty},
		{"past the limit of a day", func(in *Input) { in.ForeignDeleted = 10 }, "f.example.", report.Foreign, report.Withheld, GuardLimit},
		{"wrong --max-delete", func(in *Input) { in.Options.MaxDelete = &two }, "f.example.", report.Foreign, report.Withheld, GuardLimit},
		{"limit does not hold back stale zones", func(in *Input) {
			in.ForeignDeleted = 10
			in.Tombstones[name("f.example.").Key()] = fleet.Tombstone{Name: name("f.example."), Kept: true}
		}, "f.example.", report.Stale, report.Planned, ""},
		{"server not accepted", func(in *Input) { in.Server.Accepted = false }, "f.example.", report.Foreign, report.Withheld, GuardAccept},
		{"server not accepted: --max-delete does not lift it", func(in *Input) {
			one := 1
			in.Server.Accepted, in.Options.MaxDelete = false, &one
		}, "f.example.", report.Foreign, report.Withheld, GuardAccept},
		{"policy warn", func(in *Input) { in.Server.Pools[0].Unmanaged = fleet.Warn }, "f.example.", report.Foreign, "", ""},
		{"policy made milder", func(in *Input) { in.Options.Unmanaged = fleet.Warn }, "f.example.", report.Foreign, "", ""},
		{"policy is never made stricter", func(in *Input) {
			in.Server.Pools[0].Unmanaged, in.Options.Unmanaged = fleet.Ignore, fleet.Delete
		}, "f.example.", report.Foreign, "", ""},
		{"mildest of two pools", func(in *Input) {
			in.Server.Pools = append(in.Server.Pools, fleet.Pool{ID: 2, Unmanaged: fleet.Warn})
		}, "f.example.", report.Foreign, "", ""},
		{"declared", func(in *Input) { in.Have[1].Origin = nameserver.Declared }, "f.example.", report.Foreign, report.Withheld, GuardNever},
		{"catalog member", func(in *Input) { in.Have[1].Origin = nameserver.Cataloged }, "f.example.", report.Foreign, report.Withheld, GuardNever},
		{"signed there", func(in *Input) { in.Have[1].Signs = true }, "f.example.", report.Foreign, report.Withheld, GuardNever},
		{"protect glob", func(in *Input) { in.Have[1].Name = name("keep.f.example.") }, "keep.f.example.", report.Foreign, report.Withheld, GuardNever},
		{"protect glob of a stale zone", func(in *Input) {
			in.Have[1].Name = name("keep.f.example.")
			in.Tombstones[name("keep.f.example.").Key()] = fleet.Tombstone{}
		}, "keep.f.example.", report.Stale, report.Withheld, GuardNever},
		{"root", func(in *Input) { in.Have[1].Name = zone.Root }, ".", report.Foreign, report.Withheld, GuardNever},
		{"restored copy", func(in *Input) { in.Protected[name("f.example.").Key()] = true }, "f.example.", report.Foreign, "", ""},
		{"our primaries, unknown here", func(in *Input) {
			in.Have[1].Role, in.Have[1].Known, in.Have[1].Primaries = nameserver.Secondary, true, []nameserver.PrimaryRef{primary}
		}, "f.example.", report.Foreign, report.Withheld, GuardNever},
		{"built in", func(in *Input) { in.Have[1].Role, in.Have[1].Origin = nameserver.Other, nameserver.Builtin }, "f.example.", report.OK, "", ""},
		{"somebody's marker", func(in *Input) { in.Have[1].Name = name("x.dnsctl.invalid.") }, "x.dnsctl.invalid.", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input()
			in.Server.Pools = []fleet.Pool{pool}
			in.Have = []Have{agree, foreign("f.example.")}
			tt.change(&in)
			s := step(t, Make(in), tt.zone)
			if s.Class != tt.class || s.Outcome != tt.outcome || s.Guard != tt.guard {
				t.Errorf("got class %s outcome %q guard %q (%s), want %s %q %q", s.Class, s.Outcome, s.Guard, s.Reason, tt.class, tt.outcome, tt.guard)
			}
			if s.Class == report.Foreign && s.Outcome == report.Planned && !s.Copy {
				t.Error("a foreign zone would be deleted without a copy")
			}
		})
	}
}

func TestForeignLimitIsTenOrFivePercent(t *testing.T) {
	for _, tt := range []struct {
		agreeing, foreign, yesterday int
		withheld                     bool
	}{
		{1, 10, 0, false}, {1, 11, 0, true}, {1, 5, 5, false}, {1, 5, 6, true},
		{989, 50, 0, false}, {939, 52, 0, true}, {940, 50, 0, true},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			in := input()
			in.Wanted = nil
			for i := range tt.agreeing {
				n := fmt.Sprintf("z%d.example.", i)
				in.Wanted = append(in.Wanted, wanted(n, 1))
				in.Have = append(in.Have, secondary(n, 1))
			}
			for i := range tt.foreign {
				in.Have = append(in.Have, foreign(fmt.Sprintf("f%d.example.", i)))
			}
			in.ForeignDeleted = tt.yesterday
			held := step(t, Make(in), "f0.example.").Guard == GuardLimit
			if held != tt.withheld {
				t.Errorf("withheld %v, want %v", held, tt.withheld)
			}
		})
	}
}

func TestStaleZoneIsItsOwnCopyWhileItsContentIsKept(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Have, *fleet.Tombstone)
		copy   bool
	}{
		{"kept", func(*Have, *fleet.Tombstone) {}, false},
		{"purged", func(_ *Have, t *fleet.Tombstone) { t.Kept = false }, true},
		{"made a primary there since", func(h *Have, _ *fleet.Tombstone) { h.Role = nameserver.Primary }, true},
		{"transferred from others since", func(h *Have, _ *fleet.Tombstone) {
			h.Known, h.Primaries = true, []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}
		}, true},
		{"past the last serial", func(h *Have, _ *fleet.Tombstone) { h.Serial = serial(8) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input()
			old := secondary("old.example.", 7)
			old.Known, old.Primaries = true, []nameserver.PrimaryRef{primary}
			tomb := fleet.Tombstone{Name: old.Name, LastSerial: 7, Kept: true, Deleted: time.Unix(0, 0)}
			tt.change(&old, &tomb)
			in.Have = []Have{secondary("a.example.", 5), old}
			in.Tombstones[old.Name.Key()] = tomb
			if s := step(t, Make(in), "old.example."); s.Copy != tt.copy || s.Action != report.Delete || s.Outcome != report.Planned {
				t.Errorf("copy %v, %s %s; want copy %v", s.Copy, s.Action, s.Outcome, tt.copy)
			}
		})
	}
}

func TestChangesOfWhatIsNotOursToChangeAreWithheld(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Have)
	}{
		{"signed there", func(h *Have) { h.Signs = true }},
		{"declared", func(h *Have) { h.Origin = nameserver.Declared }},
		{"catalog member", func(h *Have) { h.Origin = nameserver.Cataloged }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := input()
			h := foreign("a.example.")
			tt.change(&h)
			in.Have = []Have{h}
			if s := step(t, Make(in), "a.example."); s.Action != report.Change || s.Outcome != report.Withheld || s.Guard != GuardNever {
				t.Errorf("%s %s by %q", s.Action, s.Outcome, s.Guard)
			}
		})
	}
	in := input()
	h := secondary("a.example.", 4)
	h.Signs = true
	in.Have = []Have{h}
	if s := step(t, Make(in), "a.example."); s.Action != report.Retransfer || s.Outcome != report.Withheld || s.Guard != GuardNever {
		t.Errorf("retransfer of what is signed there: %s %s by %q", s.Action, s.Outcome, s.Guard)
	}
}

// The catalog that a server consumes is no zone of its own, whoever added it.
func TestCatalogsHaveNoClass(t *testing.T) {
	in := input()
	in.Server.Pools = append(in.Server.Pools, fleet.Pool{ID: 2, Unmanaged: fleet.Delete, Catalog: name("cat.example.")})
	in.Have = []Have{foreign("Cat.example."), foreign("other.example.")}
	if s := step(t, Make(in), "cat.example."); s.Class != "" || s.Action != report.None || !slices.Equal(s.Attributes, []string{report.MarkerZone}) {
		t.Errorf("%q %s %q", s.Class, s.Action, s.Attributes)
	}
	if s := step(t, Make(in), "other.example."); s.Action != report.Delete {
		t.Errorf("%s", s.Action)
	}
}

func TestWhatAMarkerWithholdsIsSaidOfTheServer(t *testing.T) {
	for state, allowed := range map[MarkerState][]report.Action{MarkerMissing: {report.Add}, MarkerWrong: nil, "": nil} {
		in := input()
		in.Marker = Marker{State: state, Reason: "none"}
		if p := Make(in); p.Withheld != "none" || !slices.Equal(p.Allowed, allowed) {
			t.Errorf("%q: withheld %q but %v", state, p.Withheld, p.Allowed)
		}
	}
	in := input()
	if p := Make(in); p.Withheld != "" {
		t.Errorf("withheld %q", p.Withheld)
	}
}

func TestStepsStandInCanonicalOrder(t *testing.T) {
	in := input()
	in.Wanted = []fleet.Wanted{wanted("example.", 1), wanted("a.example.", 1), wanted("z.example.", 1)}
	in.Have = []Have{foreign("m.example."), foreign("aa.example.")}
	var got []string
	for _, s := range Make(in).Steps {
		got = append(got, s.Zone.String())
	}
	want := []string{"example.", "a.example.", "aa.example.", "m.example.", "z.example."}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestNameThatTheServerCannotHaveIsMissingAndNotAdded(t *testing.T) {
	t.Parallel()
	in := input()
	in.Wanted = append(in.Wanted, wanted("~.example.", 5))
	st := step(t, Make(in), "~.example.")
	if st.Class != report.Missing || st.Action != report.None || st.Outcome != "" || !strings.Contains(st.Reason, "tilde") || !st.Hopeless() {
		t.Errorf("%+v", st.Item)
	}
}

package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// varied needs one step of each kind.
func varied() Input {
	in := input()
	in.Marker.Pos = 40
	in.Wanted = []fleet.Wanted{wanted("new.example.", 5), wanted("old.example.", 5), wanted("past.example.", 5), wanted("wrong.example.", 5)}
	wrong := secondary("wrong.example.", 5)
	wrong.Known, wrong.Primaries = true, []nameserver.PrimaryRef{{Addr: primary.Addr}}
	gone := secondary("gone.example.", 3)
	gone.Probe = Probe{}
	in.Have = []Have{secondary("old.example.", 4), secondary("past.example.", 9), wrong, gone, foreign("f.example.")}
	in.Tombstones[name("gone.example.").Key()] = fleet.Tombstone{Name: name("gone.example."), Incarnation: "t", LastSerial: 3, Kept: true}
	return in
}

// document is a plan file of one server, as it is read back.
func document(t testing.TB, in Input) Document {
	t.Helper()
	doc := Document{Schema: DocumentSchema, Store: "s", Epoch: 1, Position: 41, Entry: "e", Made: time.Unix(1, 0).UTC(), By: report.Actor{User: "root"},
		Servers: []Named{Name(in, Make(in))}}
	var b bytes.Buffer
	if err := doc.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := ReadDocument(&b)
	if err != nil || !reflect.DeepEqual(back, doc) {
		t.Fatalf("read back as %+v, %v, from %+v", back, err, doc)
	}
	return back
}

func TestPlanFileNamesWhatWouldBeDone(t *testing.T) {
	got := map[string]report.Action{}
	n := document(t, varied()).Servers[0]
	for _, st := range n.Steps {
		got[st.Zone.String()] = st.Action
	}
	want := map[string]report.Action{"new.example.": report.Add, "old.example.": report.Retransfer, "past.example.": report.Retransfer,
		"wrong.example.": report.Change, "gone.example.": report.Delete, "f.example.": report.Delete}
	if !reflect.DeepEqual(got, want) || *n.ApprovedDeletions != 2 {
		t.Errorf("steps %v, %d deletions", got, *n.ApprovedDeletions)
	}
	in := varied()
	in.Marker = Marker{State: MarkerWrong}
	if n := document(t, in).Servers[0]; len(n.Steps) != 0 {
		t.Errorf("withheld steps are in the file: %+v", n.Steps)
	}
}

func TestNamedStepHoldsAsFarAsWhatItRestsOn(t *testing.T) {
	at := func(in *Input, n string) *Have {
		for i := range in.Have {
			if in.Have[i].Name.Equal(name(n)) {
				return &in.Have[i]
			}
		}
		return nil
	}
	without := func(in *Input, n string) {
		var keep []Have
		for _, h := range in.Have {
			if !h.Name.Equal(name(n)) {
				keep = append(keep, h)
			}
		}
		in.Have = keep
	}
	row := func(in *Input, n string) *fleet.Wanted {
		for i := range in.Wanted {
			if in.Wanted[i].Name.Equal(name(n)) {
				return &in.Wanted[i]
			}
		}
		return nil
	}
	tests := []struct {
		name    string
		set     func(in *Input)
		zone    string
		outcome report.Outcome
		reason  string
	}{
		{"nothing has changed", func(*Input) {}, "new.example.", report.Planned, ""},
		{"the zone was edited", func(in *Input) { row(in, "new.example.").Serial = 6 }, "new.example.", report.Planned, ""},
		{"the database went back", func(in *Input) { row(in, "new.example.").Serial = 4 }, "new.example.", report.Dropped, "went back from 5 to 4"},
		{"the zone was made again", func(in *Input) { row(in, "new.example.").Incarnation = "j" }, "new.example.", report.Dropped, "created again"},
		{"the zone was deleted", func(in *Input) { in.Wanted = in.Wanted[1:] }, "new.example.", report.Dropped, "deleted from the database"},
		{"somebody made the zone there", func(in *Input) { in.Have = append(in.Have, foreign("new.example.")) }, "new.example.", report.Dropped, "it is on the server now"},
		{"it was added already", func(in *Input) { in.Have = append(in.Have, secondary("new.example.", 5)) }, "new.example.", report.Done, "already"},
		{"it was added, and is behind", func(in *Input) { in.Have = append(in.Have, secondary("new.example.", 4)) }, "new.example.", report.Dropped, "on the server now"},
		{"the marker went back", func(in *Input) { in.Marker.Pos = 39 }, "new.example.", report.Dropped, "went back from position 40"},
		{"another store's marker", func(in *Input) { in.Marker = Marker{State: MarkerWrong, Reason: "x"} }, "new.example.", report.Withheld, "x"},
		{"it came closer by itself", func(in *Input) { at(in, "old.example.").Probe.Serial = 3 }, "old.example.", report.Planned, ""},
		{"it is ahead now", func(in *Input) { at(in, "old.example.").Probe.Serial = 8 }, "old.example.", report.Dropped, "8 now, not 4"},
		{"it went from the server", func(in *Input) { without(in, "old.example.") }, "old.example.", report.Dropped, "not on the server any more"},
		{"content that nobody has seen", func(in *Input) { at(in, "past.example.").Probe.Serial = 10 }, "past.example.", report.Dropped, "10 now, not 9"},
		{"somebody changed its primaries", func(in *Input) { at(in, "wrong.example.").Primaries[0].Key = "\x01k\x00" }, "wrong.example.", report.Dropped, "transfers from"},
		{"somebody took TLS from it", func(in *Input) { at(in, "wrong.example.").Primaries[0].TLS = "dnsctl-main" }, "wrong.example.", report.Dropped, "over TLS as dnsctl-main"},
		{"it is declared now", func(in *Input) { at(in, "f.example.").Origin = nameserver.Declared }, "f.example.", report.Dropped, "origin on the server is declared now"},
		{"its content changed", func(in *Input) { at(in, "f.example.").Serial = serial(2) }, "f.example.", report.Dropped, "serial on the server is 2 now"},
		{"it is wanted now", func(in *Input) { in.Wanted = append(in.Wanted, wanted("f.example.", 1)) }, "f.example.", report.Dropped, "wants it on this server now"},
		{"it is gone", func(in *Input) { without(in, "f.example.") }, "f.example.", report.Done, "gone already"},
		{"it was ours meanwhile", func(in *Input) {
			in.Tombstones[name("f.example.").Key()] = fleet.Tombstone{Name: name("f.example."), Incarnation: "x", LastSerial: 1}
		}, "f.example.", report.Dropped, "in the database since"},
		{"the policy is milder now", func(in *Input) { in.Options.Unmanaged = fleet.Warn }, "f.example.", report.Dropped, "policy for unmanaged zones is warn"},
		{"the pool protects it now", func(in *Input) {
			in.Server.Pools = []fleet.Pool{{ID: 1, Unmanaged: fleet.Delete, Protect: []string{"f.*"}}}
		}, "f.example.", report.Withheld, "glob"},
		{"the server is not accepted now", func(in *Input) { in.Server.Accepted = false }, "f.example.", report.Withheld, "server accept"},
		{"another tombstone", func(in *Input) {
			in.Tombstones[name("gone.example.").Key()] = fleet.Tombstone{Name: name("gone.example."), Incarnation: "u", LastSerial: 3}
		}, "gone.example.", report.Dropped, "created again"},
		{"the list is empty now", func(in *Input) { in.Wanted = nil }, "gone.example.", report.Withheld, "--allow-empty"},
		{"a zone that the plan does not name", func(in *Input) { in.Wanted = append(in.Wanted, wanted("more.example.", 1)) }, "more.example.", "", ""},
		{"a foreign zone that the plan does not name", func(in *Input) { in.Have = append(in.Have, foreign("g.example.")) }, "g.example.", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := document(t, varied()).Servers[0]
			in := varied()
			tt.set(&in)
			in.Named = &n
			st := step(t, Make(in), tt.zone)
			if st.Outcome != tt.outcome || !strings.Contains(st.Reason, tt.reason) {
				t.Errorf("%s %q: %s; want %q: %s", st.Action, st.Outcome, st.Reason, tt.outcome, tt.reason)
			}
		})
	}
}

func TestPlanLiftsTheLimitForJustWhatItNames(t *testing.T) {
	in := input()
	in.Have = []Have{secondary("a.example.", 5)}
	for i := range 30 {
		in.Have = append(in.Have, foreign(fmt.Sprintf("f%d.example.", i)))
	}
	if st := step(t, Make(in), "f0.example."); st.Guard != GuardLimit {
		t.Fatalf("%s by %q", st.Outcome, st.Guard)
	}
	in.Options.NoLimit = true
	n := document(t, in).Servers[0]
	in.Have = append(in.Have, foreign("g.example."))
	in.Named = &n
	p := Make(in)
	if f, g := step(t, p, "f29.example."), step(t, p, "g.example."); f.Outcome != report.Planned || g.Action != report.None {
		t.Errorf("a named one is %s, another one would get %q", f.Outcome, g.Action)
	}
	in.Options.NoLimit = false // what an unapproved plan means
	if st := step(t, Make(in), "f0.example."); st.Guard != GuardLimit {
		t.Errorf("unapproved: %s by %q", st.Outcome, st.Guard)
	}
}

func TestPlanFilesThatDnsctlNeverWritesAreRefused(t *testing.T) {
	good := func() Document { return document(t, varied()) }
	edit := func(zone string, change func(*NamedStep)) func(*Document) {
		return func(d *Document) {
			for i := range d.Servers[0].Steps {
				if d.Servers[0].Steps[i].Zone.Equal(name(zone)) {
					change(&d.Servers[0].Steps[i])
				}
			}
		}
	}
	for what, change := range map[string]func(*Document){
		"schema is":          func(d *Document) { d.Schema = "dnsctl/plan/v2" },
		"which store":        func(d *Document) { d.Epoch = 0 },
		"list of servers":    func(d *Document) { d.Servers = nil },
		"named twice":        func(d *Document) { d.Servers = append(d.Servers, d.Servers[0]) },
		"is no marker":       func(d *Document) { d.Servers[0].Marker.Zone = name("a.example.") },
		"list of steps":      func(d *Document) { d.Servers[0].Steps = nil },
		"approved":           func(d *Document) { *d.Servers[0].ApprovedDeletions = 3 },
		"is named twice":     func(d *Document) { d.Servers[0].Steps = append(d.Servers[0].Steps, d.Servers[0].Steps[0]) },
		"no plan is about":   edit("new.example.", func(n *NamedStep) { n.Zone = name("x.dnsctl.invalid.") }),
		"does \"delete\" to": edit("new.example.", func(n *NamedStep) { n.Action = report.Delete }),
		"that is \"ok\"":     edit("old.example.", func(n *NamedStep) { n.Class = report.OK }),
		"wanted true":        edit("f.example.", func(n *NamedStep) { n.Database.Wanted = true }),
		"incomplete":         edit("new.example.", func(n *NamedStep) { n.Database.Incarnation = "" }),
		"contradicts itself": edit("f.example.", func(n *NamedStep) { n.Database.Serial = serial(1) }),
		"there true":         edit("new.example.", func(n *NamedStep) { n.Nameserver.There = true }),
		"of role \"other\"":  edit("f.example.", func(n *NamedStep) { n.Nameserver.Role = nameserver.Other }),
		"origin \"builtin\"": edit("f.example.", func(n *NamedStep) { n.Nameserver.Origin = nameserver.Builtin }),
		"origin \"catalog\"": edit("wrong.example.", func(n *NamedStep) { n.Nameserver.Origin = nameserver.Cataloged }),
		"no origin \"moon\"": edit("old.example.", func(n *NamedStep) { n.Nameserver.Origin = "moon" }),
		"root zone":          edit("f.example.", func(n *NamedStep) { n.Zone = zone.Root }),
	} {
		d := good()
		change(&d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ReadDocument(bytes.NewReader(text))
		exit, hint := report.ExitOf(err)
		if !errors.Is(err, ErrDocument) || exit != report.ExitUsage || hint == "" || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v, exit %d", what, err, exit)
		}
	}
	if !testing.Short() { // it takes long under the race detector
		if _, err := ReadDocument(io.MultiReader(strings.NewReader("{"), strings.NewReader(strings.Repeat(" ", MaxDocument)))); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("a file without end: %v", err)
		}
	}
	var whole bytes.Buffer
	if err := good().Write(&whole); err != nil {
		t.Fatal(err)
	}
	text := whole.String()
	for what, bad := range map[string]string{
		"it is empty":       "",
		"cut short":         text[:len(text)/2],
		"no JSON":           "plan",
		"behind its end":    text + "{}",
		"unknown field":     strings.Replace(text, `"epoch"`, `"epoc"`, 1),
		"step 1: zone":      strings.Replace(text, `"new.example."`, `""`, 1),
		"cannot unmarshal":  strings.Replace(text, `"position": 41`, `"position": "41"`, 1),
		"more than 63":      strings.Replace(text, `"new.example."`, `"`+strings.Repeat("x", 64)+`.example."`, 1),
		"into Go struct":    strings.Replace(text, `"serial": 9`, `"serial": 4294967296`, 1),
		"it has no list of": `{"schema":"dnsctl/plan/v1","store":"s","epoch":1,"made":"2026-01-01T00:00:00Z","servers":[{"name":"a","marker":{"zone":"x.dnsctl.invalid."}}]}`,
	} {
		if _, err := ReadDocument(strings.NewReader(bad)); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzPlanFile(f *testing.F) {
	var b bytes.Buffer
	if err := document(f, varied()).Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"schema":"dnsctl/plan/v1","store":"s","epoch":1,"made":"2026-01-01T00:00:00Z","servers":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := ReadDocument(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Fatalf("error %v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := doc.Write(&b); err != nil {
			t.Fatal(err)
		}
		back, err := ReadDocument(&b)
		if err != nil || !reflect.DeepEqual(back, doc) {
			t.Fatalf("read back as %+v, %v, from %+v", back, err, doc)
		}
		for i := range doc.Servers {
			in := varied()
			in.Named = &doc.Servers[i]
			for _, st := range Make(in).Steps {
				if st.Action == report.Delete && st.Outcome == report.Planned && st.Wanted != nil {
					t.Fatalf("a wanted zone would be deleted: %+v", st)
				}
			}
		}
	})
}

package nsd

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// feed gives a text to a reader of lines.
func feed(text string, line func(string) error) error {
	for l := range strings.Lines(text) {
		if err := line(strings.TrimSuffix(l, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// readStatus reads an answer to zonestatus.
func readStatus(text string) (list []nameserver.ZoneState, err error) {
	r := statusReader{yield: func(s status) error {
		z, err := s.zoneState()
		list = append(list, z)
		return err
	}}
	if err = feed(text, r.line); err == nil {
		err = r.end()
	}
	return list, err
}

const (
	ours    = "\tpattern: dnsctl/192.0.2.1@5300/eu.\n"
	serials = "\tserved-serial: \"7 since 2026-11-30T08:59:56\"\n\tcommit-serial: \"7 since 2026-11-30T08:59:56\"\n"
	none    = "\tserved-serial: none\n\tcommit-serial: none\n"
)

func TestZonestatusIsRead(t *testing.T) {
	t.Parallel()
	refs := []nameserver.PrimaryRef{{Addr: mustAddr("192.0.2.1:5300"), Key: zone.MustParseName("eu.")}}
	seven := new(zone.Serial(7))
	for what, c := range map[string]struct {
		text string
		want nameserver.ZoneState
	}{
		"ours": {"zone:\tA.Example\n" + ours + "\tstate: ok\n" + serials + "\twait: \"3516 sec between attempts\"\n",
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Primaries: refs, Known: true}},
		"being transferred": {"zone:\ta.example\n" + ours + "\tstate: refreshing\n" + serials + "\tnotified-serial: \"8 since x\"\n\ttransfer: \"TCP connected to 192.0.2.1\"\n",
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Primaries: refs, Known: true}},
		// It still shows the serial that it had, and is answered with SERVFAIL.
		"expired": {"zone:\ta.example\n" + ours + "\tstate: expired\n" + serials,
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Expired: true, Primaries: refs, Known: true}},
		"not loaded, as far as it says": {"zone:\ta.example\n" + ours + "\tstate: refreshing\n" + none,
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Primaries: refs, Known: true}},
		"an operator's secondary": {"zone:\ta.example\n\tpattern: theirs\n\tstate: ok\n" + serials,
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Known: true}},
		"ours, hidden": {"zone:\ta.example\n\tpattern: dnsctl-limited/192.0.2.1@5300/eu.\n\tstate: ok\n" + serials,
			nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Known: true}},
		"declared":           {"zone:\ta.example\n\tstate: ok\n" + serials, nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Declared, Serial: seven, Known: true}},
		"a primary":          {"zone:\ta.example\n\tpattern: own\n\tnotify: \"send 192.0.2.7 with serial 4\"\n\tstate: master\n", nameserver.ZoneState{Role: nameserver.Primary, Origin: nameserver.Runtime}},
		"a catalog":          {"zone:\ta.example\n\tpattern: own\n\tcatalog: consumer (serial: 7, # members: 2)\n\tstate: ok\n" + serials, nameserver.ZoneState{Role: nameserver.Other, Origin: nameserver.Runtime, Serial: seven}},
		"a catalog's member": {"zone:\ta.example\n\tpattern: own\n\tcatalog-member-id: \"x.zones.catalog.example.\"\n\tstate: master\n", nameserver.ZoneState{Role: nameserver.Primary, Origin: nameserver.Cataloged}},
		// As NSD 4.12 prints them.
		"an invalid catalog":       {"zone:\tA.Example\n\tpattern: dnsctl-catalog/192.0.2.1@5300/eu.\n\tcatalog: consumer\n\tcatalog-invalid: missing version.a.example. TXT RR\n\tstate: refreshing\n" + none, nameserver.ZoneState{Role: nameserver.Other, Origin: nameserver.Runtime, Primaries: refs, Known: true}},
		"a catalog's member, ours": {"zone:\ta.example\n" + ours + "\tcatalog-member-id: qg0kb1.zones.catalog.example.\n\tstate: ok\n" + serials + "\twait: \"7199 sec between attempts\"\n", nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Cataloged, Serial: seven, Primaries: refs, Known: true}},
		"a member of a group":      {"zone:\ta.example\n\tpattern: open\n\tcatalog-member-id: qg0kb1.zones.catalog.example.\n\tstate: ok\n" + serials, nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Cataloged, Serial: seven}},
		"served before it is read": {"zone:\ta.example\n" + ours + "\tstate: old-serial\n" + serials, nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Primaries: refs, Known: true}},
		"served after":             {"zone:\ta.example\n" + ours + "\tstate: future-serial\n" + serials, nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Primaries: refs, Known: true}},
		"what it says of new":      {"zone:\ta.example\n" + ours + "\tstate: ok\n" + serials + "\tof-the-future: yes\n", nameserver.ZoneState{Role: nameserver.Secondary, Origin: nameserver.Runtime, Serial: seven, Primaries: refs, Known: true}},
	} {
		list, err := readStatus(c.text)
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", what, list, err)
			continue
		}
		got := list[0]
		if got.Detail == "" || got.Name != zone.MustParseName("a.example.") {
			t.Errorf("%s: %+v", what, got)
		}
		if got.Role != c.want.Role || got.Origin != c.want.Origin || got.Expired != c.want.Expired || got.Known != c.want.Known ||
			!slices.Equal(got.Primaries, c.want.Primaries) || (got.Serial == nil) != (c.want.Serial == nil) || got.Serial != nil && *got.Serial != *c.want.Serial {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
}

// TestHalfAnswersOfZonestatusAreErrors cuts a good answer off at every octet: the
// channel adds that the last line is whole.
func TestHalfAnswersOfZonestatusAreErrors(t *testing.T) {
	t.Parallel()
	block := "zone:\ta.example\n" + ours + "\tstate: ok\n" + serials
	whole := block + block
	for n := range len(whole) {
		if n == len(block) || !strings.HasSuffix(whole[:n], "\n") || n == 0 {
			continue
		}
		if list, err := readStatus(whole[:n]); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("after %q: %v, %v", whole[:n], list, err)
		}
	}
	for _, text := range []string{"\tstate: ok\n", "zone:\t\n\tstate: master\n", "zone:\ta.example\n\tstate: odd\n" + serials, "hello\n",
		"zone:\ta.example\n" + ours + "\tstate: ok\n\tserved-serial: \"x\"\n\tcommit-serial: none\n", "zone:\ta..example\n\tstate: master\n"} {
		if list, err := readStatus(text); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
	if _, err := readStatus("error zone none.test not configured\n"); !errors.Is(err, nameserver.ErrNoZone) {
		t.Error(err)
	}
}

// Newer ones count each kind under its old name as well.
func TestZonesAreCounted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"zone.master=1 zone.slave=2": 3, "num.queries=4 zone.primary=1 zone.secondary=2 zone.master=1 zone.slave=2": 3,
		"zone.master=1": -1, "zone.master=1 zone.primary=1": -1, "zone.primary=1 zone.secondary=2 zone.master=0 zone.slave=2": -1,
		"zone.master=x zone.slave=2": -1, "zone.master=-1 zone.slave=2": -1, "": -1,
	} {
		got, err := readCount(strings.Fields(text))
		if want < 0 && !errors.Is(err, nameserver.ErrAnswer) || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// TestEachLineOfAddzonesHasAnAnswer is what NSD 4.6 says: errors, and it goes on; a
// zone that is there already is "added" all the same.
func TestEachLineOfAddzonesHasAnAnswer(t *testing.T) {
	t.Parallel()
	input := []string{`A.Test p`, `c.test nope`, `d..test p`, `f.test p`, `g.test`, `sl\047ash.test p`}
	answer := `zone A.Test already exists
added: A.Test
error pattern nope does not exist
error for input line 'c.test'
error cannot parse zone name
error for input line 'd..test'
added: f.test
error could not find next argument after g.test
error for input line 'g.test'
added: sl\047ash.test
added 3 zones
`
	wants := []error{nameserver.ErrExists, errNoPattern, nameserver.ErrRefused, nil, nameserver.ErrRefused, nil}
	got := make([]error, len(input))
	r := lineReader{input: input, done: func(n int, err error) { got[n] = err }, each: "added", all: "added"}
	if err := feed(answer, r.line); err != nil || !r.ended || r.next != len(input) {
		t.Fatalf("%v, ended %v after %d", err, r.ended, r.next)
	}
	var refused error
	r = lineReader{input: input[:1], done: func(_ int, err error) { refused = err }, each: "removed", all: "deleted"}
	member := "Error: Zone is a catalog consumer member zone with id x.zones.catalog.example.\nRemove the member id from the catalog to delete this zone.\nerror for input line 'A.Test'\ndeleted 0 zones\n"
	if err := feed(member, r.line); err != nil || !errors.Is(refused, nameserver.ErrRefused) {
		t.Errorf("a catalog's member: %v, %v", err, refused)
	}
	for i, want := range wants {
		if !errors.Is(got[i], want) {
			t.Errorf("%s: %v, want %v", input[i], got[i], want)
		}
	}
	for what, text := range map[string]string{
		"another zone's answer": "added: b.test\n",
		"an answer too many":    answer + "added: x.test\n",
		"no number":             strings.Replace(answer, "added 3 zones", "done", 1),
	} {
		r := lineReader{input: input, done: func(int, error) {}, each: "added", all: "added"}
		if err := feed(text, r.line); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAnswersToCommandsAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"ok\n":                                     nil,
		"zone a.test already exists\nok\n":         nameserver.ErrExists,
		"error pattern nope does not exist\n":      errNoPattern,
		"error pattern nope does not exist\nok\n":  nameserver.ErrRefused,
		"warning zone none.test not present\n":     nameserver.ErrNoZone,
		"error zone none.test not configured\n":    nameserver.ErrNoZone,
		"error cannot parse zone name\n":           nameserver.ErrRefused,
		"error unknown command 'bogus'\n":          nameserver.ErrRefused,
		"zone zz.test did not exist, creatingok\n": nameserver.ErrAnswer,
		"": nameserver.ErrAnswer,
		"error zone defined in nsd.conf, cannot delete\n": nameserver.ErrUntouchable,
	} {
		if err := orderError(slices.Collect(lines(text))); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func lines(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for l := range strings.Lines(text) {
			if !yield(strings.TrimSuffix(l, "\n")) {
				return
			}
		}
	}
}

func FuzzZonestatus(f *testing.F) {
	f.Add("zone:\ta.example\n" + ours + "\tstate: ok\n" + serials)
	f.Add("zone:\ta.example\n\tpattern: own\n\tstate: master\nzone:\t.\n" + ours + "\tstate: expired\n" + none)
	f.Add("zone:\ta.example\n" + ours + "\tcatalog-member-id: a18da638.zones.catalog.example.\n\tstate: future-serial\n" + serials)
	f.Add("zone:\tCatAlog.example\n\tpattern: dnsctl-catalog/192.0.2.1@53/eu.\n\tcatalog: consumer (serial: 7, # members: 2)\n\tcatalog-invalid: no version\n\tstate: old-serial\n" + serials)
	f.Add("error zone a not configured\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readStatus(text)
		if err != nil {
			return
		}
		for _, z := range list {
			if !z.Name.Valid() || z.Role == "" || z.Origin == nameserver.Unsure || z.Detail == "" {
				t.Errorf("%q is read as %+v", text, z)
			}
		}
		if strings.Count("\n"+text, "\nzone:\t") != len(list) {
			t.Errorf("%q is read as %d zones", text, len(list))
		}
	})
}

func FuzzAddzones(f *testing.F) {
	f.Add("zone a.test already exists\nadded: a.test\nerror pattern p does not exist\nerror for input line 'b.test'\nadded 1 zones\n")
	f.Add("added: a.test\nadded: b.test\nadded 2 zones\n")
	f.Fuzz(func(t *testing.T, text string) {
		answered := []int{}
		r := lineReader{input: []string{"a.test p", "b.test p"}, done: func(n int, _ error) { answered = append(answered, n) }, each: "added", all: "added"}
		if err := feed(text, r.line); err == nil && r.ended && !slices.Equal(answered, []int{0, 1}) {
			t.Errorf("%q answers %v", text, answered)
		}
	})
}

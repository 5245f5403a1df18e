package render

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dnsctl/report"
	"dnsctl/zone"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type row struct {
	name    zone.Name
	records int
	changed time.Time
	pools   []string
	addr    netip.AddrPort
	note    string
}

func list() List[row] {
	return List[row]{Nothing: "no zones", Columns: []Column[row]{
		{Name: "zone", Value: func(r row) any { return r.name }},
		{Name: "records", Value: func(r row) any { return r.records }},
		{Name: "changed", Value: func(r row) any { return r.changed }},
		{Name: "pools", Value: func(r row) any { return r.pools }},
		{Name: "address", Value: func(r row) any { return r.addr }, Show: WideOnly},
		{Name: "note", Value: func(r row) any { return r.note }, Show: DataOnly},
	}}
}

func rows() []row {
	return []row{
		{zone.MustParseName("example.org"), 1200, noon.Add(-3 * time.Minute), []string{"eu", "us"}, netip.MustParseAddrPort("[2001:db8::1]:53"), "a\tb"},
		{zone.MustParseName("xn--bcher-kva.example"), 7, time.Time{}, nil, netip.AddrPort{}, "yes"},
	}
}

func output(f Format, tty bool) (*Output, *bytes.Buffer, *bytes.Buffer) {
	var out, err bytes.Buffer
	return &Output{Out: &out, Err: &err, In: strings.NewReader(""), Format: f, Terminal: tty, ErrTerminal: tty, InTerminal: tty, Redraws: tty, Now: func() time.Time { return noon }}, &out, &err
}

func TestListInEachFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		format  Format
		tty     bool
		columns []string
		bare    bool
		want    string
	}{
		{"tab-separated", Table, false, nil, false,
			"ZONE\tRECORDS\tCHANGED\tPOOLS\nexample.org.\t1200\t2026-03-01T11:57:00Z\teu,us\nxn--bcher-kva.example.\t7\t\t\n"},
		{"without headings", Table, false, nil, true,
			"example.org.\t1200\t2026-03-01T11:57:00Z\teu,us\nxn--bcher-kva.example.\t7\t\t\n"},
		{"aligned", Table, true, nil, false, "" +
			"ZONE                                     RECORDS  CHANGED    POOLS\n" +
			"example.org.                                1200  3 min ago  eu, us\n" +
			"xn--bcher-kva.example. (bücher.example)        7  -          -\n"},
		{"wide", Wide, false, []string{}, false,
			"ZONE\tRECORDS\tCHANGED\tPOOLS\tADDRESS\nexample.org.\t1200\t2026-03-01T11:57:00Z\teu,us\t[2001:db8::1]:53\nxn--bcher-kva.example.\t7\t\t\t\n"},
		{"chosen columns", Table, false, []string{"note", "zone"}, false,
			"NOTE\tZONE\na\\tb\texample.org.\nyes\txn--bcher-kva.example.\n"},
		{"csv", CSV, true, []string{"zone", "pools"}, false,
			"zone,pools\nexample.org.,\"eu,us\"\nxn--bcher-kva.example.,\n"},
		{"names", Name, true, nil, false, "example.org.\nxn--bcher-kva.example.\n"},
		{"jsonl", JSONL, true, nil, false,
			`{"zone":"example.org.","records":1200,"changed":"2026-03-01T11:57:00Z","pools":["eu","us"],"address":"[2001:db8::1]:53","note":"a\tb"}` + "\n" +
				`{"zone":"xn--bcher-kva.example.","records":7,"changed":null,"pools":[],"address":"","note":"yes"}` + "\n"},
		{"yaml", YAML, false, []string{"zone", "pools", "note"}, false,
			"- zone: example.org.\n  pools:\n    - eu\n    - us\n  note: \"a\\tb\"\n- zone: xn--bcher-kva.example.\n  pools: []\n  note: \"yes\"\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, out, _ := output(test.format, test.tty)
			o.Columns, o.NoHeaders = test.columns, test.bare
			if err := list().Write(o, Rows(rows())); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("got\n%s\nwant\n%s", out, test.want)
			}
		})
	}
}

func TestJSONListsAreNeverNull(t *testing.T) {
	t.Parallel()
	o, out, _ := output(JSON, false)
	if err := list().Write(o, Rows([]row(nil))); err != nil || out.String() != "[]\n" {
		t.Errorf("empty list is %q, %v", out, err)
	}
	out.Reset()
	if err := list().Write(o, Rows(rows())); err != nil {
		t.Fatal(err)
	}
	var back []map[string]any
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back) != 2 {
		t.Errorf("%s does not read back: %v", out, err)
	}
	out.Reset()
	if err := o.Report(report.Report{}); err != nil || strings.Contains(out.String(), `"servers": null`) {
		t.Errorf("empty report is %s, %v", out, err)
	}
}

func TestStringsSurviveYAML(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"yes", "1.0", "null", "", " x", "a: b", "# c", "2026-03-01", "0x1f", "multi\nline", "ü"} {
		o, out, _ := output(YAML, false)
		l := List[string]{Columns: []Column[string]{{Name: "value", Value: func(s string) any { return s }}}}
		if err := l.One(o, s); err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := yaml.Unmarshal(out.Bytes(), &back); err != nil || back["value"] != s {
			t.Errorf("%q became %v in\n%s (%v)", s, back["value"], out, err)
		}
	}
}

func TestAnUnknownColumnIsAUsageErrorThatListsThem(t *testing.T) {
	t.Parallel()
	o, _, _ := output(Table, false)
	o.Columns = []string{"zon"}
	exit, hint := report.ExitOf(list().Write(o, Rows(rows())))
	if exit != report.ExitUsage || !strings.Contains(hint, "zone, records") {
		t.Errorf("exit %d, hint %q", exit, hint)
	}
}

func TestRowsBeforeAnErrorAreShownAndTheErrorReturned(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	var seq iter.Seq2[row, error] = func(yield func(row, error) bool) {
		_ = yield(rows()[0], nil) && yield(row{}, boom)
	}
	o, out, _ := output(Name, false)
	if err := list().Write(o, seq); !errors.Is(err, boom) || out.String() != "example.org.\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestATableIsCutToTheTerminalUnlessWide(t *testing.T) {
	t.Parallel()
	long := []row{{name: zone.MustParseName(strings.Repeat("a", 60) + ".example"), pools: []string{"p"}}}
	for format, cut := range map[Format]bool{Table: true, Wide: false} {
		o, out, _ := output(format, true)
		o.Width = 50
		if err := list().Write(o, Rows(long)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "…"); got != cut {
			t.Errorf("%s: cut %v in\n%s", format, got, out)
		}
	}
}

func TestANarrowTerminalLacksColumnsThatNeedRoom(t *testing.T) {
	t.Parallel()
	long := []row{{name: zone.MustParseName("a.example"), records: 7, changed: noon.Add(-3 * time.Minute), pools: []string{strings.Repeat("p", 20)}}}
	for _, c := range []struct {
		width int
		want  string
	}{
		{80, "ZONE        RECORDS  CHANGED    POOLS\n"},
		{40, "ZONE        RECORDS  POOLS\n"},
		{20, "zone:     a.example.\n"},
	} {
		l := list()
		for i := range l.Columns {
			if l.Columns[i].Name == "changed" {
				l.Columns[i].Show = IfRoom
			}
		}
		o, out, _ := output(Table, true)
		o.Width = c.width
		if err := l.Write(o, Rows(long)); err != nil || !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%d: %v\n%s", c.width, err, out)
		}
	}
}

func TestOneThingIsShownAsLines(t *testing.T) {
	t.Parallel()
	o, out, _ := output(Table, true)
	if err := list().One(o, rows()[0]); err != nil {
		t.Fatal(err)
	}
	want := "zone:     example.org.\nrecords:  1200\nchanged:  3 min ago\npools:    eu, us\naddress:  [2001:db8::1]:53\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	o, out, _ = output(Table, false)
	if err := list().One(o, rows()[0]); err != nil || !strings.HasPrefix(out.String(), "zone\texample.org.\n") {
		t.Errorf("%q, %v", out, err)
	}
	o, out, _ = output(JSON, false)
	if err := list().One(o, rows()[0]); err != nil || !strings.Contains(out.String(), `"records": 1200`) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestColorFollowsTheConventions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		color string
		env   map[string]string
		tty   bool
		want  bool
	}{
		{"auto", nil, false, false},
		{"always", nil, false, true},
		{"always", map[string]string{"NO_COLOR": "1"}, false, true},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{"auto", map[string]string{"CLICOLOR_FORCE": "0"}, false, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false, false},
		{"never", map[string]string{"CLICOLOR_FORCE": "1"}, false, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1", "TERM": "dumb"}, false, true},
	}
	for _, test := range tests {
		o := Detect(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, test.color, func(k string) string { return test.env[k] })
		if o.Color != test.want {
			t.Errorf("%s with %v: color %v", test.color, test.env, o.Color)
		}
	}
}

func TestControlCharactersFromOutsideAreShownNotObeyed(t *testing.T) {
	t.Parallel()
	if got := Clean("a\x1b[2Jb\nc\u202ed"); got != `a\u001b[2Jb\nc\u202ed` {
		t.Error(got)
	}
}

func TestAgoIsRoughAndKnowsTheFuture(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "now", 5 * time.Second: "5 s ago", 90 * time.Second: "1 min ago",
		47 * time.Hour: "47 h ago", 72 * time.Hour: "3 d ago", -10 * time.Minute: "in 10 min"} {
		if got := Ago(noon, noon.Add(-d)); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func TestConfirmAsksForTheNumberAndOnlyOnATerminal(t *testing.T) {
	t.Parallel()
	o, _, errs := output(Table, true)
	o.In = strings.NewReader("yes\n 12 \n")
	if ok, err := o.Confirm("12 zones will be deleted.", "12"); ok || err != nil {
		t.Errorf("yes is no number: %v, %v", ok, err)
	}
	if ok, err := o.Confirm("12 zones will be deleted.", "12"); !ok || err != nil {
		t.Errorf("12: %v, %v", ok, err)
	}
	if ok, err := o.Confirm("12 zones will be deleted.", "12"); ok || err != nil {
		t.Errorf("end of input: %v, %v", ok, err)
	}
	if !strings.Contains(errs.String(), "Type 12 to confirm: ") {
		t.Error(errs)
	}
	o, _, _ = output(Table, false)
	if _, err := o.Confirm("?", "1"); !errors.Is(err, ErrNoAnswer) {
		t.Error(err)
	}
}

func TestProgressShowsAnEstimateAfterASecondOnATerminalOnly(t *testing.T) {
	t.Parallel()
	o, _, errs := output(Table, true)
	now := noon
	o.Now = func() time.Time { return now }
	p := o.Progress()
	step := func(done int) {
		p.Update(report.Progress{Server: "ns1", Phase: "transfer", Done: done, Total: 100})
	}
	step(1)
	if errs.Len() > 0 {
		t.Errorf("shown at once: %q", errs)
	}
	now = now.Add(10 * time.Second)
	step(50)
	if !strings.HasSuffix(errs.String(), "ns1: transfer 50 of 100, about 10 s left") {
		t.Errorf("%q", errs)
	}
	p.Done()
	if !strings.HasSuffix(errs.String(), "\r\x1b[K") {
		t.Errorf("not cleared: %q", errs)
	}
	o, _, errs = output(Table, false)
	o.Progress().Update(report.Progress{Server: "ns1", Phase: "transfer", Done: 1, Total: 2})
	if errs.Len() > 0 {
		t.Errorf("off a terminal: %q", errs)
	}
}

func TestReportOnATerminalGroupsByServerAndClass(t *testing.T) {
	t.Parallel()
	seven, nine := zone.Serial(7), zone.Serial(9)
	s := report.Server{Name: "ns1", Complete: true, Items: []report.Item{
		{Zone: zone.MustParseName("b.example"), Class: report.Behind, Action: report.Retransfer, Outcome: report.Done, Serial: report.Serials{Want: &nine, Have: &seven}},
		{Zone: zone.MustParseName("a.example"), Class: report.Foreign, Action: report.Delete, Outcome: report.Withheld, Guard: "confirm", Reason: "not confirmed"},
	}}
	s.Count()
	r := report.Report{Servers: []report.Server{s, {Name: "ns2", Error: "refused", Hint: "start it"}}}
	o, out, _ := output(Table, true)
	if err := o.Report(r); err != nil {
		t.Fatal(err)
	}
	want := `ns1  1 foreign, 1 behind; steps: 1 done, 1 withheld
  foreign  delete withheld
    a.example.  not confirmed
  behind  retransfer done
    b.example.  serial 7, should be 9
ns2  error: refused (start it)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	o, out, errs := output(Table, false)
	if err := o.Report(r); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "SERVER\tZONE\tCLASS\tACTION\tOUTCOME\tWANT\tHAVE\tREASON\n"+
		"ns1\ta.example.\tforeign\tdelete\twithheld\t\t\tnot confirmed\nns1\tb.example.\tbehind\tretransfer\tdone\t9\t7\t\n" {
		t.Errorf("%q", got)
	}
	if !strings.Contains(errs.String(), "ns2: error: refused (start it)") {
		t.Errorf("%q", errs)
	}
}

func TestAReportKeepsToTheTerminal(t *testing.T) {
	t.Parallel()
	seven := zone.Serial(7)
	long := zone.MustParseName("a-very-long-name-of-a-zone.for-a-customer-with-a-long-name.example")
	s := report.Server{Name: "ns1", Complete: true, Withheld: "its marker is ahead of the feed of this store: an older copy", Items: []report.Item{
		{Zone: long, Class: report.Foreign, Serial: report.Serials{Have: &seven}, Attributes: []string{report.Protected}, Reason: "a restored copy, protected until it is adopted or released"},
	}}
	for i := range 25 {
		s.Items = append(s.Items, report.Item{Zone: zone.MustParseName(string(rune('a'+i)) + ".example"), Class: report.Missing, Action: report.Add, Outcome: report.Done, Reason: "not on the server"})
	}
	s.Count()
	o, out, _ := output(Table, true)
	o.Width = 60
	if err := o.Report(report.Report{Servers: []report.Server{s}}); err != nil {
		t.Fatal(err)
	}
	want := `ns1  25 missing, 1 foreign; steps: 25 done; all writes
  withheld: its marker is ahead of the feed of this
  store: an older copy
  missing  add done  not on the server
    a.example.
`
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got\n%s", out)
	}
	end := `    t.example.
    and 5 more, which -o wide lists
  foreign
    a-very-long-name-of-a-zone.for-a-customer-with-a-long-name.example.
      serial 7  [protected]  a restored copy, protected
      until it is adopted or released
`
	if !strings.HasSuffix(out.String(), end) {
		t.Errorf("got\n%s", out)
	}
	o, out, _ = output(Wide, true)
	if err := o.Report(report.Report{Servers: []report.Server{s}}); err != nil || strings.Count(out.String(), ".example.\n") != 25 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestATableThatDoesNotFitIsStacked(t *testing.T) {
	t.Parallel()
	o, out, _ := output(Table, true)
	o.Width = 35 // without the column that is empty it fits
	bare := rows()
	bare[0].pools, bare[1].name = nil, zone.MustParseName("b.example")
	if err := list().Write(o, Rows(bare)); err != nil || out.String() != ""+
		"ZONE          RECORDS  CHANGED\nexample.org.     1200  3 min ago\nb.example.          7  -\n" {
		t.Errorf("%v\n%s", err, out)
	}
	o, out, _ = output(Table, true)
	o.Width = 30
	if err := list().Write(o, Rows(rows()[:1])); err != nil || out.String() != ""+
		"zone:     example.org.\nrecords:  1200\nchanged:  3 min ago\npools:    eu, us\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWordsAreWrapped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text          string
		width, indent int
		want          string
	}{
		{"a b c", 0, 2, "a b c"},
		{"aa bb cc", 5, 2, "aa bb\n  cc"},
		{"averylongword b", 5, 2, "averylongword\n  b"},
		{"  aa  bücher cc", 11, 4, "  aa\n    bücher\n    cc"},
	} {
		if got := wrap(test.text, test.width, test.indent); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestWhatGuard1LeavesOpenIsSaid(t *testing.T) {
	t.Parallel()
	for want, allowed := range map[string][]report.Action{
		"no zones; all writes withheld: no marker":                    nil,
		"no zones; all writes but add withheld: no marker":            {report.Add},
		"no zones; all writes but add and change withheld: no marker": {report.Add, report.Change},
	} {
		if got := Summary(report.Server{Complete: true, Withheld: "no marker", Allowed: allowed}); got != want {
			t.Errorf("%v: %q, want %q", allowed, got, want)
		}
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	silent, w := io.Pipe() // says nothing
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	boom := errors.New("interrupted")
	r := Interruptible(ctx, silent)
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(r)
		done <- err
	}()
	cancel(boom)
	if err := <-done; !errors.Is(err, boom) {
		t.Errorf("read ended with %v", err)
	}
	b, err := io.ReadAll(Interruptible(t.Context(), strings.NewReader("some text")))
	if err != nil || string(b) != "some text" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestWhatIsDoneIsNoAlarmAndAReasonIsSaidOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := &Output{Out: &out, Err: &out, Format: Table, Terminal: true, Color: true, Width: 80}
	a := zone.MustParseName("a.example")
	r := report.Report{Servers: []report.Server{
		{Name: "ns1", Complete: true, Counts: map[report.Class]int{report.Missing: 1, report.OK: 1},
			Items: []report.Item{{Zone: a, Class: report.Missing, Action: report.Add, Outcome: report.Done}}},
		{Name: "ns2", Complete: true, Counts: map[report.Class]int{report.Behind: 1}, Withheld: "it is another's",
			Items: []report.Item{{Zone: a, Class: report.Behind, Action: report.Retransfer, Outcome: report.Withheld, Reason: "it is another's"}}},
	}}
	if err := o.Report(r); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1mns1\x1b[0m  \x1b[32m1 ok, 1 missing; steps: 1 done\x1b[0m\n" +
		"  missing  \x1b[32madd done\x1b[0m\n    a.example.\n" +
		"\x1b[1mns2\x1b[0m  \x1b[31m1 behind; steps: 1 withheld; all writes withheld: it is another's\x1b[0m\n" +
		"  \x1b[35mbehind\x1b[0m  \x1b[35mretransfer withheld\x1b[0m\n    a.example.\n"
	if out.String() != want {
		t.Errorf("%q\nwant %q", out.String(), want)
	}
}

package zone

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

var apex = MustParseName("example")

func soaSet(serial Serial) RRset {
	soa := SOA{MName: MustParseName("ns.example"), RName: MustParseName("h.example"), Serial: serial, Refresh: 2, Retry: 3, Expire: 4, Minimum: 5}
	return RRset{Owner: apex, Type: TypeSOA, TTL: 300, Data: PackRdata(soa.Rdata())}
}

// model is a zone as a map, which the property tests hold against snapshots.
type model map[ID]RRset

func (m model) put(s RRset) { m[s.ID()] = s }

func (m model) sorted() []RRset {
	ids := slices.SortedFunc(maps.Keys(m), ID.Compare)
	var out []RRset
	for _, id := range ids {
		out = append(out, m[id])
	}
	return out
}

func (m model) build(t testing.TB, r *rand.Rand) *Snapshot {
	t.Helper()
	b := NewBuilder(apex, len(m))
	sets := m.sorted()
	if r != nil {
		r.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	}
	for _, s := range sets {
		b.Add(s)
	}
	snap, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func (m model) require(t testing.TB, s *Snapshot) {
	t.Helper()
	want := m.sorted()
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Fatalf("%d RRsets, want %d, or not the same ones", len(got), len(want))
	}
	records, octets := 0, 0
	for _, set := range want {
		records += set.Data.Len()
		octets += len(set.AppendWire(nil))
	}
	if s.RRsets() != len(want) || s.Records() != records || s.Octets() != octets {
		t.Fatalf("counts %d %d %d, want %d %d %d", s.RRsets(), s.Records(), s.Octets(), len(want), records, octets)
	}
}

func randomRdata(r *rand.Rand, n int) Rdata {
	records := make([]string, 1+r.IntN(n))
	for i := range records {
		records[i] = string([]byte{192, 0, 2, byte(r.IntN(20))})
	}
	return PackRdata(records...)
}

func randomSet(r *rand.Rand, names int) RRset {
	n := r.IntN(names)
	owner := MustParseName(fmt.Sprintf("n%d.example", n))
	if r.IntN(4) == 0 {
		owner = MustParseName(fmt.Sprintf("N%d.s.Example", n))
	}
	types := []Type{TypeA, TypeTXT, TypeRRSIG}
	s := RRset{Owner: owner, Type: types[r.IntN(3)], TTL: uint32(300 * r.IntN(2)), Data: randomRdata(r, 4)}
	if s.Type == TypeRRSIG {
		s.Covers = Type(1 + r.IntN(3))
		s.Data = PackRdata(string([]byte{0, byte(s.Covers), byte(r.IntN(9))}))
	}
	return s
}

func TestRandomEditsBecomeDeltasThatApplyBothWays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(9) {
		r := rand.New(rand.NewPCG(seed, 7))
		names := []int{3, 50, 1200}[seed%3]
		m := model{}
		m.put(soaSet(1))
		for range r.IntN(2 * names) {
			m.put(randomSet(r, names))
		}
		s := m.build(t, r)
		m.require(t, s)
		first, m0 := s, maps.Clone(m)
		var deltas []Delta
		for serial := Serial(2); serial < 9; serial++ {
			for range r.IntN(names) {
				set := randomSet(r, names)
				if old, ok := m[set.ID()]; ok && r.IntN(2) == 0 {
					switch r.IntN(3) {
					case 0:
						delete(m, old.ID())
					case 1: // only the records
						old.Data = randomRdata(r, 4)
						m.put(old)
					default: // also TTL and the owner's spelling
						m.put(set)
					}
					continue
				}
				m.put(set)
			}
			m.put(soaSet(serial))
			want := m.build(t, nil)
			d := Diff(s, want)
			if d.From() != serial-1 || d.To() != serial || d.Empty() != (len(d.Added)+len(d.Removed) == 0) {
				t.Fatalf("delta from %d to %d", d.From(), d.To())
			}
			next, err := s.Apply(d)
			if err != nil {
				t.Fatal(err)
			}
			m.require(t, next)
			back, err := next.Apply(d.Reverse())
			if err != nil || !Diff(back, s).Empty() || back.SOASet() != s.SOASet() {
				t.Fatal("the reverse delta does not lead back", err)
			}
			if _, err := next.Apply(d); !errors.Is(err, ErrDelta) {
				t.Fatalf("a delta applies twice: %v", err)
			}
			deltas = append(deltas, d)
			for i := range deltas { // any part of the chain, at once
				if i == 0 {
					if all := Diff(first, next); !slices.Equal(Condense(deltas).Removed, all.Removed) || !slices.Equal(Condense(deltas).Added, all.Added) {
						t.Fatal("a condensed chain is not the difference of its ends")
					}
				}
				if c := Condense(deltas[i:]); c.From() != deltas[i].From() || c.To() != serial {
					t.Fatalf("condensed from %d to %d", c.From(), c.To())
				}
			}
			s = next
		}
		m0.require(t, first) // nothing that was shared has changed
		for _, d := range slices.Backward(deltas) {
			var err error
			if s, err = s.Apply(d.Reverse()); err != nil {
				t.Fatal(err)
			}
		}
		m0.require(t, s)
	}
}

func TestDeltasSurviveTheirWireForm(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	m := model{}
	m.put(soaSet(1))
	a := m.build(t, nil)
	for range 300 {
		m.put(randomSet(r, 100))
	}
	m.put(soaSet(2))
	b := m.build(t, nil)
	d := Diff(a, b)
	var wire []byte
	for _, s := range d.Added {
		wire = s.AppendWire(wire)
	}
	sets, err := ParseWire(wire)
	if err != nil || !slices.Equal(sets, d.Added) {
		t.Fatal(len(sets), len(d.Added), err)
	}
}

func TestDeltasThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	a := func(text string, ttl uint32, octets ...byte) RRset {
		var records []string
		for _, o := range octets {
			records = append(records, string([]byte{192, 0, 2, o}))
		}
		return RRset{Owner: MustParseName(text), Type: TypeA, TTL: ttl, Data: PackRdata(records...)}
	}
	m := model{}
	m.put(soaSet(1))
	m.put(a("a.example", 300, 1, 2))
	s := m.build(t, nil)
	for name, d := range map[string]Delta{
		"other serial":              {OldSOA: soaSet(2), NewSOA: soaSet(3)},
		"removes what is not there": {OldSOA: soaSet(1), NewSOA: soaSet(2), Removed: []RRset{a("b.example", 300, 1)}},
		"removes another record":    {OldSOA: soaSet(1), NewSOA: soaSet(2), Removed: []RRset{a("a.example", 300, 3)}},
		"removes one too many":      {OldSOA: soaSet(1), NewSOA: soaSet(2), Removed: []RRset{a("a.example", 300, 1, 2, 3)}},
		"removes with another TTL":  {OldSOA: soaSet(1), NewSOA: soaSet(2), Removed: []RRset{a("a.example", 200, 1)}},
		"adds with another TTL":     {OldSOA: soaSet(1), NewSOA: soaSet(2), Added: []RRset{a("a.example", 200, 3)}},
		"adds in another spelling":  {OldSOA: soaSet(1), NewSOA: soaSet(2), Added: []RRset{a("A.example", 300, 3)}},
		"adds what is there":        {OldSOA: soaSet(1), NewSOA: soaSet(2), Added: []RRset{a("a.example", 300, 2, 3)}},
	} {
		if _, err := s.Apply(d); !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ok := Delta{OldSOA: soaSet(1), NewSOA: soaSet(2), Removed: []RRset{a("a.example", 300, 1, 2)}, Added: []RRset{a("A.example", 200, 1)}}
	n, err := s.Apply(ok)
	if err != nil || n.Records() != 2 {
		t.Fatal(err)
	}
}

func TestLookupsInASnapshot(t *testing.T) {
	t.Parallel()
	m := model{}
	m.put(soaSet(1))
	r := rand.New(rand.NewPCG(5, 5))
	for range 1500 {
		m.put(randomSet(r, 700))
	}
	s := m.build(t, r)
	sets := m.sorted()
	for i, set := range sets {
		if got, ok := s.Get(set.ID()); !ok || got != set {
			t.Fatalf("%v is not found", set.ID())
		}
		if !s.Has(set.Owner.Key()) || !s.Has(set.Owner.Parent().Key()) {
			t.Fatal("a name does not exist")
		}
		k := set.Owner.Key()
		want := slices.DeleteFunc(slices.Clone(sets[max(0, i-8):min(len(sets), i+9)]), func(o RRset) bool { return o.Owner.Key() != k })
		if got := s.At(k); !slices.Equal(got, want) {
			t.Fatalf("at %s are %d RRsets, want %d", set.Owner, len(got), len(want))
		}
	}
	none := MustParseName("none.example").Key()
	if s.Has(none) || s.At(none) != nil {
		t.Fatal("a name exists that does not")
	}
	if _, ok := s.Get(ID{Owner: none, Type: TypeA}); ok {
		t.Fatal("an RRset is found that is not there")
	}
	for i := range sets { // what is before each, by brute force
		k := sets[i].Owner.Key()
		var want RRset
		found := false
		for _, o := range sets {
			if o.Type == TypeTXT && o.Owner.Key() < k {
				want, found = o, true
			}
		}
		if i%50 == 0 {
			if got, ok := s.Before(k, TypeTXT); ok != found || got != want {
				t.Fatalf("before %s is %v %v", sets[i].Owner, got.Owner, ok)
			}
		}
	}
	if _, ok := s.Before(apex.Key(), TypeSOA); ok {
		t.Fatal("something is before the apex")
	}
	if got, ok := s.Before("\xff", TypeSOA); !ok || got.Type != TypeSOA {
		t.Fatal("the SOA is not before the end")
	}
}

func TestBuildUnitesRRsets(t *testing.T) {
	t.Parallel()
	b := NewBuilder(apex, 0)
	one := RRset{Owner: MustParseName("A.example"), Type: TypeA, TTL: 5, Data: PackRdata("\x01\x01\x01\x02")}
	two := RRset{Owner: MustParseName("a.example"), Type: TypeA, TTL: 6, Data: PackRdata("\x01\x01\x01\x01", "\x01\x01\x01\x02")}
	for _, s := range []RRset{one, soaSet(9), two} {
		b.Add(s)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := s.Get(one.ID())
	if got.Owner != one.Owner || got.TTL != 5 || got.Data != two.Data || s.Records() != 3 || s.Serial() != 9 {
		t.Fatalf("%+v", got)
	}
	if _, err := NewBuilder(apex, 0).Build(); !errors.Is(err, ErrNoSOA) {
		t.Fatal(err)
	}
	b = NewBuilder(apex, 0)
	b.Add(RRset{Owner: apex, Type: TypeSOA, Data: PackRdata("\x00")})
	if _, err := b.Build(); err == nil {
		t.Fatal("a malformed SOA is taken")
	}
}

func TestRdataSets(t *testing.T) {
	t.Parallel()
	d := PackRdata("b", "a", "b", "", "ab")
	if got := slices.Collect(d.All()); !slices.Equal(got, []string{"", "a", "ab", "b"}) || d.Len() != 4 || d.First() != "" || !d.Valid() {
		t.Fatalf("%q", got)
	}
	if d.Without(PackRdata("a", "x")).With(PackRdata("c", "b")) != PackRdata("", "ab", "b", "c") || d.Without(d) != "" || PackRdata() != "" {
		t.Fatal("set arithmetic")
	}
	for _, bad := range []Rdata{"\x00", "\x00\x01", "\x00\x01b\x00\x01a", "\x00\x01a\x00\x01a", "\x00\x01a\x00"} {
		if bad.Valid() {
			t.Errorf("%q is valid", bad)
		}
	}
	if !Rdata("").Valid() || Rdata("").First() != "" {
		t.Error("empty")
	}
}

func TestSOARoundTrips(t *testing.T) {
	t.Parallel()
	for _, serial := range []Serial{0, 1 << 31, 1<<32 - 1} {
		set := soaSet(serial)
		soa, err := ParseSOA(set.Data.First())
		if err != nil || soa.Serial != serial || soa.Rdata() != set.Data.First() || soa.WithSerial(7).Serial != 7 || soa.Serial != serial {
			t.Error(soa, err)
		}
	}
	for _, bad := range []string{"", "\x00", "\x00\x00", "\x00\x00" + string(make([]byte, 19)), "\x00\x00" + string(make([]byte, 21)), "\xc0\x00" + string(make([]byte, 21))} {
		if _, err := ParseSOA(bad); err == nil {
			t.Errorf("%q is an SOA", bad)
		}
	}
}

func FuzzParseWire(f *testing.F) {
	f.Add(soaSet(1).AppendWire(nil))
	f.Add(RRset{Owner: apex, Type: TypeRRSIG, Covers: TypeA, TTL: 1, Data: PackRdata("\x00\x01x", "\x00\x01y")}.AppendWire(nil))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sets, err := ParseWire(b)
		if err != nil {
			if !errors.Is(err, ErrBadRecords) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for _, s := range sets {
			if !s.Owner.Valid() || !s.Data.Valid() || s.Data == "" {
				t.Fatalf("%+v", s)
			}
			again = s.AppendWire(again)
		}
		back, err := ParseWire(again)
		if err != nil || len(again) > len(b) || !slices.Equal(back, sets) {
			t.Fatalf("%v: %+v became %+v", err, sets, back)
		}
	})
}

func TestTypesRoundTrip(t *testing.T) {
	t.Parallel()
	for n := range 1 << 16 {
		typ := Type(n)
		if got, err := ParseType(typ.String()); err != nil || got != typ {
			t.Fatalf("%d is %s is %d, %v", n, typ, got, err)
		}
	}
	for text, want := range map[string]Type{"aaaa": TypeAAAA, "Type1": TypeA, "TYPE65535": 65535} {
		if got, err := ParseType(text); err != nil || got != want {
			t.Error(text, got, err)
		}
	}
	for _, text := range []string{"", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "NOPE", "TYPE1x"} {
		if got, err := ParseType(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

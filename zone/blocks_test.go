package zone

import (
	"fmt"
	"slices"
	"testing"
)

func TestBlocksAreAllAndFitAMessage(t *testing.T) {
	apex := MustParseName("example.org.")
	b := NewBuilder(apex, 0)
	b.Add(RRset{Owner: apex, Type: TypeSOA, TTL: 1, Data: PackRdata(SOA{MName: apex, RName: apex, Serial: 1}.Rdata())})
	for i := range 20000 {
		data := []string{fmt.Sprintf("%04d", i%10000)}
		if i%1000 == 0 { // and some that fill blocks of their own
			data = []string{string(make([]byte, 40000)), string(make([]byte, 50000))}
		}
		b.Add(RRset{Owner: MustParseName(fmt.Sprintf("h%d.example.org.", i)), Type: TypeA, TTL: 1, Data: PackRdata(data...)})
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *Snapshot) {
		t.Helper()
		var all []RRset
		for i := range s.Blocks() {
			octets, n := 0, 0
			for set := range s.Block(i) {
				all = append(all, set)
				octets += s.count(set, 0)
				n++
			}
			if n == 0 || n > blockSize || n > 1 && octets > blockOctets {
				t.Errorf("block %d of %d has %d RRsets and %d octets", i, s.Blocks(), n, octets)
			}
		}
		if !slices.Equal(all, slices.Collect(s.All())) {
			t.Error("the blocks are not the zone")
		}
	}
	check(s)
	for i := range 100 { // the same block grows until it is cut, again and again
		next := SOA{MName: apex, RName: apex, Serial: Serial(i + 2)}
		d := Delta{OldSOA: s.SOASet(), NewSOA: RRset{Owner: apex, Type: TypeSOA, TTL: 1, Data: PackRdata(next.Rdata())}}
		for j := range 40 {
			d.Added = append(d.Added, RRset{Owner: MustParseName(fmt.Sprintf("h5.n%d.h5.example.org.", 40*i+j)), Type: TypeA, TTL: 1, Data: PackRdata("1234")})
		}
		slices.SortFunc(d.Added, func(a, b RRset) int { return a.ID().Compare(b.ID()) })
		n, err := s.Apply(d)
		if err != nil {
			t.Fatal(err)
		}
		shared := map[int]int{}
		for i, j := range n.Shared(s) {
			shared[i] = j
			if !slices.Equal(slices.Collect(n.Block(i)), slices.Collect(s.Block(j))) {
				t.Fatalf("block %d is not block %d of before", i, j)
			}
		}
		if _, first := shared[0]; len(shared) < s.Blocks()-2 || first {
			t.Fatalf("%d of %d blocks are shared with %d", len(shared), n.Blocks(), s.Blocks())
		}
		s = n
	}
	check(s)
}

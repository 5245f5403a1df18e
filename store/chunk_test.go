package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dnsctl/zone"
)

func chunkOf(n int) ([]rrsetOf, []byte) {
	var sets []rrsetOf
	for i := range n {
		owner := zone.MustParseName(fmt.Sprintf("Host%05d.example.", i))
		for _, t := range []zone.Type{zone.TypeA, zone.TypeTXT} {
			sets = append(sets, rrsetOf{owner.Key(), zone.RRset{Owner: owner, Type: t, TTL: uint32(i), Data: zone.PackRdata("abcd", strings.Repeat("x", i))}})
		}
	}
	for _, data := range chunked(each(sets), "") {
		return sets, slices.Clone(data)
	}
	return nil, nil
}

func TestChunksEndBetweenOwnersAndGiveBackWhatTheyWereMadeOf(t *testing.T) {
	t.Parallel()
	want, _ := chunkOf(700)
	var got []rrsetOf
	chunks := 0
	for first, data := range chunked(each(want), "") {
		chunks++
		from := len(got)
		if err := readChunk(data, func(k zone.Key, set zone.RRset) error {
			got = append(got, rrsetOf{k, set})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got[from].key != first || from > 0 && got[from-1].key == first {
			t.Errorf("chunk %d begins in the middle of an owner", chunks)
		}
	}
	if chunks < 3 || !slices.Equal(got, want) {
		t.Errorf("%d RRsets of %d in %d chunks", len(got), len(want), chunks)
	}
}

func TestMergedChunkIsWhatTheChangesSay(t *testing.T) {
	t.Parallel()
	sets, data := chunkOf(3)
	drop, put := sets[2], sets[3]
	put.set.TTL = 99
	fresh := rrsetOf{zone.MustParseName("zz.example.").Key(), zone.RRset{Owner: zone.MustParseName("zz.example."), Type: zone.TypeA, Data: zone.PackRdata("abcd")}}
	before := rrsetOf{zone.MustParseName("a.example.").Key(), zone.RRset{Owner: zone.MustParseName("a.example."), Type: zone.TypeA, Data: zone.PackRdata("abcd")}}
	got, err := merge(data, []change{{before.set.ID(), before.set}, {id: drop.set.ID()}, {put.set.ID(), put.set}, {fresh.set.ID(), fresh.set}})
	if want := []rrsetOf{before, sets[0], sets[1], put, sets[4], sets[5], fresh}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	absent := zone.MustParseName("not.there.example.")
	if got, err = merge(data, []change{{id: zone.ID{Owner: absent.Key(), Type: zone.TypeA}}}); err != nil || !slices.Equal(got, sets) {
		t.Errorf("dropping what is not there: %v, %v", got, err)
	}
	if _, err := merge(data[:len(data)-1], nil); !errors.Is(err, errChunk) {
		t.Errorf("damaged: %v", err)
	}
}

// FuzzReadChunk: whatever the octets are, reading them ends, with an error that
// says so where they are no chunk.
func FuzzReadChunk(f *testing.F) {
	_, data := chunkOf(3)
	f.Add(data)
	f.Add(data[:20])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, summed(data)} {
			var again []rrsetOf
			err := readChunk(data, func(k zone.Key, set zone.RRset) error {
				again = append(again, rrsetOf{k, set})
				return nil
			})
			if err != nil && !errors.Is(err, errChunk) {
				t.Fatal(err)
			}
		}
	})
}

// summed gives octets the checksum that a chunk of them has.
func summed(data []byte) []byte {
	if len(data) < chunkHeader {
		return data
	}
	c := chunk{data: slices.Clone(data), sets: int(data[7])}
	return c.bytes()
}

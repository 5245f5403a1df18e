package zone

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// blockSize is how many RRsets a block has at most, and blockOctets about how
// many octets they take in a message where their owners end in a pointer to the
// apex. What goes out of memory in a transfer goes by blocks: one fills a message,
// with room for header, question, SOA, OPT and TSIG, and a change costs no more
// than making some blocks again.
const (
	blockSize   = 2048
	blockOctets = 62 << 10
)

// entry is an RRset with its sort key at hand.
type entry struct {
	key Key
	set RRset
}

func (e entry) id() ID { return ID{e.key, e.set.Type, e.set.Covers} }

// Snapshot is one version of a zone. It never changes and may be shared by any
// number of goroutines. Its RRsets stand in canonical order in blocks; Apply
// makes the next version and shares all blocks that the change does not touch.
type Snapshot struct {
	apex    Name
	apexKey Key
	soaSet  RRset
	soa     SOA
	blocks  [][]entry // none empty
	rrsets  int
	records int
	octets  int
}

// Apex is the zone's name.
func (s *Snapshot) Apex() Name { return s.apex }

// SOA is the parsed SOA record.
func (s *Snapshot) SOA() SOA { return s.soa }

// SOASet is the SOA's RRset.
func (s *Snapshot) SOASet() RRset { return s.soaSet }

// Serial of this version.
func (s *Snapshot) Serial() Serial { return s.soa.Serial }

// RRsets counts the RRsets, the SOA included.
func (s *Snapshot) RRsets() int { return s.rrsets }

// Records counts the records, the SOA included.
func (s *Snapshot) Records() int { return s.records }

// Octets is the size of all records in uncompressed wire form.
func (s *Snapshot) Octets() int { return s.octets }

// All yields every RRset in canonical order, the SOA where it sorts.
func (s *Snapshot) All() iter.Seq[RRset] {
	return func(yield func(RRset) bool) {
		for _, b := range s.blocks {
			for i := range b {
				if !yield(b[i].set) {
					return
				}
			}
		}
	}
}

// From yields the RRsets whose owner's key is at least k, in canonical order,
// each with its key.
func (s *Snapshot) From(k Key) iter.Seq2[Key, RRset] {
	return func(yield func(Key, RRset) bool) {
		bi, i := s.search(ID{Owner: k})
		for ; bi < len(s.blocks); bi, i = bi+1, 0 {
			for _, e := range s.blocks[bi][i:] {
				if !yield(e.key, e.set) {
					return
				}
			}
		}
	}
}

// At is the RRsets of one owner, in order of type; nil when it has none.
func (s *Snapshot) At(k Key) []RRset {
	var out []RRset
	for key, set := range s.From(k) {
		if key != k {
			break
		}
		out = append(out, set)
	}
	return out
}

// Get is one RRset.
func (s *Snapshot) Get(id ID) (RRset, bool) {
	bi, i := s.search(id)
	if bi < len(s.blocks) && s.blocks[bi][i].id() == id {
		return s.blocks[bi][i].set, true
	}
	return RRset{}, false
}

// Has says whether the name exists (RFC 4592 section 2.2.2): it owns a record,
// or a name below it does.
func (s *Snapshot) Has(k Key) bool {
	for key := range s.From(k) {
		return key.Under(k)
	}
	return false
}

// Before is the greatest owner that sorts before k and owns an RRset of type t;
// false when there is none. Denial of existence by NSEC needs it.
func (s *Snapshot) Before(k Key, t Type) (RRset, bool) {
	bi, i := s.search(ID{Owner: k})
	for {
		for i--; i >= 0; i-- {
			if e := s.blocks[bi][i]; e.set.Type == t {
				return e.set, true
			}
		}
		if bi--; bi < 0 {
			return RRset{}, false
		}
		i = len(s.blocks[bi])
	}
}

// search finds the place of the first entry that is not less than id.
func (s *Snapshot) search(id ID) (block, index int) {
	block = sort.Search(len(s.blocks), func(i int) bool {
		b := s.blocks[i]
		return b[len(b)-1].id().Compare(id) >= 0
	})
	if block == len(s.blocks) {
		return block, 0
	}
	b := s.blocks[block]
	return block, sort.Search(len(b), func(i int) bool { return b[i].id().Compare(id) >= 0 })
}

// ErrNoSOA is returned for content without an SOA at the apex.
var ErrNoSOA = errors.New("no SOA record at the zone apex")

func (s *Snapshot) setSOA() error {
	set, ok := s.Get(ID{s.apexKey, TypeSOA, 0})
	if !ok {
		return fmt.Errorf("zone %s: %w", s.apex, ErrNoSOA)
	}
	soa, err := ParseSOA(set.Data.First())
	if err != nil {
		return fmt.Errorf("zone %s: %w", s.apex, err)
	}
	s.soaSet, s.soa = set, soa
	return nil
}

// addBlocks counts entries and appends them in blocks.
func (s *Snapshot) addBlocks(e []entry) {
	begin, size := 0, 0
	for i := range e {
		n := s.count(e[i].set, 1)
		if i > begin && (size+n > blockOctets || i-begin == blockSize) {
			s.blocks = append(s.blocks, e[begin:i:i])
			begin, size = i, 0
		}
		size += n
	}
	if begin < len(e) {
		s.blocks = append(s.blocks, e[begin:len(e):len(e)])
	}
}

// Blocks counts the blocks: see Block.
func (s *Snapshot) Blocks() int { return len(s.blocks) }

// Block yields the RRsets of the i-th block. One after the other blocks are All;
// each takes about as many octets as a message holds.
func (s *Snapshot) Block(i int) iter.Seq[RRset] {
	return func(yield func(RRset) bool) {
		for j := range s.blocks[i] {
			if !yield(s.blocks[i][j].set) {
				return
			}
		}
	}
}

// Shared yields those blocks that the snapshot has from another version: which
// block each is here, and there.
func (s *Snapshot) Shared(old *Snapshot) iter.Seq2[int, int] {
	there := make(map[*entry]int, len(old.blocks))
	for j, b := range old.blocks {
		there[&b[0]] = j
	}
	return func(yield func(int, int) bool) {
		for i, b := range s.blocks {
			j, ok := there[&b[0]]
			if ok && len(old.blocks[j]) == len(b) && !yield(i, j) {
				return
			}
		}
	}
}

// count adds an RRset to the numbers, or with -1 takes it off them, and returns
// how many octets it takes in a message, or a few more.
func (s *Snapshot) count(set RRset, sign int) (packed int) {
	const pointer = 2
	n := set.Data.Len()
	octets := n*(len(set.Owner)+8) + len(set.Data)
	s.rrsets += sign
	s.records += sign * n
	s.octets += sign * octets
	return octets - n*max(len(s.apex)-pointer, 0)
}

// Builder collects the RRsets of a snapshot. It is used by one goroutine and
// once.
type Builder struct {
	apex    Name
	entries []entry
	sorted  bool
}

// NewBuilder starts a zone with this apex. size is a hint: RRsets to come.
func NewBuilder(apex Name, size int) *Builder {
	return &Builder{apex: apex, entries: make([]entry, 0, size), sorted: true}
}

// Add takes one RRset. RRsets of the same ID are merged by Build.
func (b *Builder) Add(set RRset) { b.AddKeyed(set.Owner.Key(), set) }

// AddKeyed is Add for a caller that has the owner's key at hand.
func (b *Builder) AddKeyed(key Key, set RRset) {
	e := entry{key, set}
	if n := len(b.entries); n > 0 && b.sorted && b.entries[n-1].id().Compare(e.id()) >= 0 {
		b.sorted = false
	}
	b.entries = append(b.entries, e)
}

// Len is how many RRsets were added.
func (b *Builder) Len() int { return len(b.entries) }

// Sorted says whether all RRsets came in canonical order, each once.
func (b *Builder) Sorted() bool { return b.sorted }

// From yields what was added from the i-th RRset on, up to now. It may be used
// while more is added, and as long as the builder is Sorted also after Build.
func (b *Builder) From(i int) iter.Seq[RRset] {
	added := b.entries[i:len(b.entries):len(b.entries)]
	return func(yield func(RRset) bool) {
		for j := range added {
			if !yield(added[j].set) {
				return
			}
		}
	}
}

// Build makes the snapshot. Of RRsets with the same ID the records are united;
// the first one's TTL and owner spelling hold. The error is ErrNoSOA, or says
// what is wrong with the SOA. Nothing else is checked here: see Check.
func (b *Builder) Build() (*Snapshot, error) {
	if !b.sorted {
		slices.SortStableFunc(b.entries, func(x, y entry) int { return x.id().Compare(y.id()) })
		b.merge()
	}
	s := &Snapshot{apex: b.apex, apexKey: b.apex.Key()}
	s.addBlocks(b.entries)
	b.entries = nil
	if err := s.setSOA(); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *Builder) merge() {
	out := b.entries[:0]
	for i := 0; i < len(b.entries); {
		e := b.entries[i]
		j := i + 1
		for j < len(b.entries) && b.entries[j].key == e.key && b.entries[j].id() == e.id() {
			j++
		}
		if j-i > 1 {
			var all []string
			for _, o := range b.entries[i:j] {
				all = slices.AppendSeq(all, o.set.Data.All())
			}
			e.set.Data = PackRdata(all...)
		}
		out = append(out, e)
		i = j
	}
	clear(b.entries[len(out):])
	b.entries = out
}

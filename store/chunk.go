package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"

	"dnsctl/zone"
)

// A chunk is consecutive RRsets of a large content in one value: reading a row
// for each takes ten times as long. It is
//
//	u32  CRC-32C of what follows
//	u32  how many RRsets
//
// and for each of them, in canonical order,
//
//	u16  length of the owner's key
//	u8   length of the owner
//	u16  type
//	u16  type covered
//	u32  TTL
//	u32  length of the data
//	     the owner's key (zone.Key), the owner (zone.Name), the data (zone.Rdata)
//
// all big-endian.
const (
	chunkHeader = 4 + 4
	chunkSetLen = 2 + 1 + 2 + 2 + 4 + 4
)

const (
	// chunksFrom is how many RRsets a content has that is kept in chunks too.
	chunksFrom = 4096
	// chunkSets and chunkOctets are about how large a chunk is when it is made;
	// all that one owner has stands in the same one.
	chunkSets   = 512
	chunkOctets = 48 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errChunk says that a chunk is not as it was written.
var errChunk = errors.New("damaged chunk")

// chunk is a chunk being made.
type chunk struct {
	first, last zone.Key
	sets        int
	data        []byte
}

func (c *chunk) add(k zone.Key, set zone.RRset) {
	if c.sets == 0 {
		c.first, c.data = k, append(c.data[:0], make([]byte, chunkHeader)...)
	}
	c.last = k
	c.sets++
	b := binary.BigEndian.AppendUint16(c.data, uint16(len(k)))
	b = append(b, byte(len(set.Owner)))
	b = binary.BigEndian.AppendUint16(b, uint16(set.Type))
	b = binary.BigEndian.AppendUint16(b, uint16(set.Covers))
	b = binary.BigEndian.AppendUint32(b, set.TTL)
	b = binary.BigEndian.AppendUint32(b, uint32(len(set.Data)))
	b = append(b, k...)
	b = append(b, set.Owner...)
	c.data = append(b, set.Data...)
}

// full says that the chunk ends before this owner's RRsets.
func (c *chunk) full(next zone.Key) bool {
	return (c.sets >= chunkSets || len(c.data) >= chunkOctets) && next != c.last
}

// bytes is the chunk as it is stored; it is used up with the next add.
func (c *chunk) bytes() []byte {
	binary.BigEndian.PutUint32(c.data[4:], uint32(c.sets))
	binary.BigEndian.PutUint32(c.data, crc32.Checksum(c.data[4:], castagnoli))
	c.sets = 0
	return c.data
}

// chunked makes chunks of RRsets in canonical order. The first chunk has the
// apex's alone, when apex is one: they change with each serial.
func chunked(sets iter.Seq2[zone.Key, zone.RRset], apex zone.Key) iter.Seq2[zone.Key, []byte] {
	return func(yield func(zone.Key, []byte) bool) {
		var c chunk
		for k, set := range sets {
			if c.sets > 0 && (c.full(k) || c.last == apex && k != apex) && !yield(c.first, c.bytes()) {
				return
			}
			c.add(k, set)
		}
		if c.sets > 0 {
			yield(c.first, c.bytes())
		}
	}
}

// openChunk says how many RRsets a chunk has, and what they are read from, which
// is a copy.
func openChunk(data []byte) (n int, sets string, err error) {
	if len(data) < chunkHeader || crc32.Checksum(data[4:], castagnoli) != binary.BigEndian.Uint32(data) {
		return 0, "", fmt.Errorf("%w: its checksum differs", errChunk)
	}
	return int(binary.BigEndian.Uint32(data[4:])), string(data[chunkHeader:]), nil
}

// readChunk gives the RRsets of a chunk. What it gives does not refer to data.
func readChunk(data []byte, give func(zone.Key, zone.RRset) error) error {
	n, s, err := openChunk(data)
	if err != nil {
		return err
	}
	return readSets(n, s, give)
}

// readSets gives n RRsets, which are parts of s.
func readSets(n int, s string, give func(zone.Key, zone.RRset) error) error {
	for range n {
		if len(s) < chunkSetLen {
			return fmt.Errorf("%w: it is too short", errChunk)
		}
		key, owner := int(s[0])<<8|int(s[1]), int(s[2])
		set := zone.RRset{Type: zone.Type(s[3])<<8 | zone.Type(s[4]), Covers: zone.Type(s[5])<<8 | zone.Type(s[6]),
			TTL: uint32(s[7])<<24 | uint32(s[8])<<16 | uint32(s[9])<<8 | uint32(s[10])}
		size := int(s[11])<<24 | int(s[12])<<16 | int(s[13])<<8 | int(s[14])
		s = s[chunkSetLen:]
		if len(s) < key+owner+size {
			return fmt.Errorf("%w: it is too short", errChunk)
		}
		k := zone.Key(s[:key])
		set.Owner, set.Data = zone.Name(s[key:key+owner]), zone.Rdata(s[key+owner:key+owner+size])
		s = s[key+owner+size:]
		if err := give(k, set); err != nil {
			return err
		}
	}
	if s != "" {
		return fmt.Errorf("%w: there is something behind its end", errChunk)
	}
	return nil
}

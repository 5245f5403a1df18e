package zonefile

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"dnsctl/zone"
)

// Write writes the zone as a master file: the SOA first, then everything in
// canonical order, one record per line, names absolute, columns separated by
// tabs. Read makes the same snapshot of it.
func Write(w io.Writer, s *zone.Snapshot) error {
	bw := bufio.NewWriterSize(w, 64<<10)
	e := emitter{w: bw}
	e.rrset(s.SOASet())
	for set := range s.All() {
		if set.Type == zone.TypeSOA && set == s.SOASet() {
			continue
		}
		if e.rrset(set); e.err != nil {
			break
		}
	}
	if e.err == nil {
		e.err = bw.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("write zone %s: %w", s.Apex(), e.err)
	}
	return nil
}

// AppendRecords appends the lines of one RRset as Write writes them.
func AppendRecords(dst []byte, set zone.RRset) []byte {
	var e emitter
	e.begin(set)
	for rdata := range set.Data.All() {
		dst = append(dst, e.prefix...)
		dst = append(appendRdata(dst, set.Type, rdata), '\n')
	}
	return dst
}

// emitter writes lines and keeps what consecutive ones share.
type emitter struct {
	w      *bufio.Writer
	err    error
	owner  zone.Name
	prefix []byte // owner, TTL, class and type of the RRset
	name   int    // length of the owner and its tab in prefix
	line   []byte
}

func (e *emitter) begin(set zone.RRset) {
	if set.Owner != e.owner {
		e.owner = set.Owner
		e.prefix = append(append(e.prefix[:0], set.Owner.String()...), '\t')
		e.name = len(e.prefix)
	}
	e.prefix = strconv.AppendUint(e.prefix[:e.name], uint64(set.TTL), 10)
	e.prefix = append(e.prefix, "\tIN\t"...)
	e.prefix = append(append(e.prefix, set.Type.String()...), '\t')
}

func (e *emitter) rrset(set zone.RRset) {
	e.begin(set)
	for rdata := range set.Data.All() {
		e.line = append(e.line[:0], e.prefix...)
		e.line = append(appendRdata(e.line, set.Type, rdata), '\n')
		if _, err := e.w.Write(e.line); err != nil {
			e.err = err
			return
		}
	}
}

// Package zonefile reads and writes zones as text: master files (RFC 1035
// section 5, with BIND's $TTL of RFC 2308 and $GENERATE, and RFC 3597's unknown
// types) and single records in presentation form.
//
// The reader streams: it holds one record's text at a time, and refuses one
// that is longer than MaxRecord. What it makes is a zone.Snapshot in wire form.
// Where implementations differ it does what named does, since a zone that is
// moved here must stay the zone that was served:
//
//   - a record without a TTL takes that of $TTL; where there was none, the last
//     TTL that was written; before any, the SOA's minimum;
//   - $TTL holds on after the end of an included file, origin and owner do not;
//   - records of one RRset with different TTLs get one: that of the first in a
//     run of lines of the same owner, and of the last such run;
//   - a repeated record is dropped, also one that differs only in the letter
//     case of names inside its rdata;
//   - $GENERATE does not change the last owner.
//
// It is stricter than named where that would change or lose a record silently:
// records out of the zone, TTLs over 2^31-1 and a second SOA are errors.
package zonefile

// Package zone is the model: names, RRsets, serials, immutable snapshots of a
// zone and the deltas between them. It is pure: no clock, no network, no
// database, no text beyond names and type mnemonics.
//
// Everything is kept as it stands on the wire. Presentation form lives in
// zone/zonefile.
package zone

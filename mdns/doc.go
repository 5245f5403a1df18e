// Package mdns is the hidden primary: it answers questions about, and transfers,
// the zones of a store to those whom a TSIG key or a pool's list of addresses
// lets see them.
//
// The index holds every live zone's name, serial and SOA in memory and follows
// the store's change feed. Content is loaded when it is asked for, as immutable
// snapshots in a cache bounded by octets; a change is applied to the snapshot at
// hand from its stored delta. A transfer holds one snapshot from its first octet
// to its last.
package mdns

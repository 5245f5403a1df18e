// Package store keeps everything that dnsctl knows, in SQLite or PostgreSQL:
// zones and their content, history, the change feed, pools, servers, keys,
// tasks, events, quarantined copies and leases. One concrete Store serves both
// databases; what differs between them is in a small dialect.
//
// All methods may be called from several goroutines and from several processes
// at once. Nothing is ever computed inside a transaction by callers: they read,
// compute, and hand over a change that says what it was computed from, which is
// refused with fleet.ErrConflict when that has moved.
//
// Methods that take a yield function read in one database snapshot and call it
// while that is open; yield must not wait for the network. Its error ends the
// stream and is returned as it is.
package store

// Package bind is the driver for BIND 9 (9.16 and later): its rndc control
// channel spoken natively, the inventory over the statistics channel, and the
// configuration of a new server.
package bind

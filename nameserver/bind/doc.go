// Package bind is the driver for BIND 9 (tried with 9.18 and 9.20): its rndc control
// channel spoken natively, the inventory over the statistics channel, and the
// configuration of a new server.
package bind

// Package testbed runs real servers privately for tests and benchmarks: named
// and PostgreSQL, each in a folder of its own, on free ports of loopback, ended
// and waited for when the test is over. No system service is touched.
//
// A server that cannot be started fails the test; nothing here ever skips.
package testbed

// Package fleet is what dnsctl knows of zones as things to be served and of the
// nameservers that serve them: zones, pools, memberships, servers, TSIG keys,
// the change feed's entries, markers, and the changes that a commit is made of.
// These are plain values; the store keeps them, edit and the commands make them.
package fleet

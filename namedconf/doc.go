// Package namedconf reads which zones a BIND configuration has: named.conf with
// its includes, views and options, as far as an import needs them. Statements
// that it does not know are passed over by their structure; whether named would
// take them is named-checkconf's to say.
package namedconf

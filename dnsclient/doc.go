// Package dnsclient is what we ask over DNS: who serves which serial (a Prober
// for very many questions, Ask for one), whole zones and their changes (Transfer,
// IXFR), and NOTIFY. Every question may be signed with a TSIG key given with it;
// an answer to a signed question counts only when its signature holds.
//
// Errors are *Error: their Kind is one of the Err values here, and they carry a
// hint for people, which report.ExitOf finds.
package dnsclient

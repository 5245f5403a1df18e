// Package wire reads and writes DNS messages as bytes: headers, names with
// compression, records, EDNS, TCP framing and TSIG. Everything appends to the
// caller's buffers; nothing is allocated per record written.
//
// An Encoder writes one message; a Reader walks one. ParseQuery is what a server
// wants to know of a request. TSIG (RFC 8945) works on finished messages: Sign
// and Verify for one request, Signer for the responses of a server (a transfer's
// many messages included), Verifier for those that a client receives.
package wire

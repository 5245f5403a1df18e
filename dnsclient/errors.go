package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"dnsctl/report"
	"dnsctl/wire"
	"dnsctl/zone"
)

// The kinds of Error, for errors.Is.
var (
	ErrRefused     = errors.New("the server refuses")
	ErrNotAuth     = errors.New("the server is not authoritative for the zone")
	ErrServFail    = errors.New("the server fails")
	ErrNotImp      = errors.New("the server does not implement the request")
	ErrFormErr     = errors.New("the server finds the request malformed")
	ErrRcode       = errors.New("the server answers with an error")
	ErrTimeout     = errors.New("no answer in time")
	ErrUnreachable = errors.New("the server cannot be reached")
	ErrMismatch    = errors.New("the answer does not belong to the question")
	ErrMalformed   = errors.New("the answer is malformed")
	ErrCut         = errors.New("the answer ends before the zone does")
	ErrTooLarge    = errors.New("the answer is larger than allowed")
	ErrTSIG        = errors.New("TSIG check failed")
)

// Op is what was being done.
type Op string

// The operations.
const (
	OpAsk      Op = "ask"
	OpTransfer Op = "transfer"
	OpChanges  Op = "transfer changes of"
	OpNotify   Op = "notify"
)

// Error says which request to which server went wrong and how.
type Error struct {
	Op     Op
	Server netip.AddrPort
	Zone   zone.Name
	Type   zone.Type
	Kind   error          // one of the Err values, or zone.ErrDelta; nil when the context was cancelled
	Rcode  wire.Rcode     // what the server answered, where it did
	TSIG   wire.TSIGError // with ErrTSIG, where there is a code
	Key    zone.Name      // the key the request was signed with, "" for none
	Err    error          // the particulars, may be nil
}

func (e *Error) Error() string {
	var what string
	switch e.Op {
	case OpAsk:
		what = fmt.Sprintf("ask %s for %s %s", e.Server, e.Zone, e.Type)
	case OpNotify:
		what = fmt.Sprintf("notify %s of %s", e.Server, e.Zone)
	default:
		what = fmt.Sprintf("%s %s from %s", e.Op, e.Zone, e.Server)
	}
	switch {
	case e.Kind == nil || e.Err != nil && errors.Is(e.Err, e.Kind):
		return fmt.Sprintf("%s: %v", what, e.Err)
	case e.Rcode == wire.RcodeNotAuth && errors.Is(e.Err, wire.ErrUnsigned): // PowerDNS leaves the error of RFC 8945 out
		return fmt.Sprintf("%s: %v: %v (the server answers %s: it does not know the key so, or its clock is off)", what, e.Kind, e.Err, e.Rcode)
	case e.Err != nil && e.Rcode != 0:
		return fmt.Sprintf("%s: %v: %v (the server answers %s)", what, e.Kind, e.Err, e.Rcode)
	case e.Err != nil:
		return fmt.Sprintf("%s: %v: %v", what, e.Kind, e.Err)
	case e.Rcode != 0:
		return fmt.Sprintf("%s: %v: %v", what, e.Kind, e.Rcode)
	}
	return fmt.Sprintf("%s: %v", what, e.Kind)
}

// Unwrap gives the kind and the particulars.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// As lets report.ExitOf find the hint without every caller adding it.
func (e *Error) As(target any) bool {
	t, ok := target.(**report.Error)
	if ok {
		*t = &report.Error{Err: e, Hint: e.Hint(), Exit: report.ExitFailed}
	}
	return ok
}

// Hint says what a person can do about it; empty when there is no advice.
func (e *Error) Hint() string {
	switch e.Kind {
	case ErrRefused, ErrNotAuth: //nolint:errorlint // a kind is the package's own value, never a wrapped one
		return e.refusalHint()
	case ErrServFail:
		return "the zone is not loaded or has expired there; the server's log says why"
	case ErrNotImp, ErrFormErr:
		if e.Op == OpChanges {
			return "the server does not do IXFR; transfer the whole zone"
		}
		return "the server does not understand the request; is it a DNS server of the expected kind?"
	case ErrTimeout:
		return "check that the server runs, its address and port, and firewalls for UDP and TCP"
	case ErrUnreachable:
		return "check that the server runs and listens on this address and port"
	case ErrMismatch, ErrMalformed:
		return "something other than the nameserver may be answering on this address; look with dig"
	case ErrCut:
		return "the server or something between broke the transfer off; its log says why; try again"
	case ErrTooLarge:
		return "the zone is larger than the limit for transfers"
	case zone.ErrDelta:
		return "the zone's content differs from the server's at the same serial; transfer the whole zone"
	case ErrTSIG:
		return e.tsigHint()
	}
	return ""
}

func (e *Error) refusalHint() string {
	with := "our address"
	if e.Key != "" {
		with = "the key " + e.Key.String()
	}
	switch {
	case e.Op == OpNotify:
		return "the server does not have the zone as a secondary, or does not take NOTIFY from " + with + " for it"
	case e.Op == OpAsk || errors.Is(e.Kind, ErrNotAuth):
		return "the server does not have the zone, or not for " + with
	}
	return "let " + with + " transfer the zone there: allow-transfer (BIND), provide-xfr (NSD), acl (Knot), allow-axfr-ips or TSIG-ALLOW-AXFR (PowerDNS)"
}

func (e *Error) tsigHint() string {
	switch e.TSIG {
	case wire.BadKey:
		return fmt.Sprintf("the server does not know the key %s, or knows it with another algorithm", e.Key)
	case wire.BadSig:
		return fmt.Sprintf("the secret of the key %s differs between here and the server", e.Key)
	case wire.BadTime:
		return "the clocks here and on the server differ by more than five minutes; set them (NTP)"
	case wire.BadTrunc:
		return "the server shortens its signatures more than the key allows"
	}
	if errors.Is(e.Err, wire.ErrUnsigned) {
		return fmt.Sprintf("the server answers without a signature: make the key %s known to it", e.Key)
	}
	return fmt.Sprintf("compare the key %s here and on the server", e.Key)
}

// rcodeKind is the kind for an error answer.
func rcodeKind(r wire.Rcode) error {
	switch r {
	case wire.RcodeRefused:
		return ErrRefused
	case wire.RcodeNotAuth:
		return ErrNotAuth
	case wire.RcodeServFail:
		return ErrServFail
	case wire.RcodeNotImp:
		return ErrNotImp
	case wire.RcodeFormErr:
		return ErrFormErr
	}
	return ErrRcode
}

// kinds that inner code wraps its errors with; classify finds them again.
var kinds = [...]error{ErrMismatch, ErrMalformed, ErrCut, ErrTooLarge, ErrTSIG, ErrTimeout, ErrUnreachable, zone.ErrDelta}

// classify makes err the particulars of e and finds its kind.
func (e *Error) classify(ctx context.Context, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	e.Err = err
	if cause := ctx.Err(); cause != nil {
		e.Err = cause
		if errors.Is(cause, context.DeadlineExceeded) {
			e.Kind = ErrTimeout
		}
		return e
	}
	var code wire.TSIGError
	switch {
	case errors.As(err, &code):
		e.Kind, e.TSIG = ErrTSIG, code
		return e
	case errors.Is(err, wire.ErrUnsigned) || errors.Is(err, wire.ErrTSIG):
		e.Kind = ErrTSIG
		return e
	}
	for _, k := range kinds {
		if errors.Is(err, k) {
			e.Kind, e.Err = k, trim(err, k)
			return e
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		e.Kind, e.Err = ErrTimeout, nil
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		e.Kind = ErrCut
	case errors.Is(err, wire.ErrShort) || errors.Is(err, wire.ErrName) || errors.Is(err, wire.ErrRdata):
		e.Kind = ErrMalformed
	default:
		e.Kind = ErrUnreachable
	}
	return e
}

// trim drops the kind's own words from err, which Error says itself.
func trim(err, kind error) error {
	if err == kind { //nolint:errorlint // what wraps the kind has more to say
		return nil
	}
	var d *detail
	if errors.As(err, &d) && errors.Is(d.kind, kind) {
		return d.err
	}
	return err
}

// detail is an error of a kind with particulars.
type detail struct{ kind, err error }

func (d *detail) Error() string   { return d.kind.Error() + ": " + d.err.Error() }
func (d *detail) Unwrap() []error { return []error{d.kind, d.err} }

// bad makes an error of a kind.
func bad(kind error, format string, args ...any) error {
	return &detail{kind, fmt.Errorf(format, args...)}
}

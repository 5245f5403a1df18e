package inventory

import (
	"testing"

	"dnsctl/dnsclient"
	"dnsctl/wire"
)

func TestAnswersOfAServerThatDoesNotKnowOurKey(t *testing.T) {
	t.Parallel()
	for want, errs := range map[bool][]error{
		true: {
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, TSIG: wire.BadKey, Rcode: wire.RcodeNotAuth},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, Err: wire.ErrUnsigned, Rcode: wire.RcodeRefused},
		},
		false: {
			nil,
			&dnsclient.Error{Kind: dnsclient.ErrTimeout},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, TSIG: wire.BadSig, Rcode: wire.RcodeNotAuth},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, TSIG: wire.BadTime, Rcode: wire.RcodeNotAuth},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, Err: wire.ErrUnsigned}, // data that anybody may have sent
			&dnsclient.Error{Kind: dnsclient.ErrRefused, Rcode: wire.RcodeRefused},
		},
	} {
		for _, err := range errs {
			if knowsNoKey(err) != want {
				t.Errorf("%v: %v", err, !want)
			}
		}
	}
}

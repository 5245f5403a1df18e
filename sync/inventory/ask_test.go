package inventory

import (
	"errors"
	"testing"

	"dnsctl/dnsclient"
	"dnsctl/nameserver/bind"
	"dnsctl/wire"
)

func TestAnswersOfAServerThatDoesNotKnowOurKey(t *testing.T) {
	t.Parallel()
	for want, errs := range map[bool][]error{
		true: {
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, TSIG: wire.BadKey, Rcode: wire.RcodeNotAuth},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, Err: wire.ErrUnsigned, Rcode: wire.RcodeRefused},
			&dnsclient.Error{Kind: dnsclient.ErrTSIG, Err: wire.ErrUnsigned, Rcode: wire.RcodeNotAuth},
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

func TestATransferIsAskedForWithTheKeyOfEachPool(t *testing.T) {
	t.Parallel()
	s := &Session{keys: keyring{each: []*wire.Key{{Name: "main."}, nil, {Name: "side."}}}, Type: bind.New()}
	refused := &dnsclient.Error{Kind: dnsclient.ErrRefused, Rcode: wire.RcodeRefused}
	broken := &dnsclient.Error{Kind: dnsclient.ErrTimeout}
	for name, tt := range map[string]struct {
		answers []error
		want    error
	}{
		"the first":             {[]error{nil}, nil},
		"the last":              {[]error{refused, refused, nil}, nil},
		"none":                  {[]error{refused, refused, refused}, refused},
		"one that is not there": {[]error{broken}, broken},
	} {
		asked := 0
		err := s.transfer("zone.example.", func(q Question) error {
			if q.Key != s.keys.each[asked] || q.Zone != "zone.example." {
				t.Errorf("%s: try %d is %+v", name, asked, q)
			}
			asked++
			return tt.answers[asked-1]
		})
		if !errors.Is(err, tt.want) || asked != len(tt.answers) {
			t.Errorf("%s: %v after %d tries", name, err, asked)
		}
	}
}

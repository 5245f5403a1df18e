package inventory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/sync/plan"
	"dnsctl/wire"
	"dnsctl/zone"
)

// DNS asks over the network.
type DNS struct {
	Client *dnsclient.Client
	Prober *dnsclient.Prober
}

var _ Asker = DNS{}

// late is after how long without an answer Glance does not wait for more.
const late = 200 * time.Millisecond

// SOAs implements Asker.
func (d DNS) SOAs(ctx context.Context, n int, question func(i int) Question, got func(i int, p plan.Probe)) error {
	return d.soas(ctx, dnsclient.SweepOptions{}, n, question, got)
}

// Glance implements Asker.
func (d DNS) Glance(ctx context.Context, n int, question func(i int) Question, got func(i int, p plan.Probe)) error {
	return d.soas(ctx, dnsclient.SweepOptions{Late: late}, n, question, got)
}

func (d DNS) soas(ctx context.Context, o dnsclient.SweepOptions, n int, question func(i int) Question, got func(i int, p plan.Probe)) error {
	var again []int // unsigned
	err := d.sweep(ctx, o, n, question, func(i int, r dnsclient.Result) {
		if knowsNoKey(r.Err) && question(i).OrPlain {
			again = append(again, i)
			return
		}
		got(i, probeOf(r))
	})
	if err != nil || len(again) == 0 {
		return err
	}
	plain := func(i int) Question {
		q := question(again[i])
		q.Key = nil
		return q
	}
	return d.sweep(ctx, o, len(again), plain, func(i int, r dnsclient.Result) { got(again[i], probeOf(r)) })
}

// knowsNoKey says whether a server answered that it does not know our key, or
// refused without the signature that it owed us, as Knot DNS 3.4 does with NOTAUTH.
func knowsNoKey(err error) bool {
	var e *dnsclient.Error
	return errors.As(err, &e) && (e.TSIG == wire.BadKey || (e.Rcode == wire.RcodeRefused || e.Rcode == wire.RcodeNotAuth) && errors.Is(e, wire.ErrUnsigned))
}

func (d DNS) sweep(ctx context.Context, o dnsclient.SweepOptions, n int, question func(i int) Question, got func(i int, r dnsclient.Result)) error {
	items := iter.Seq[dnsclient.Probe](func(yield func(dnsclient.Probe) bool) {
		for i := range n {
			q := question(i)
			if !yield(dnsclient.Probe{Server: q.Addr, Zone: q.Zone, Key: q.Key, Ref: i}) {
				return
			}
		}
	})
	return d.Prober.Sweep(ctx, items, o, func(r dnsclient.Result) error {
		i, _ := r.Ref.(int)
		got(i, r)
		return nil
	})
}

func probeOf(r dnsclient.Result) plan.Probe {
	p := plan.Probe{Asked: true, Serves: r.Serves(), Serial: r.Serial, SOA: r.SOA}
	switch {
	case r.Err != nil:
		p.Lost, p.Err = true, r.Err.Error()
	case p.Serves:
	case r.Owner != "" && !r.Owner.Equal(r.Zone):
		p.Err = fmt.Sprintf("it answers for %s instead", r.Owner)
	case r.Owner != "":
		p.Err = "it answers without authority"
	default:
		p.Err = fmt.Sprintf("it answers %s", r.Rcode)
	}
	return p
}

// Witnesses implements Asker.
func (d DNS) Witnesses(ctx context.Context, n int, question func(i int) (Question, zone.Type), got func(i int, data zone.Rdata, has bool)) error {
	items := iter.Seq[dnsclient.Probe](func(yield func(dnsclient.Probe) bool) {
		for i := range n {
			q, typ := question(i)
			if !yield(dnsclient.Probe{Server: q.Addr, Zone: q.Zone, Key: q.Key, Ref: i, Witness: typ}) {
				return
			}
		}
	})
	return d.Prober.Sweep(ctx, items, dnsclient.SweepOptions{}, func(r dnsclient.Result) error {
		i, _ := r.Ref.(int)
		got(i, r.Witnessed, r.Err == nil && r.Rcode == wire.RcodeSuccess && r.AA)
		return nil
	})
}

// TXT implements Asker.
func (d DNS) TXT(ctx context.Context, q Question) (string, error) {
	a, err := d.Client.Ask(ctx, q.Addr, q.Zone, zone.TypeTXT, q.Key)
	if err != nil {
		return "", err
	}
	set, ok := a.RRset(q.Zone, zone.TypeTXT)
	if !ok {
		return "", fmt.Errorf("%s at %s has no TXT: %s", q.Zone, q.Addr, a.Rcode)
	}
	text, ok := fleet.TXTText(set.Data.First())
	if !ok {
		return "", fmt.Errorf("%s at %s: its TXT is malformed", q.Zone, q.Addr)
	}
	return text, nil
}

// Accepts implements Asker.
func (d DNS) Accepts(ctx context.Context, q Question) Acceptance {
	a, err := d.Client.Ask(ctx, q.Addr, q.Zone, zone.TypeSOA, q.Key)
	if err != nil {
		return Doubtful
	}
	if _, ok := a.RRset(q.Zone, zone.TypeSOA); ok {
		return Served
	}
	return Known
}

// Walk implements Asker.
func (d DNS) Walk(ctx context.Context, q Question, put func(zone.Key, zone.RRset)) error {
	return d.Client.Walk(ctx, q.Addr, q.Zone, q.Key, dnsclient.TransferOptions{}, put)
}

// Transfer implements Asker.
func (d DNS) Transfer(ctx context.Context, q Question) (*zone.Snapshot, error) {
	return d.Client.Transfer(ctx, q.Addr, q.Zone, q.Key, dnsclient.TransferOptions{})
}

// transfer has a zone transferred with the key of each of the server's pools in
// turn, until one is let in: a nameserver transfers a zone to those who hold the key
// of the pool that it has the zone of.
func (s *Session) transfer(name zone.Name, ask func(Question) error) (err error) {
	q := s.Question(name)
	for _, q.Key = range s.keys.each {
		if err = ask(q); !errors.Is(err, dnsclient.ErrRefused) && !errors.Is(err, dnsclient.ErrNotAuth) && !errors.Is(err, dnsclient.ErrTSIG) {
			return err
		}
	}
	return err
}

package knot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"dnsctl/nameserver"
	"dnsctl/report"
)

// What knotd calls its errors (libknot/errcode.h).
const (
	saysNoZone    = "no such zone found"
	saysNoID      = "invalid identifier"
	saysExists    = "duplicate identifier"
	saysBusy      = "too many transactions"
	saysNoItem    = "not exists"
	saysWrongRole = "operation not supported"
	saysNoTxn     = "no active transaction"
	saysHeld      = "requested resource is busy" // a transaction, by the connection that began it
)

// refused is knotd's own refusal of a request.
type refused struct{ about, says string }

func (e *refused) Error() string {
	if e.about == "" {
		return "knotd says: " + e.says
	}
	return "knotd says of " + e.about + ": " + e.says
}

// Is maps knotd's words to the driver's errors.
func (e *refused) Is(target error) bool {
	switch e.says {
	case saysNoZone:
		return target == nameserver.ErrNoZone
	case saysExists:
		return target == nameserver.ErrExists
	}
	return target == nameserver.ErrRefused
}

// refusal is the error that a unit of an answer carries, if any.
func refusal(u unit) error {
	if u[itemError] == "" {
		return nil
	}
	about := u[itemZone]
	if u[itemSection] != "" {
		about = u[itemSection]
		if u[itemID] != "" {
			about += "[" + u[itemID] + "]"
		}
		if u[itemItem] != "" {
			about += "." + u[itemItem]
		}
	}
	return &refused{about: nameserver.Printable(about), says: nameserver.Printable(u[itemError])}
}

func says(err error, what string) bool {
	var r *refused
	return errors.As(err, &r) && r.says == what
}

// maxSmall is how many units an answer may have that is kept in memory.
const maxSmall = 1 << 20

// small asks for what must be little, and returns the units of each answer, and the
// error that knotd says of each request.
func (c *channel) small(ctx context.Context, requests ...[]unit) (answers [][]unit, errs []error, err error) {
	return c.many(ctx, len(requests), func(i int) []unit { return requests[i] })
}

// many is small for requests that are made when they are sent.
func (c *channel) many(ctx context.Context, n int, request func(i int) []unit) (answers [][]unit, errs []error, err error) {
	answers, errs = make([][]unit, n), make([]error, n)
	units := 0
	err = c.ask(ctx, n, request, func(i int, u unit) error {
		if units++; units > maxSmall {
			return fmt.Errorf("%w: more than %d units", nameserver.ErrAnswer, maxSmall)
		}
		if e := refusal(u); e != nil {
			if errs[i] == nil {
				errs[i] = e
			}
			return nil
		}
		answers[i] = append(answers[i], u)
		return nil
	})
	return answers, errs, err
}

// one is small for one request.
func (c *channel) one(ctx context.Context, units ...unit) ([]unit, error) {
	answers, errs, err := c.small(ctx, units)
	if err != nil {
		return nil, err
	}
	return answers[0], errs[0]
}

// just is the one request of a unit.
func just(u unit) func(int) []unit { return func(int) []unit { return []unit{u} } }

func command(name string) unit { return unit{itemCommand: name} }

// confUnit is a request about a configuration item.
func confUnit(command, section, id, item, data string) unit {
	return unit{itemCommand: command, itemSection: section, itemID: id, itemItem: item, itemData: data}
}

// item is one of a configuration section's, with all its values.
type item struct {
	Name   string   `json:"item"`
	Values []string `json:"values"`
}

// config is sections of the configuration: section, identifier, items in knotd's
// order.
type config map[string]map[string][]item

// get is the values of an item; nil when it is not set.
func (c config) get(section, id, name string) []string {
	for _, it := range c[section][id] {
		if it.Name == name {
			return it.Values
		}
	}
	return nil
}

// put adds what a unit says.
func (c config) put(u unit) {
	section, id := u[itemSection], u[itemID]
	if c[section] == nil {
		c[section] = map[string][]item{}
	}
	if id == "" { // the identifiers themselves are listed as data of the item that holds them
		if _, has := c[section][u[itemData]]; !has {
			c[section][u[itemData]] = nil
		}
		return
	}
	list := c[section][id]
	if i := slices.IndexFunc(list, func(it item) bool { return it.Name == u[itemItem] }); i >= 0 {
		list[i].Values = append(list[i].Values, u[itemData])
		return
	}
	c[section][id] = append(list, item{u[itemItem], []string{u[itemData]}})
}

// shared are the sections that zones refer to.
func shared() []string {
	return []string{"remote", "remotes", "acl", "template", "mod-queryacl"}
}

// readConfig reads the sections that zones refer to, and one zone's where id is not
// "".
func (c *channel) readConfig(ctx context.Context, zoneID string) (config, error) {
	var requests [][]unit
	for _, section := range shared() {
		requests = append(requests, []unit{confUnit("conf-read", section, "", "", "")})
	}
	if zoneID != "" {
		requests = append(requests, []unit{confUnit("conf-read", "zone", zoneID, "", "")})
	}
	answers, errs, err := c.small(ctx, requests...)
	if err != nil {
		return nil, err
	}
	conf := config{}
	for i, answer := range answers {
		// A version without remotes has no such section; a zone of a catalog no such id.
		if errs[i] != nil && !says(errs[i], saysNoID) && !says(errs[i], saysNoItem) {
			if requests[i][0][itemSection] == "remotes" {
				continue
			}
			return nil, errs[i]
		}
		for _, u := range answer {
			conf.put(u)
		}
	}
	return conf, nil
}

const (
	busyEvery = 200 * time.Millisecond
	abortTime = 10 * time.Second
)

// markID is a template that only transactions of ours have, never a configuration:
// the transaction of a dnsctl that was killed is known by it.
const markID = "dnsctl-transaction"

var errBusy = errors.New("another client has a configuration transaction open")

// busy is errBusy with its remedy.
func busy() error {
	return report.Hint(fmt.Errorf("%w: %w", nameserver.ErrRefused, errBusy), "when that client is done, run the command again; one that was left open is ended by: knotc conf-abort")
}

// begin opens a channel and a configuration transaction, of which knotd has one at
// a time. That of another client is waited for a little; one that a killed dnsctl
// has left is ended.
func (d *driver) begin(ctx context.Context) (c *channel, mark string, err error) {
	mark = newMark()
	var seen string // mark of the transaction that is in the way
	since := time.Now()
	for {
		if c, err = connect(ctx, d.to); err != nil {
			return nil, "", err
		}
		// One request, of which knotd does no more once something has failed: so there is
		// never a transaction of ours without its mark, nor the mark in another's.
		_, err = c.one(ctx, command("conf-begin"), confUnit("conf-set", "template", markID, "", ""), confUnit("conf-set", "template", markID, "comment", mark))
		if err == nil {
			err = c.next(ctx)
		}
		if err == nil {
			return c, mark, nil
		}
		if !says(err, saysBusy) {
			d.abort(ctx, c, mark)
			return nil, "", fmt.Errorf("begin a configuration transaction: %w", err)
		}
		other, err := c.mark(ctx)
		if err != nil {
			c.close()
			return nil, "", err
		}
		if other != seen {
			seen, since = other, time.Now()
		}
		if time.Since(since) > d.busyFor && seen == "" {
			c.close()
			return nil, "", busy()
		}
		if time.Since(since) > d.busyFor {
			_, err = c.one(ctx, command("conf-abort"))
		}
		c.close()
		if says(err, saysHeld) {
			err = busy()
		}
		if err != nil {
			return nil, "", err
		}
		if err := pause(ctx, busyEvery); err != nil {
			return nil, "", errors.Join(busy(), err)
		}
	}
}

func newMark() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// mark is that of the transaction that is open; "" when it is not one of ours.
func (c *channel) mark(ctx context.Context) (string, error) {
	answer, err := c.one(ctx, confUnit("conf-get", "template", markID, "comment", ""))
	var r *refused
	switch {
	case errors.As(err, &r), err == nil && len(answer) == 0:
		return "", nil
	case err != nil:
		return "", err
	}
	return answer[0][itemData], nil
}

// abort ends our transaction, over another channel where c is broken, and closes c.
func (d *driver) abort(ctx context.Context, c *channel, mark string) {
	if c.err != nil {
		c.close()
		d.abandon(ctx, mark)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, _ = c.one(ctx, command("conf-abort"))
	c.close()
}

// abandon ends our transaction over a channel of its own.
func (d *driver) abandon(ctx context.Context, mark string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	c, err := connect(ctx, d.to)
	if err != nil {
		return // whoever comes next knows it by its mark
	}
	defer c.close()
	if now, err := c.mark(ctx); err == nil && now == mark {
		_, _ = c.one(ctx, command("conf-abort"))
	}
}

// transact has work change the configuration in one transaction. Where work fails
// nothing is changed, and its error is returned.
func (d *driver) transact(ctx context.Context, work func(c *channel) error) error {
	c, mark, err := d.begin(ctx)
	if err != nil {
		return err
	}
	if err = work(c); err == nil {
		err = c.commit(ctx, mark)
	}
	if err != nil {
		d.abort(ctx, c, mark)
		return err
	}
	c.close()
	return nil
}

// all carries out requests, and returns the first error that any of them has.
func (c *channel) all(ctx context.Context, requests [][]unit) error {
	_, errs, err := c.small(ctx, requests...)
	for _, e := range errs {
		if err == nil {
			err = e
		}
	}
	return err
}

// commit ends our transaction. knotd has loaded the configuration when it answers.
func (c *channel) commit(ctx context.Context, mark string) error {
	switch now, err := c.mark(ctx); {
	case err != nil:
		return fmt.Errorf("end the configuration transaction: %w", err)
	case now != mark:
		return fmt.Errorf("%w: the configuration transaction was ended by another client", nameserver.ErrRefused)
	}
	c.wait = commitTime
	defer func() { c.wait = stall }()
	// Sent at once, so that no transaction stays without its mark when dnsctl is
	// killed. Not in one request: knotd would take the second for more to unset.
	requests := [][]unit{{confUnit("conf-unset", "template", markID, "", "")}, {command("conf-commit")}}
	for {
		began := time.Now()
		if err := c.all(ctx, requests); err != nil {
			return fmt.Errorf("commit the configuration transaction: %w", err)
		}
		if time.Since(began) < lockTime {
			return nil
		}
		// It took long, or was not carried out: then the transaction is still open.
		_, err := c.one(ctx, confUnit("conf-get", "server", "", "", ""))
		if says(err, saysNoTxn) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the configuration transaction: %w", err)
		}
		requests = requests[len(requests)-1:]
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

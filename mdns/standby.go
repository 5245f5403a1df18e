package mdns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"dnsctl/fleet"
)

// Primary is the database that is written to, where Source is a standby of it
// and trails it.
type Primary interface {
	// Head is the position of the feed's last entry; 0 when there is none.
	Head(ctx context.Context) (int64, error)
	// Feed is up to limit entries behind position after, in order.
	Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error)
}

// ErrOtherHistory is the error of a source that is no standby of the primary.
var ErrOtherHistory = errors.New("the database to read from has another history than the one to write to")

const (
	// trailLook is how soon a standby is looked at again after a commit. The pauses
	// double up to Config.PollInterval.
	trailLook = 5 * time.Millisecond
	// trailTime bounds the questions to the primary, which may be away.
	trailTime = 2 * time.Second
)

// standby watches how far what is served trails what is committed.
type standby struct {
	*Server
	said string // the last error that was logged
}

// arrive waits until the source has what was committed when it begins, so that
// this process serves no lower serial than one that ran before it. It fails with
// ErrOtherHistory.
func (b *standby) arrive(ctx context.Context) error {
	floor, err := b.cfg.Primary.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the feed of the database that is written to: %w", err)
	}
	pause := trailLook
	for said := false; ; said = true {
		pos, err := b.cfg.Source.Head(ctx)
		if err != nil {
			return fmt.Errorf("read the standby's feed: %w", err)
		}
		if pos >= floor {
			return b.sameHistory(ctx, floor)
		}
		if !said {
			b.log.Warn("waiting for the standby, which lacks what may have been served before", "position", pos, "head", floor)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, b.cfg.PollInterval)
		}
	}
}

// sameHistory compares an entry of both feeds. One that either has compacted away
// says nothing.
func (b *standby) sameHistory(ctx context.Context, pos int64) error {
	if pos == 0 {
		return nil
	}
	at := func(feed func(context.Context, int64, int) ([]fleet.FeedEntry, error)) (string, error) {
		entries, err := feed(ctx, pos-1, 1)
		if errors.Is(err, fleet.ErrFeedGone) || err == nil && (len(entries) == 0 || entries[0].Pos != pos) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("read feed entry %d: %w", pos, err)
		}
		return entries[0].ID, nil
	}
	here, err := at(b.cfg.Source.Feed)
	if err != nil || here == "" {
		return err
	}
	there, err := at(b.cfg.Primary.Feed)
	if err == nil && there != "" && there != here {
		return fmt.Errorf("feed entry %d: %w", pos, ErrOtherHistory)
	}
	return err
}

// run wakes the follower while there is something that it has not, and says how
// far behind it is. A commit wakes at the primary, when the standby does not have
// it yet.
func (b *standby) run(ctx context.Context, wake chan<- struct{}) {
	committed, pause := b.cfg.Wake, b.cfg.PollInterval
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-committed:
			if !ok {
				committed = nil
				continue
			}
			pause = trailLook
		case <-time.After(pause):
			pause = min(2*pause, b.cfg.PollInterval)
		}
		select {
		case wake <- struct{}{}:
		default: // it has one to take already
		}
		b.look(ctx)
	}
}

// look measures the lag. While the primary does not answer it is not known.
func (b *standby) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, trailTime)
	defer cancel()
	entries, age, err := b.behind(ctx)
	switch {
	case err == nil:
		b.said = ""
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return
	default:
		if b.said != err.Error() {
			b.said = err.Error()
			b.log.Warn("how far the standby is behind is not known", "err", err)
		}
		b.m.standbyEntries.Set(math.NaN())
		b.m.standbySeconds.Set(math.NaN())
		b.lag.Store(0)
		return
	}
	b.m.standbyEntries.Set(float64(entries))
	b.m.standbySeconds.Set(age.Seconds())
	b.lag.Store(int64(age))
}

// behind is how many feed entries are committed and not served, and since when
// the first of them is.
func (b *standby) behind(ctx context.Context) (entries int64, age time.Duration, err error) {
	head, err := b.cfg.Primary.Head(ctx)
	if err != nil {
		return 0, 0, err
	}
	pos := b.index.position()
	if head <= pos {
		return 0, 0, nil
	}
	next, err := b.cfg.Primary.Feed(ctx, pos, 1)
	switch {
	case errors.Is(err, fleet.ErrFeedGone): // it is older than the feed is kept
		return head - pos, time.Duration(b.lag.Load()), nil
	case err != nil:
		return 0, 0, err
	case len(next) > 0:
		age = max(0, b.cfg.Now().Sub(next[0].At))
	}
	return head - pos, age, nil
}

// Lag is how long ago the first change was committed that a standby to read from
// has not brought yet; 0 when there is none, when it is not known, and without a
// standby.
func (s *Server) Lag() time.Duration { return time.Duration(s.lag.Load()) }

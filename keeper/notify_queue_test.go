package keeper

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/zone"
)

var (
	day     = time.Unix(1_800_000_000, 0)
	errLost = errors.New("lost")
)

func queue(l limits) *noticeQueue { return newNoticeQueue(l, "ns1") }

func zoneName(text string) zone.Name { return zone.MustParseName(text) }

// step is what next hands out at a time: "notify a. 7", "ask a. 7" or "".
func step(q *noticeQueue, at time.Time) (*notice, string) {
	w, ask := q.next(at, true)
	switch {
	case w == nil:
		return nil, ""
	case ask:
		return w, fmt.Sprintf("ask %s %d", w.name, w.serial)
	}
	return w, fmt.Sprintf("notify %s %d", w.name, w.serial)
}

func expect(t *testing.T, q *noticeQueue, at time.Time, want string) *notice {
	t.Helper()
	w, got := step(q, at)
	if got != want {
		t.Fatalf("at %s: %q, want %q", at.Sub(day), got, want)
	}
	return w
}

// due moves the time to when the queue has something again.
func due(t *testing.T, q *noticeQueue, at time.Time) time.Time {
	t.Helper()
	end := at.Add(time.Hour)
	for at.Before(end) {
		d := q.wait(at, true)
		if d == 0 {
			return at
		}
		at = at.Add(d)
	}
	t.Fatal("nothing falls due")
	return at
}

func TestOnlyTheNewestSerialIsSent(t *testing.T) {
	t.Parallel()
	a := zoneName("a.")
	q := queue(limits{})
	q.add(day, a, 7, zone.RRset{})
	q.add(day, zoneName("A."), 9, zone.RRset{})
	q.add(day, a, 8, zone.RRset{})
	w := expect(t, q, day, "notify a. 9")
	expect(t, q, day.Add(time.Second), "")

	// A newer one while NOTIFY is under way is sent after it.
	q.add(day, a, 10, zone.RRset{})
	q.sent(day, w, nil)
	w = expect(t, q, day, "notify a. 10")
	q.sent(day, w, nil)

	// One while a question waits goes first.
	q.add(day, a, 11, zone.RRset{})
	w = expect(t, q, day, "notify a. 11")
	q.sent(day, w, nil)

	// One while the question is under way makes its answer worthless.
	at := due(t, q, day)
	w = expect(t, q, at, "ask a. 11")
	q.add(at, a, 12, zone.RRset{})
	if settled, _ := q.proved(at, w, 11, nil); settled {
		t.Error("11 is reported although 12 is on its way")
	}
	w = expect(t, q, at, "notify a. 12")
	q.sent(at, w, nil)

	// One while the change is being reported starts anew after that.
	at = due(t, q, at)
	w = expect(t, q, at, "ask a. 12")
	if settled, err := q.proved(at, w, 12, nil); !settled || err != nil {
		t.Errorf("settled %v, %v", settled, err)
	}
	q.add(at, a, 13, zone.RRset{})
	expect(t, q, at.Add(time.Minute), "")
	q.settle(at, w)
	expect(t, q, at, "notify a. 13")
	if len(q.all) != 1 {
		t.Errorf("%d entries for one zone", len(q.all))
	}
}

func TestSerialsAreComparedAsRFC1982Says(t *testing.T) {
	t.Parallel()
	q := queue(limits{})
	q.add(day, zoneName("a."), 1<<32-1, zone.RRset{})
	q.add(day, zoneName("a."), 3, zone.RRset{})
	q.add(day, zoneName("a."), 1<<32-2, zone.RRset{})
	expect(t, q, day, "notify a. 3")
}

func TestNotifyIsTriedAgainEverMoreSeldomAndGivenUp(t *testing.T) {
	t.Parallel()
	q := queue(limits{attempts: 4})
	q.add(day, zoneName("a."), 7, zone.RRset{})
	at := day
	var pauses []time.Duration
	for range 4 {
		was := at
		at = due(t, q, at)
		pauses = append(pauses, at.Sub(was))
		q.sent(at, expect(t, q, at, "notify a. 7"), errLost)
		q.add(at, zoneName("a."), 7, zone.RRset{})
	}
	for i, want := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		if pauses[i] > want || pauses[i] < want*3/4 {
			t.Errorf("pause %d is %s, want %s less up to a quarter", i, pauses[i], want)
		}
	}
	// Last of all, the server may know by itself.
	w := expect(t, q, at, "ask a. 7")
	if settled, err := q.proved(at, w, 6, nil); !settled || err != errLost {
		t.Errorf("settled %v, %v", settled, err)
	}
	q.settle(at, w)
	if len(q.all) != 0 {
		t.Error("the entry stays")
	}
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{dnsclient.ErrRefused, dnsclient.ErrNotAuth, dnsclient.ErrTSIG, dnsclient.ErrNotImp, dnsclient.ErrFormErr} {
		for serial, reported := range map[zone.Serial]error{7: nil, 6: kind} {
			q := queue(limits{})
			q.add(day, zoneName("a."), 7, zone.RRset{})
			q.sent(day, expect(t, q, day, "notify a. 7"), fmt.Errorf("x: %w", kind))
			w := expect(t, q, day, "ask a. 7")
			if settled, err := q.proved(day, w, serial, nil); !settled || !errors.Is(err, reported) {
				t.Errorf("%v, server at %d: settled %v, %v", kind, serial, settled, err)
			}
		}
	}
}

func TestANewerSerialDoesNotHurryAServerInTrouble(t *testing.T) {
	t.Parallel()
	q := queue(limits{})
	q.add(day, zoneName("a."), 7, zone.RRset{})
	w := expect(t, q, day, "notify a. 7")
	q.add(day, zoneName("a."), 8, zone.RRset{})
	q.sent(day, w, errLost)
	q.add(day, zoneName("a."), 9, zone.RRset{})
	expect(t, q, day.Add(700*time.Millisecond), "")
	expect(t, q, day.Add(time.Second), "notify a. 9")
}

func TestProofIsAskedForOnItsScheduleAndThenGivenUp(t *testing.T) {
	t.Parallel()
	schedule := []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second}
	for _, c := range []struct {
		name   string
		answer zone.Serial
		err    error
		want   string
	}{
		{"behind", 6, nil, "the server is still at serial 6, not 7"},
		{"ahead", 9, nil, "the server is ahead, at serial 9, not 7"},
		{"no answer", 0, errLost, "lost"},
	} {
		q := queue(limits{prove: schedule})
		q.add(day, zoneName("a."), 7, zone.RRset{})
		q.sent(day, expect(t, q, day, "notify a. 7"), nil)
		at := day
		for i, pause := range schedule {
			was := at
			at = due(t, q, at)
			if d := at.Sub(was); d > pause || d < pause*3/4 {
				t.Errorf("%s: pause %d is %s", c.name, i, d)
			}
			settled, err := q.proved(at, expect(t, q, at, "ask a. 7"), c.answer, c.err)
			if last := i == len(schedule)-1; settled != last || last && err.Error() != c.want {
				t.Errorf("%s: after question %d settled %v, %v", c.name, i, settled, err)
			}
			if c.name == "behind" && i == notifyAgain-1 {
				q.sent(at, expect(t, q, at, "notify a. 7"), nil)
			}
		}
	}
}

func TestNotifyIsPacedAndGoesBeforeQuestions(t *testing.T) {
	t.Parallel()
	q := queue(limits{rate: 100})
	q.add(day, zoneName("first."), 1, zone.RRset{})
	q.sent(day, expect(t, q, day, "notify first. 1"), nil)
	for i := range 1000 {
		q.add(day, zoneName(fmt.Sprintf("z%d.", i)), 1, zone.RRset{})
	}
	sent := 0
	at := day
	for at.Before(day.Add(time.Second)) {
		if w, what := step(q, at); w == nil {
			at = at.Add(max(q.wait(at, true), time.Nanosecond))
		} else if what[0] == 'n' {
			sent++
		}
	}
	if sent < 99 || sent > 102 {
		t.Errorf("%d NOTIFY in a second at 100/s", sent)
	}
	at = at.Add(time.Second)
	if _, what := step(q, at); what[0] != 'n' {
		t.Errorf("%s goes before NOTIFY", what)
	}
}

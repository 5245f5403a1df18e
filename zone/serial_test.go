package zone

import (
	"testing"
	"time"
)

func TestSerialsCompareAsRFC1982Says(t *testing.T) {
	t.Parallel()
	const half, last = 1 << 31, 1<<32 - 1
	for _, c := range []struct {
		s, t  Serial
		ahead bool
	}{
		{1, 0, true}, {0, 1, false}, {0, 0, false}, {44, 0, true}, {100, 44, true}, {200, 100, true},
		{0, last, true}, {last, 0, false}, {1, last, true}, {100, 255, false},
		{half - 1, 0, true}, {half, 0, false}, {0, half, false}, {half + 1, 0, false}, {0, half + 1, true},
		{half, 1, true}, {1, half, false}, {last, half, true}, {half, last, false},
	} {
		if c.s.Ahead(c.t) != c.ahead || c.t.Behind(c.s) != c.ahead {
			t.Errorf("%d ahead of %d: not %v", c.s, c.t, c.ahead)
		}
	}
}

func TestNextSerialIsAlwaysAhead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 23, 30, 0, 0, time.FixedZone("", -3600)) // 1 February in UTC
	for _, c := range []struct {
		style SerialStyle
		s, n  Serial
	}{
		{SerialIncrement, 1, 2}, {SerialIncrement, 1<<32 - 1, 0}, {SerialIncrement, 1<<31 - 1, 1 << 31},
		{SerialDate, 2026013101, 2026020100}, {SerialDate, 2026020100, 2026020101}, {SerialDate, 2026020199, 2026020200},
		{SerialDate, 2030010100, 2030010101}, {SerialDate, 1, 2026020100}, {SerialDate, 4000000000, 4000000001},
		{SerialUnix, 1, Serial(now.Unix())}, {SerialUnix, Serial(now.Unix()), Serial(now.Unix()) + 1}, {SerialUnix, 3000000000, 3000000001},
	} {
		got := c.s.Next(c.style, now)
		if got != c.n || !got.Ahead(c.s) {
			t.Errorf("%s after %d is %d, want %d", c.style, c.s, got, c.n)
		}
	}
}

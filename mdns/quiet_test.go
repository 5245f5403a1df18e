package mdns

import (
	"net/netip"
	"testing"
	"time"
)

func TestRefusalsAreLoggedOnceASecondForEachSource(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	q := newQuiet(func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, c := range []struct {
		after time.Duration
		from  netip.Addr
		want  bool
	}{
		{0, a, true}, {0, a, false}, {0, b, true}, {900 * time.Millisecond, a, false}, {100 * time.Millisecond, a, true}, {0, b, true},
		{0, netip.MustParseAddr("::ffff:192.0.2.1"), false}, // the same client over a socket of the other kind
		{999 * time.Millisecond, a, false}, {time.Millisecond, a, true}, {time.Hour, b, true},
	} {
		now = now.Add(c.after)
		if got := q.allow(c.from); got != c.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// TestALogDoesNotGrowWithForgedSources has very many sources, each of which comes
// back: none has two lines within a second, and a second has no more lines than
// it may.
func TestALogDoesNotGrowWithForgedSources(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	q := newQuiet(func() time.Time { return now })
	last := map[netip.Addr]time.Time{}
	for second := range 5 {
		lines := 0
		for i := range 40 * quietSources {
			from := netip.AddrFrom4([4]byte{10, byte(second % 2), byte(i % (4 * quietSources) >> 8), byte(i)})
			if q.allow(from) {
				if before, ok := last[from]; ok && now.Sub(before) < time.Second {
					t.Fatalf("%s has a line again after %s", from, now.Sub(before))
				}
				last[from] = now
				lines++
			}
			if i%40 == 39 {
				now = now.Add(time.Second / quietSources)
			}
		}
		if lines == 0 || lines > 2*quietSources {
			t.Errorf("%d lines in a second", lines)
		}
		if n := len(q.last) + len(q.older); n > 2*quietSources {
			t.Errorf("%d sources are kept", n)
		}
	}
}

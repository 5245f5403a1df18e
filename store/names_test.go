package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// TestFewNamesAreLookedUpByName asks SQLite how it answers questions about some
// names: it is never to read all members of a pool, which may be a million, for them.
// (With few names, or none, its guesses are others than with many.)
func TestFewNamesAreLookedUpByName(t *testing.T) {
	s, _ := testStore(t)
	for what, q := range map[string]string{
		"wanted":     selectWantedAmong + ` AND z.name IN (?) ORDER BY z.name, m.pool_id`,
		"tombstones": selectTombstones + ` AND z.name IN (?)` + latestTombstone,
		"members":    selectMembers + ` AND z.name IN (?)`,
	} {
		for _, n := range []int{1, 50, 500} {
			q, args, err := sqlx.In("EXPLAIN QUERY PLAN "+q, 1, slices.Repeat([][]byte{[]byte("a")}, n))
			if err != nil {
				t.Fatal(err)
			}
			var plan []struct {
				ID, Parent, NotUsed int
				Detail              string
			}
			if err := s.read.Select(&plan, q, args...); err != nil || len(plan) == 0 {
				t.Fatalf("%s: %d steps, %v", what, len(plan), err)
			}
			steps := make([]string, len(plan))
			for i, p := range plan {
				steps[i] = p.Detail
			}
			if !strings.HasPrefix(steps[0], "SEARCH z USING INDEX zones_") || slices.ContainsFunc(steps, func(s string) bool {
				return strings.HasPrefix(s, "SCAN") || strings.HasSuffix(s, "memberships_pool (pool_id=?)")
			}) {
				t.Errorf("%s of %d names: %s", what, n, strings.Join(steps, "; "))
			}
		}
	}
}

package nameserver

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Each calls do for every number below n, for as many at a time as the driver
// bears, and ended, one at a time, with how many are done. When ctx ends no
// further one is begun; it returns when none is under way any more.
func Each(ctx context.Context, d Driver, n int, do func(i int), ended func(count int)) {
	var group errgroup.Group
	group.SetLimit(max(1, d.Capabilities().AtOnce))
	var mu sync.Mutex
	count := 0
	for i := range n {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			do(i)
			mu.Lock()
			defer mu.Unlock()
			count++
			ended(count)
			return nil
		})
	}
	_ = group.Wait()
}

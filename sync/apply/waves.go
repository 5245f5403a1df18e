package apply

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"dnsctl/sync/plan"
)

// hugeZone is from how many octets on a zone waits for the others of its priority.
const hugeZone = 1 << 20

// paced carries steps out in batches, what matters first, and has no more than some
// of them wait for their proof. done is how many came before the batch. do settles
// its steps; its error is that the server cannot be reached, with which those not
// begun end.
func (r *run) paced(ctx context.Context, p *proof, steps []*plan.Step, size int, do func(batch []*plan.Step, done int) error) {
	done := 0
	for batch := range waves(steps, size, r.firstOf(len(steps))) {
		err := p.wait(ctx, r.o.Outstanding)
		if r.over(ctx) {
			return // Run says so of what is left
		}
		if err == nil {
			err = do(batch, done)
			p.take(batch)
			done += len(batch)
		}
		if err != nil {
			for _, st := range steps[done:] {
				fail(st, notBegun(err))
			}
			return
		}
	}
}

// firstOf is how many of all steps are the first batch at most: as many as give the
// server work for long enough, and need not be waited for before the next.
func (r *run) firstOf(all int) int { return max(addBatch, min(all/3, r.o.Outstanding)) }

func notBegun(err error) error { return fmt.Errorf("not begun: %w", err) }

// waves sorts steps by the priority of their zones, then small before huge, and
// yields them in batches of size at most. A batch, which a server may carry out in
// an order of its own, never has zones of two priorities, or huge ones beside small
// ones. The first has no more than first: the server transfers these while the next,
// which are many more for some, are made ready.
func waves(steps []*plan.Step, size, first int) iter.Seq[[]*plan.Step] {
	slices.SortStableFunc(steps, func(a, b *plan.Step) int {
		return cmp.Or(cmp.Compare(b.Wanted.Priority, a.Wanted.Priority), cmp.Compare(a.Wanted.Octets, b.Wanted.Octets))
	})
	return func(yield func([]*plan.Step) bool) {
		most := min(size, first)
		for rest := steps; len(rest) > 0; most = size {
			head := rest[0].Wanted
			n := 1
			for n < min(most, len(rest)) && rest[n].Wanted.Priority == head.Priority && rest[n].Wanted.Octets >= hugeZone == (head.Octets >= hugeZone) {
				n++
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

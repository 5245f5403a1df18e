package apply

import (
	"slices"
	"testing"

	"dnsctl/fleet"
	"dnsctl/sync/plan"
)

func TestWavesAreByPriorityAndSmallBeforeHuge(t *testing.T) {
	t.Parallel()
	var steps []*plan.Step
	for i, z := range []struct{ priority, octets int }{{0, 900}, {0, 2 << 20}, {7, 3 << 20}, {0, 100}, {-1, 10}, {7, 50}, {0, 500}, {0, 100}} {
		steps = append(steps, &plan.Step{Wanted: &fleet.Wanted{ZoneID: int64(i), Priority: z.priority, Octets: z.octets}})
	}
	var got [][]int64
	for batch := range waves(steps, 3, 3) {
		var ids []int64
		for _, st := range batch {
			ids = append(ids, st.Wanted.ZoneID)
		}
		got = append(got, ids)
	}
	want := [][]int64{{5}, {2}, {3, 7, 6}, {0}, {1}, {4}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("batches %v, want %v", got, want)
	}
}

func TestFirstWaveIsSmaller(t *testing.T) {
	t.Parallel()
	steps := make([]*plan.Step, 10_000)
	for i := range steps {
		steps[i] = &plan.Step{Wanted: &fleet.Wanted{}}
	}
	for size, want := range map[int][]int{20_000: {2500, 7500}, 3000: {2500, 3000, 3000, 1500}, 4: slices.Repeat([]int{4}, 2500)} {
		var got []int
		for batch := range waves(slices.Clone(steps), size, 2500) {
			got = append(got, len(batch))
		}
		if !slices.Equal(got, want) {
			t.Errorf("batches of at most %d: %v, want %v", size, got, want)
		}
	}
}

package churn_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/zone"
)

// zones is the names that come, go and change. Each life of a name has a number,
// which its SOA's mailbox and all its TXT records carry.
type zones struct {
	*rig
	all   []*name
	lives atomic.Int64

	mu    sync.Mutex
	stats map[string]int
}

// name is one name with what the database has of it, which is the truth: this
// follows it.
type name struct {
	zone zone.Name
	busy sync.Mutex // held by who changes it

	mu     sync.Mutex
	live   bool
	pool   string
	life   int
	wanted time.Time // since when the nameservers should have this life; zero: they should not, or nobody knows
	spans  []span    // when that was so before
}

type span struct{ from, to time.Time }

const records = 6 // owners of TXT records beside the apex

func newZones(r *rig, n int) *zones {
	z := &zones{rig: r, stats: map[string]int{}}
	for i := range n {
		text := fmt.Sprintf("zone-%c%c-number%d.churn-test.example.", 'a'+i%26, 'a'+i/26%26, i)
		if i%10 == 9 { // its parent is there as well, and answers when it is not
			text = "child." + z.all[i-1].zone.String()
		}
		parsed, err := zone.ParseName(text)
		if err != nil {
			r.Fatal(err)
		}
		z.all = append(z.all, &name{zone: parsed})
	}
	return z
}

func (z *zones) count(kind string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.stats[kind]++
}

// set notes what the database has now.
func (n *name) set(live bool, pool string, life int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	is := live && pool != poolAway
	if !is || n.life != life {
		n.end()
	}
	n.live, n.pool, n.life = live, pool, life
	if is && n.wanted.IsZero() {
		n.wanted = time.Now()
	}
}

// end ends the present span; n.mu is held.
func (n *name) end() {
	if !n.wanted.IsZero() {
		n.spans = append(n.spans, span{n.wanted, time.Now()})
	}
	n.wanted = time.Time{}
}

// doubt is before what may end its being wanted.
func (n *name) doubt() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end()
}

// now is what the database is known to have.
func (n *name) now() (live bool, pool string, life int, wanted time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live, n.pool, n.life, n.wanted
}

// take locks one name that nobody changes.
func (z *zones) take(rnd *rand.Rand) *name {
	for {
		if n := z.all[rnd.IntN(len(z.all))]; n.busy.TryLock() {
			return n
		}
	}
}

func mailbox(life int) string { return fmt.Sprintf("life%d@example.net", life) }

// lifeOf reads the number of a life out of an SOA's mailbox.
func lifeOf(rname string) (int, error) {
	label, _, _ := strings.Cut(rname, ".")
	return strconv.Atoi(strings.TrimPrefix(label, "life"))
}

func (z *zones) create(ctx context.Context, n *name, pool string) error {
	life := int(z.lives.Add(1))
	_, err := z.edit.Create(ctx, edit.NewZone{Name: n.zone, Pools: []string{pool}, Email: mailbox(life), SerialStyle: zone.SerialIncrement}, meta)
	if err == nil {
		n.set(true, pool, life)
	}
	return err
}

func (z *zones) delete(ctx context.Context, n *name) error {
	_, pool, life, _ := n.now()
	n.doubt()
	_, err := z.edit.Delete(ctx, []zone.Name{n.zone}, false, meta)
	if err == nil {
		n.set(false, pool, life)
	}
	return err
}

func somePool(rnd *rand.Rand) string {
	return []string{poolMain, poolMain, poolSide, poolAway}[rnd.IntN(4)]
}

// change makes one change of a name that the caller holds, and says which.
func (z *zones) change(ctx context.Context, rnd *rand.Rand, n *name) (kind string, err error) {
	live, pool, life, _ := n.now()
	p := rnd.IntN(100)
	switch {
	case !live && life > 0 && p < 25:
		if _, err = z.edit.Undelete(ctx, n.zone, meta); err == nil {
			n.set(true, pool, life)
		}
		return "undelete", err
	case !live:
		return "create", z.create(ctx, n, somePool(rnd))
	case p < 10:
		return "delete", z.delete(ctx, n)
	case p < 20:
		if err := z.delete(ctx, n); err != nil {
			return "re-create", err
		}
		return "re-create", z.create(ctx, n, somePool(rnd))
	case p < 32:
		to := somePool(rnd)
		for to == pool {
			to = somePool(rnd)
		}
		if to == poolAway {
			n.doubt()
		}
		if _, err = z.edit.Set(ctx, n.zone, edit.Change{AddPools: []string{to}, RemovePools: []string{pool}}, meta); err == nil {
			n.set(true, to, life)
		}
		return "move", err
	}
	owner, err := n.zone.Prepend(fmt.Sprintf("r%d", rnd.IntN(records)))
	if err != nil {
		return "record", err
	}
	data, err := txt(fmt.Sprintf("life%d", life), fmt.Sprint(rnd.IntN(1000)))
	if err != nil {
		return "record", err
	}
	op := edit.Op{Verb: edit.Set, Owner: owner, Type: zone.TypeTXT, Data: []string{data}}
	if p > 90 {
		op.Verb = edit.Add
	}
	_, err = z.edit.Records(ctx, n.zone, []edit.Op{op}, meta)
	return "record", err
}

// txt is the rdata of a TXT record.
func txt(parts ...string) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		if len(p) > 255 {
			return "", errors.New("too long")
		}
		b.WriteByte(byte(len(p)))
		b.WriteString(p)
	}
	return b.String(), nil
}

// churn makes rate changes a second until ctx ends, several at a time where the
// database is slow.
func (z *zones) churn(ctx context.Context, seed uint64, rate int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, own := z.take(rnd), rand.New(rand.NewPCG(rnd.Uint64(), 2))
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { n.busy.Unlock(); <-slots }()
			kind, err := z.change(context.WithoutCancel(ctx), own, n)
			if err != nil {
				z.faults.add("%s %s: %v", kind, n.zone, err)
				return
			}
			z.count(kind)
		})
	}
}

// commands changes zones by the binary until ctx ends, and kills a part of them.
func (z *zones) commands(ctx context.Context, seed uint64, kills int) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	for pause(ctx, time.Duration(rnd.IntN(400))*time.Millisecond) {
		n := z.take(rnd)
		z.command(rnd, n, kills)
		n.busy.Unlock()
	}
}

// command makes one change by the binary, and reads what the database has then.
func (z *zones) command(rnd *rand.Rand, n *name, kills int) {
	live, pool, life, _ := n.now()
	text := n.zone.String()
	args := []string{"record", "set", text, "cli", "TXT", fmt.Sprintf(`"life%d" "cli"`, life)}
	switch p := rnd.IntN(10); {
	case !live:
		args = []string{"zone", "create", text, "--pool", somePool(rnd), "--email", mailbox(int(z.lives.Add(1)))}
	case p < 2:
		args = []string{"zone", "delete", text}
	case p < 4:
		to := poolSide
		if pool == poolSide {
			to = poolMain
		}
		args = []string{"zone", "set", text, "--add-pool", to, "--remove-pool", pool}
	}
	if args[1] == "delete" {
		n.doubt()
	}
	kill := mortality(rnd, kills, 120*time.Millisecond)
	res := z.run(kill, args...)
	switch {
	case res.code == 0:
		z.count("command")
	case res.code == -1:
		z.count("command killed")
	default:
		z.faults.add("dnsctl %s: exit %d: %s", strings.Join(args, " "), res.code, res.stderr)
	}
	z.follow(n)
}

// follow reads what the database has of a name.
func (z *zones) follow(n *name) {
	row, err := z.store.Zone(context.Background(), n.zone)
	switch {
	case errors.Is(err, fleet.ErrNoZone):
		n.set(false, "", 0)
		return
	case err != nil:
		z.faults.add("read %s: %v", n.zone, err)
		return
	}
	soa, err := zone.ParseSOA(row.Edition.SOA.Data.First())
	if err != nil {
		z.faults.add("SOA of %s: %v", n.zone, err)
		return
	}
	life, err := lifeOf(soa.RName.String())
	if err != nil {
		z.faults.add("life of %s: %v", n.zone, err)
		return
	}
	_, pool, _, _ := n.now()
	if len(row.Pools) > 0 {
		pool = row.Pools[0]
	}
	n.set(row.Deleted == nil, pool, life)
}

// mortality is after how long a process is to be killed; 0 is never, which is the
// fate of all but percent of them.
func mortality(rnd *rand.Rand, percent int, within time.Duration) time.Duration {
	if rnd.IntN(100) >= percent {
		return 0
	}
	return 1 + time.Duration(rnd.Int64N(int64(within)))
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

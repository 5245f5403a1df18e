package hostile_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dnsctl/testbed"
)

// together runs commands at the same time.
func (r *rig) together(commands ...[]string) []result {
	r.Helper()
	out := make([]result, len(commands))
	var wg sync.WaitGroup
	for i, args := range commands {
		c := r.command(args...)
		wg.Go(func() { out[i] = runIt(r, c) })
	}
	wg.Wait()
	return out
}

func times(n int, args func(i int) []string) [][]string {
	out := make([][]string, n)
	for i := range out {
		out[i] = args(i)
	}
	return out
}

func codes(all []result) map[int]int {
	out := map[int]int{}
	for _, r := range all {
		out[r.code]++
	}
	return out
}

func TestManyCommandsAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := ""
			if kind == "postgres" {
				url = testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
			}
			r := newRig(t, url, "127.0.0.1:1")
			inits := r.together(times(6, func(int) []string { return []string{"db", "init"} })...)
			if c := codes(inits); c[0] != 6 {
				t.Errorf("making the store at once: %v", inits)
			}
			// One makes the zone, the others are told so.
			same := r.together(times(5, func(int) []string { return []string{"zone", "create", "same.example"} })...)
			if c := codes(same); c[0] != 1 || c[1] != 4 {
				t.Errorf("making one zone at once: %v", same)
			}
			added := r.together(times(16, func(i int) []string {
				return []string{"record", "add", "same.example", "www", "A", fmt.Sprintf("192.0.2.%d", i+1)}
			})...)
			if c := codes(added); c[0] != 16 {
				t.Errorf("adding records at once: %v", added)
			}
			if n := strings.Count(r.ok("zone", "export", "same.example"), "192.0.2."); n != 16 {
				t.Errorf("%d of 16 records are there", n)
			}
			r.want(0, []string{`^same\.example\.\t17\t`}, "zone", "list")
			// Of two that both rest on one serial, one wins.
			guarded := r.together(times(2, func(i int) []string {
				return []string{"record", "set", "same.example", "x", "TXT", fmt.Sprint(i), "--if-serial", "17"}
			})...)
			if c := codes(guarded); c[0] != 1 || c[1] != 1 {
				t.Errorf("--if-serial: %v", guarded)
			}
		})
	}
}

// TestFirstUseAtOnceMakesOneStore has several commands find neither the store
// nor its folder nor its identity.
func TestFirstUseAtOnceMakesOneStore(t *testing.T) {
	t.Parallel()
	r := &rig{T: t, dir: t.TempDir()}
	r.env = []string{"HOME=" + r.dir, "XDG_DATA_HOME=" + r.dir, "DNSCTL_STORE=sqlite:" + filepath.Join(r.dir, "deep", "down", "dnsctl.db")}
	all := r.together(times(6, func(int) []string { return []string{"db", "init", "-o", "json"} })...)
	ids := map[string]bool{}
	for _, res := range all {
		res.check(t, 0, nil, "db", "init")
		_, id, _ := strings.Cut(res.stdout, `"store_id": "`)
		ids[id[:min(32, len(id))]] = true
	}
	if len(ids) != 1 {
		t.Errorf("%d stores were made: %v", len(ids), ids)
	}
}

// TestInterruptedCommandsSaySoAndLeaveNothingHalf stops an import by signal and
// by time.
func TestInterruptedCommandsSaySoAndLeaveNothingHalf(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:1")
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 150000 {
		fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
	}
	r.write("large.example.zone", text.String())
	staged := func() bool {
		var n int
		querySQL(t, filepath.Join(r.dir, "dnsctl.db"), `SELECT count(*) FROM contents WHERE state = 'staged'`, &n)
		return n > 0
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		d := r.start("zone", "import", "large.example.zone")
		testbed.Eventually(t, patience, func() bool { return staged() || d.ended() })
		d.signal(s).check(t, 130, []string{`^dnsctl: error: interrupted$`, `^dnsctl: hint: it is safe to run the command again$`}, "zone import", s.String())
		if out := r.ok("zone", "list", "--no-headers"); out != "" {
			t.Errorf("after %v there is %s", s, out)
		}
		if staged() {
			t.Errorf("after %v the rows written ahead are not given up", s)
		}
	}
	r.want(1, []string{`^dnsctl: error: not done within --timeout 10ms(: .+)?$`, `^dnsctl: hint: `}, "zone", "import", "large.example.zone", "--timeout", "10ms")
	r.want(0, []string{`\tcreated\t`}, "zone", "import", "large.example.zone")
}

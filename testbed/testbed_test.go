package testbed_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/miekg/dns"

	"dnsctl/testbed"
)

func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }

const exampleZone = `$TTL 60
@ SOA ns hostmaster 7 60 60 600 60
@ NS ns
ns A 127.0.0.1
`

func soaSerial(addr, name string) (uint32, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeSOA)
	r, err := dns.Exchange(q, addr)
	if err != nil {
		return 0, err
	}
	for _, rr := range r.Answer {
		if s, ok := rr.(*dns.SOA); ok {
			return s.Serial, nil
		}
	}
	return 0, errors.New(dns.RcodeToString[r.Rcode])
}

func TestNamedServesItsZonesAndComesBackAfterRestart(t *testing.T) {
	t.Parallel()
	n := testbed.StartNamed(t, testbed.NamedOptions{Zones: map[string]string{"example.": exampleZone}})
	check := func() {
		t.Helper()
		if serial, err := soaSerial(n.Addr, "example."); serial != 7 || err != nil {
			t.Fatalf("serial %d, %v", serial, err)
		}
	}
	check()
	resp, err := http.Get(n.StatsURL + "/json/v1/zones")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"example"`) {
		t.Errorf("statistics without the zone: %s", body)
	}
	n.Restart(t)
	check()
	n.Kill(t)
	if n.Running() {
		t.Error("runs after Kill")
	}
	if _, err := net.DialTimeout("tcp", n.ControlAddr, time.Second); err == nil {
		t.Error("control channel open after Kill")
	}
	n.Restart(t)
	check()
}

func TestNamedRunsAGivenConfigFile(t *testing.T) {
	t.Parallel()
	first := testbed.StartNamed(t, testbed.NamedOptions{})
	first.Stop(t)
	n := testbed.StartNamed(t, testbed.NamedOptions{ConfigFile: first.ConfigFile, Addr: first.Addr, ControlAddr: first.ControlAddr})
	if !n.Running() {
		t.Error("does not run")
	}
}

func TestPortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		p := testbed.FreePort(t)
		if seen[p] {
			t.Fatalf("port %d twice", p)
		}
		seen[p] = true
	}
}

// A program that is started meanwhile holds what is open here until its exec.
func TestAFreePortIsFreeWhileProgramsAreStarted(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	var starts sync.WaitGroup
	starts.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = exec.Command("true").Run()
			}
		}
	})
	defer starts.Wait()
	defer close(done)
	for range 1000 {
		l, err := net.Listen("tcp", testbed.FreeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
}

func ping(t *testing.T, url string) error {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

func TestPostgresGivesEachTestADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t)
	if q := testbed.StartPostgres(t); p != q {
		t.Error("two shared servers")
	}
	a, b := p.NewDatabase(t), p.NewDatabase(t)
	if a == b {
		t.Error("one database twice")
	}
	for _, url := range []string{a, b} {
		if err := ping(t, url); err != nil {
			t.Error(err)
		}
	}
}

func TestPrivatePostgresCanBeKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{Private: true, NoFsync: true})
	url := p.NewDatabase(t)
	p.Kill(t)
	if err := ping(t, url); err == nil {
		t.Error("answers after Kill")
	}
	p.Start(t)
	testbed.EventuallyNil(t, 10*time.Second, func() error { return ping(t, url) })
	p.Stop(t)
	p.Start(t)
	testbed.Eventually(t, 10*time.Second, func() bool { return ping(t, url) == nil })
}

func TestPowerDNSAnswersOnBothBackendsAndComesBackAfterKill(t *testing.T) {
	t.Parallel()
	for _, backend := range []testbed.PowerDNSBackend{testbed.PowerDNSSQLite, testbed.PowerDNSPostgres} {
		t.Run(string(backend), func(t *testing.T) {
			t.Parallel()
			p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{Backend: backend})
			body := `{"name":"example.","kind":"Native","nameservers":["ns.example."],"rrsets":[]}`
			if status, answer := callAPI(t, p, "/zones", body); status != http.StatusCreated {
				t.Fatalf("%d: %s", status, answer)
			}
			check := func() {
				t.Helper()
				if _, err := soaSerial(p.Addr, "example."); err != nil {
					t.Fatal(err)
				}
			}
			check()
			p.Kill(t)
			if p.Running() {
				t.Error("runs after Kill")
			}
			p.Restart(t)
			check()
		})
	}
}

func callAPI(t *testing.T, p *testbed.PowerDNS, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.APIURL+"/api/v1/servers/localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", p.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestAStandbyFollowsAndIsPromoted(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{Private: true, NoFsync: true})
	url := p.NewDatabase(t)
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	p.Exec(t, name, "create table t (n int)")
	s := p.Standby(t)
	count := func() (n int) {
		db, err := sql.Open("postgres", s.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow("select count(*) from t").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p.Exec(t, name, "insert into t values (1)")
	testbed.Eventually(t, 30*time.Second, func() bool { return count() == 1 })
	p.Kill(t)
	s.Promote(t)
	s.Exec(t, name, "insert into t values (2)")
	if n := count(); n != 2 {
		t.Errorf("%d rows", n)
	}
}

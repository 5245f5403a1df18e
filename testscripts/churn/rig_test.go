package churn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/testbed"
)

// rig is a store with two mdns, whose pools have a key each.
type rig struct {
	*testing.T
	dir    string
	env    []string
	store  *store.Store
	edit   *edit.Editor
	mdns   []*mdns
	faults faults
}

// The pools. The nameservers are in the first two.
const (
	poolMain = "main"
	poolSide = "side"
	poolAway = "away"
)

var meta = edit.Meta{Actor: report.Actor{User: "churn"}, Command: "churn"}

// newRig makes a store at url (SQLite in a folder of its own when it is "") and
// starts two mdns on it.
func newRig(t *testing.T, url string) *rig {
	t.Helper()
	dir := t.TempDir()
	if url == "" {
		url = "sqlite:" + filepath.Join(dir, "dnsctl.db")
	}
	r := &rig{T: t, dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GORACE=" + testbed.GORACE, "DNSCTL_STORE=" + url,
		"DNSCTL_SECRET_IDENTITY_FILE=" + filepath.Join(dir, "identity.age")}}
	r.ok("db", "init")
	for range 2 {
		r.mdns = append(r.mdns, &mdns{rig: r, addr: testbed.FreeAddr(t)})
	}
	for _, pool := range []string{poolMain, poolSide, poolAway} {
		r.ok("pool", "create", pool, "--primary", r.mdns[0].addr, "--primary", r.mdns[1].addr, "--ns", "ns1.example.net", "--email", "h@example.net")
	}
	var err error
	if r.store, err = store.Open(t.Context(), url, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.edit = &edit.Editor{Store: r.store, Now: time.Now}
	for _, m := range r.mdns {
		m.start()
	}
	return r
}

// faults are what the property forbids, as they are found.
type faults struct {
	mu  sync.Mutex
	all []string
}

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// result is what a run of the binary left; code is -1 when it was killed.
type result struct {
	code           int
	stdout, stderr string
}

func (r *rig) command(args ...string) *exec.Cmd {
	c := exec.Command("dnsctl", args...)
	c.Dir, c.Env = r.dir, r.env
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// run runs the binary, and kills it after a time unless that is 0.
func (r *rig) run(killAfter time.Duration, args ...string) result {
	c := r.command(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		r.faults.add("start %v: %v", args, err)
		return result{code: -1}
	}
	if killAfter > 0 {
		timer := time.AfterFunc(killAfter, func() { _ = c.Process.Kill() })
		defer timer.Stop()
	}
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.faults.add("%v: %v", args, err)
	}
	r.sane(strings.Join(args, " "), errs.String())
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// sane looks for what no process may ever say.
func (r *rig) sane(what, said string) {
	for _, bad := range []string{"panic: ", "fatal error: ", "DATA RACE"} {
		if strings.Contains(said, bad) {
			r.faults.add("%s: %s", what, said)
		}
	}
}

func (r *rig) ok(args ...string) string {
	r.Helper()
	res := r.run(0, args...)
	if res.code != 0 {
		r.Fatalf("dnsctl %s: exit %d\n%s%s", strings.Join(args, " "), res.code, res.stdout, res.stderr)
	}
	return res.stdout
}

// mdns is a `dnsctl mdns serve` that is killed and started again at its address.
type mdns struct {
	*rig
	addr string

	mu   sync.Mutex
	cmd  *exec.Cmd
	out  *testbed.Sink
	errs *testbed.Sink
	done chan struct{}
	web  string
	sent map[string]int // transfers of earlier lives, by kind
	last map[string]int // those of this one, as last seen
}

// start runs it until the test ends or it is killed, and returns when it is ready.
func (m *mdns) start() {
	m.Helper()
	c := m.command("mdns", "serve", "--listen", m.addr, "--http", "127.0.0.1:0", "-o", "json")
	c.Path = os.Getenv(testbed.OwnBinary)
	out, errs, done := &testbed.Sink{}, &testbed.Sink{}, make(chan struct{})
	c.Stdout, c.Stderr = out, errs
	if err := c.Start(); err != nil {
		m.Fatal(err)
	}
	go func() {
		_ = c.Wait()
		close(done)
	}()
	m.mu.Lock()
	m.cmd, m.out, m.errs, m.done, m.last = c, out, errs, done, map[string]int{}
	m.mu.Unlock()
	m.Cleanup(func() {
		_ = c.Process.Kill()
		<-done
		m.sane("mdns", errs.String())
		if m.Failed() {
			m.Logf("mdns at %s:\n%s", m.addr, errs)
		}
	})
	var ready struct {
		HTTP string `json:"http"`
	}
	testbed.EventuallyNil(m, patience, func() error {
		line, _, whole := strings.Cut(out.String(), "\n")
		select {
		case <-done:
			m.Fatalf("mdns ended: %s%s", out, errs)
		default:
		}
		if !whole {
			return errors.New("mdns is not ready")
		}
		return json.Unmarshal([]byte(line), &ready)
	})
	m.mu.Lock()
	m.web = "http://" + ready.HTTP
	if m.sent == nil {
		m.sent = map[string]int{}
	}
	m.mu.Unlock()
}

// kill ends it with SIGKILL.
func (m *mdns) kill() {
	m.count()
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.cmd.Process.Kill()
	<-m.done
	for kind, n := range m.last {
		m.sent[kind] += n
	}
	m.last = map[string]int{}
	m.sane("mdns", m.errs.String())
}

// count reads how many transfers it has sent.
func (m *mdns) count() {
	m.mu.Lock()
	web := m.web
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, web+"/metrics", nil)
	if err != nil {
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return
	}
	now := map[string]int{}
	for line := range strings.Lines(string(body)) {
		labels, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if _, labels, is := strings.Cut(labels, "transfers_total{"); ok && is && strings.Contains(labels, `result="done"`) {
			_, kind, _ := strings.Cut(labels, `kind="`)
			kind, _, _ = strings.Cut(kind, `"`)
			n, _ := strconv.ParseFloat(value, 64)
			now[kind] += int(n)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.web == web {
		m.last = now
	}
}

// transfers are all that both mdns are known to have sent, by kind.
func (r *rig) transfers() map[string]int {
	all := map[string]int{}
	for _, m := range r.mdns {
		m.count()
		m.mu.Lock()
		for _, part := range []map[string]int{m.sent, m.last} {
			for kind, n := range part {
				all[kind] += n
			}
		}
		m.mu.Unlock()
	}
	return all
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"encoding/base64"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// bench is a run: what all measures share.
type bench struct {
	options
	out, log io.Writer
	bed      *bed
	report   *report

	bin      string // the dnsctl that is measured
	bigFile  string
	smallDir string
	postgres *testbed.Postgres
	houses   map[string]*house // by store: with all zones, for the measures that only read or change little
}

// house is a dnsctl of its own: a database with one pool, and its mdns.
type house struct {
	b     *bench
	bed   *bed
	store string // kind
	url   string
	dir   string
	addr  string // of mdns
	env   []string
	key   wire.Key

	mdns   *exec.Cmd
	exited chan error
}

const pool = "main"

// house makes a database and a pool in it; mdns is not started.
func (b *bench) house(ctx context.Context, t *bed, store string) *house {
	h := &house{b: b, bed: t, store: store, dir: t.TempDir(), addr: testbed.FreeAddr(t)}
	switch store {
	case "sqlite":
		h.url = "sqlite:" + filepath.Join(h.dir, "dnsctl.db")
	default:
		if b.postgres == nil {
			b.postgres = testbed.StartPostgres(b.bed, testbed.PostgresOptions{Private: true})
		}
		h.url = b.postgres.NewDatabase(t)
	}
	for _, v := range os.Environ() { // nothing of the machine's own dnsctl
		if !strings.HasPrefix(v, "DNSCTL_") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "HOME=") {
			h.env = append(h.env, v)
		}
	}
	h.env = append(h.env, "HOME="+h.dir, "DNSCTL_STORE="+h.url, "DNSCTL_SECRET_IDENTITY_FILE="+filepath.Join(h.dir, "identity.age"))
	h.dnsctl(ctx, "db", "init")
	h.dnsctl(ctx, "pool", "create", pool, "--primary", h.addr, "--ns", "ns1.example.net", "--email", "hostmaster@example.net", "--allow-transfer", "127.0.0.0/8")
	h.key = h.readKey(ctx)
	return h
}

// dnsctl runs a command that must succeed.
func (h *house) dnsctl(ctx context.Context, args ...string) usage {
	u, err := execute(ctx, h.env, h.b.bin, args...)
	if err != nil {
		h.bed.Fatalf("%v", err)
	}
	return u
}

var secretOf = regexp.MustCompile(`secret "([^"]+)"`)

// readKey is the pool's TSIG key.
func (h *house) readKey(ctx context.Context) wire.Key {
	text := h.dnsctl(ctx, "tsig", "show", pool, "--for", "bind", "--show-secret").out
	m := secretOf.FindStringSubmatch(text)
	if m == nil {
		h.bed.Fatalf("tsig show says no secret")
	}
	secret, err := base64.StdEncoding.DecodeString(m[1])
	h.bed.must("read the TSIG secret", err)
	return wire.Key{Name: zone.MustParseName(pool + "."), Algorithm: wire.HMACSHA256, Secret: secret}
}

// importBig and importSmall bring the zones in.
func (h *house) importBig(ctx context.Context, file string) usage {
	return h.dnsctl(ctx, "zone", "import", "-q", file)
}

func (h *house) importSmall(ctx context.Context) usage {
	return h.dnsctl(ctx, "zone", "import", "-q", h.b.smallDir)
}

// loaded is the house of a store with all zones and mdns running.
func (b *bench) loaded(ctx context.Context, store string) *house {
	if h := b.houses[store]; h != nil {
		return h
	}
	h := b.house(ctx, b.bed, store)
	h.importBig(ctx, b.bigFile)
	h.importSmall(ctx)
	h.start(ctx)
	b.houses[store] = h
	return h
}

// leave ends the loaded house of a store.
func (b *bench) leave(store string) {
	if h := b.houses[store]; h != nil {
		h.stop()
		delete(b.houses, store)
	}
}

// start runs mdns and waits until it is ready; it says how long that took.
func (h *house) start(ctx context.Context) time.Duration {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), h.b.bin, "mdns", "serve", "--listen", h.addr, "-o", "json")
	cmd.Env = h.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(h.dir, "mdns.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	h.bed.must("open log", err)
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	h.bed.must("start mdns", err)
	begin := time.Now()
	h.bed.must("start mdns", cmd.Start())
	h.mdns, h.exited = cmd, make(chan error, 1)
	ready := make(chan error, 1)
	go func() {
		var r struct{ Ready bool }
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if err == nil && !r.Ready {
			err = fmt.Errorf("it says %s", line)
		}
		ready <- err
		h.exited <- cmd.Wait()
	}()
	h.bed.Cleanup(h.stop)
	select {
	case err = <-ready:
	case <-time.After(time.Minute):
		err = fmt.Errorf("not ready after a minute")
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		h.bed.Fatalf("start mdns: %v\n%s", err, last(string(text)))
	}
	return time.Since(begin)
}

// stop ends mdns, if it runs, and waits for it.
func (h *house) stop() {
	if h.mdns == nil {
		return
	}
	_ = h.mdns.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.exited:
	case <-time.After(40 * time.Second):
		_ = h.mdns.Process.Kill()
		<-h.exited
	}
	h.mdns = nil
}

// serverCPU is the processor time of mdns and its database so far.
func (h *house) serverCPU() (mdns, database float64) {
	if h.store == "postgres" {
		database = family(h.b.postgres.PID())
	}
	return cpu(h.mdns.Process.Pid), database
}

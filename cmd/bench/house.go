package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	running  map[string]server // by name: with all zones, for the measures that only read or change little
	gone     map[string]string // peers that could not be started, and why
}

// house is a dnsctl of its own: a database with one pool, and its mdns.
type house struct {
	place // of mdns; its name is the store's kind
	b     *bench
	bed   *bed
	url   string
	dir   string
	env   []string
	http  string   // address of metrics
	files []string // of TLS: the certificate and its key

	without *regexp.Regexp // lines that are left out of nameservers' configurations; nil: none

	mdns   *exec.Cmd
	exited chan error
}

const pool = "main"

// house makes a database and a pool in it; mdns is not started.
func (b *bench) house(ctx context.Context, t *bed, store string) *house {
	h := &house{b: b, bed: t, dir: t.TempDir(), place: place{name: store, addr: testbed.FreeAddr(t)}, http: testbed.FreeAddr(t)}
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
	h.certify()
	h.dnsctl(ctx, "db", "init")
	h.dnsctl(ctx, "pool", "create", pool, "--primary", h.addr, "--ns", "ns1.example.net", "--email", "hostmaster@example.net", "--allow-transfer", "127.0.0.0/8")
	h.key = h.readKey(ctx)
	return h
}

// certify gives mdns a certificate and its clients the CA.
func (h *house) certify() {
	const name = "mdns.bench.test"
	ca := testbed.NewCA(h.bed)
	cert, key := ca.Issue(h.bed, "mdns", time.Now().Add(24*time.Hour), name)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	h.files, h.tlsAddr = []string{cert, key}, testbed.FreeAddr(h.bed)
	h.tls = &tls.Config{RootCAs: roots, ServerName: name, NextProtos: []string{"dot"}}
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

// change implements server, by another process.
func (h *house) change(ctx context.Context, n int) {
	h.dnsctl(ctx, "record", "set", bigZone, changedOwner(n), "A", addressOf(n))
}

// start runs mdns and waits until it says that it is ready and answers for its
// zones; it says how long that took.
func (h *house) start(ctx context.Context) time.Duration {
	args := []string{"mdns", "serve", "--listen", h.addr, "--tls-listen", h.tlsAddr, "--tls-cert", h.files[0], "--tls-key", h.files[1], "--http", h.http, "-o", "json"}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), h.b.bin, args...)
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
	case <-time.After(startPatience):
		err = fmt.Errorf("not ready after %s", startPatience)
	}
	if err == nil {
		err = h.serving(ctx, func() bool { return false })
	}
	took := time.Since(begin)
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		h.bed.Fatalf("start mdns: %v\n%s", err, last(string(text)))
	}
	return took
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

// lean starts mdns anew so that it collects garbage when there is a tenth of it,
// and says what is then resident: little more than what it needs.
func (h *house) lean(ctx context.Context) float64 {
	h.stop()
	usual := h.env
	h.env = append(slices.Clip(usual), "GOGC=10")
	h.start(ctx)
	h.env = usual
	return memory(h.pid())
}

func (h *house) pid() int { return h.mdns.Process.Pid }

// used implements server.
func (h *house) used() (mdns, database float64) {
	return cpu(h.pid()), h.b.databaseCPU(h.name)
}

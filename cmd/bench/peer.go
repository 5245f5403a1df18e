package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// kind is a nameserver that is measured beside dnsctl, as a primary of the same
// zones, read from the same master files.
type kind struct {
	name    string // in figures
	product string // in words
	version string // argument that has the program say its version
	program string
	tuned   string // what was set for speed
	noIXFR  string // why it has none to measure; "" when it has
	// prepare writes what the program needs into p.dir and sets p.args.
	prepare func(ctx context.Context, p *peer)
	// change is server.change.
	change func(ctx context.Context, p *peer, n int) error
}

func kinds() []kind {
	return []kind{bind, nsd, knot, powerDNSSQLite, powerDNSPostgres, coreDNS}
}

// peer is a nameserver of some kind in a folder of its own.
type peer struct {
	place
	kind
	b    *bench
	bed  *bed
	dir  string
	path string // of the program
	args []string

	database func() float64 // processor time of the database behind it; nil without one
	cmd      *exec.Cmd
	exited   chan struct{}
}

// errMissing says that a peer is not on this machine.
var errMissing = errors.New("not installed")

// locate finds a program, also where Debian keeps daemons, and where
// scripts/own-coredns puts what it builds.
func locate(program string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	if found, _ := filepath.Glob(".cache/" + program + "-v*"); len(found) > 0 {
		return filepath.Abs(found[len(found)-1])
	}
	return "", fmt.Errorf("%w: %s", errMissing, program)
}

// installed is the version that a kind's program says it is, "" when there is no
// such program.
func (k kind) installed(ctx context.Context) string {
	path, err := locate(k.program)
	if err != nil {
		return ""
	}
	out, _ := exec.CommandContext(ctx, path, k.version).CombinedOutput()
	return versionOf(string(out))
}

// versionOf is the first word of a text that looks like 1.2 or 1.2.3.
func versionOf(text string) string {
	for word := range strings.FieldsSeq(text) {
		word = strings.TrimPrefix(strings.TrimRight(word, ",;"), "CoreDNS-")
		major, rest, ok := strings.Cut(word, ".")
		if ok && major != "" && strings.Trim(major, "0123456789") == "" && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return word
		}
	}
	return ""
}

// peer makes a server of a kind with all zones; it is not started.
func (b *bench) peer(ctx context.Context, t *bed, k kind) *peer {
	path, err := locate(k.program)
	t.must("find "+k.product, err)
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	p := &peer{kind: k, b: b, bed: t, dir: t.TempDir(), path: path}
	p.place = place{name: k.name, addr: testbed.FreeAddr(t), ask: b.everything(),
		key: wire.Key{Name: zone.MustParseName("bench."), Algorithm: wire.HMACSHA256, Secret: secret[:]}}
	k.prepare(ctx, p)
	t.Cleanup(p.stop)
	return p
}

func (p *peer) host() string { h, _, _ := strings.Cut(p.addr, ":"); return h }
func (p *peer) port() string { _, port, _ := strings.Cut(p.addr, ":"); return port }

// secret is the TSIG key's, as configurations have it.
func (p *peer) secret() string { return base64.StdEncoding.EncodeToString(p.key.Secret) }

func (p *peer) in(file string) string { return filepath.Join(p.dir, file) }

// write makes a file in the peer's folder that only this user can read.
func (p *peer) write(file string, write func(w io.Writer) error) string {
	path := p.in(file)
	p.bed.must("write "+file, writeFile(path, write))
	p.bed.must("write "+file, os.Chmod(path, 0o600))
	return path
}

// ownBig is a copy of the big zone's file that the peer may write to.
func (p *peer) ownBig() string {
	return p.write(bigZone+".zone", func(w io.Writer) error { return writeBig(w, p.b.records, 0) })
}

func (p *peer) start(ctx context.Context) time.Duration {
	log, err := os.OpenFile(p.in("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	p.bed.must("open log", err)
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	p.bed.must("start "+p.product, cmd.Start())
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	err = p.serving(ctx, func() bool {
		select {
		case <-exited:
			return true
		default:
			return false
		}
	})
	took := time.Since(begin)
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		p.bed.Fatalf("start %s: %v\n%s", p.product, err, last(string(text)))
	}
	return took
}

// stop ends the peer, if it runs, and waits for it.
func (p *peer) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	p.cmd = nil
}

func (p *peer) pid() int { return p.cmd.Process.Pid }

func (p *peer) used() (own, database float64) {
	if p.database != nil {
		database = p.database()
	}
	return family(p.pid()), database
}

func (p *peer) change(ctx context.Context, n int) {
	p.bed.must("change the big zone", p.kind.change(ctx, p, n))
}

// update changes the big zone by a dynamic update (RFC 2136).
func update(ctx context.Context, p *peer, n int) error {
	path, err := locate("nsupdate")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %s\nzone %s\nupdate delete %[4]s A\nupdate add %[4]s 3600 A %[5]s\nsend\n",
		p.host(), p.port(), bigZone, changedOwner(n)+"."+bigZone+".", addressOf(n)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nsupdate: %w: %s", err, out)
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	rndc "dnsctl/nameserver/bind"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// handmade is how somebody who knows a nameserver well fills it from afar, with
// settings for that, in a way that leaves its zones manageable there.
type handmade struct {
	kind    string
	product string
	way     string
	start   func(ctx context.Context, in *bed, h *house) newcomer
}

func byHand() []handmade {
	return []handmade{
		{"bind", "BIND 9", "addzone over one rndc connection", bindByHand},
		{"nsd", "NSD", "addzones, and write", nsdByHand},
		{"knot", "Knot DNS", "one conf transaction", knotByHand},
		{"powerdns", "PowerDNS on SQLite", "POST on 4 connections", powerdnsByHand},
	}
}

// secret64 is the pool's TSIG secret as configurations have it.
func (h *house) secret64() string { return base64.StdEncoding.EncodeToString(h.key.Secret) }

// at is mdns's address with another sign before the port.
func (h *house) at(sign string) string {
	host, port, _ := net.SplitHostPort(h.addr)
	return host + sign + port
}

func bindByHand(_ context.Context, in *bed, h *house) newcomer {
	n := testbed.StartNamed(in, testbed.NamedOptions{AllowNewZones: true,
		Config:  fmt.Sprintf("key %q { algorithm hmac-sha256; secret %q; };", pool, h.secret64()),
		Options: "minimal-responses yes; empty-zones-enable no; transfers-in 200; transfers-per-ns 200; serial-query-rate 5000; startup-notify-rate 5000; notify-rate 5000; tcp-clients 2000;"})
	return newcomer{addr: n.Addr, pid: n.PID(), fill: func(ctx context.Context) error {
		text, err := os.ReadFile(n.KeyFile)
		if err != nil {
			return err
		}
		cred, err := rndc.New().ReadCredential(text)
		if err != nil {
			return err
		}
		d, err := rndc.New().Open(nameserver.Target{Credential: cred, Server: fleet.Server{Name: "hand", Type: "bind",
			Address: netip.MustParseAddrPort(n.Addr), Control: "rndc://" + n.ControlAddr, Stats: n.StatsURL}})
		if err != nil {
			return err
		}
		defer d.Close()
		for i := range h.b.zones {
			z := nameserver.ZoneConfig{Name: zone.MustParseName(smallZone(i) + "."), Primaries: []nameserver.PrimaryRef{
				{Addr: netip.MustParseAddrPort(h.addr), Key: h.key.Name}}}
			if err := d.Add(ctx, z); err != nil {
				return err
			}
		}
		return h.b.answering(ctx, n.Addr)
	}}
}

func nsdByHand(_ context.Context, in *bed, h *house) newcomer {
	n := testbed.StartNSD(in, testbed.NSDOptions{
		Server: "    minimal-responses: yes\n    xfrd-tcp-max: 512\n    xfrd-tcp-pipeline: 128\n    xfrd-reload-timeout: 1\n    zonefiles-write: 0\n",
		Config: fmt.Sprintf("key:\n    name: %[1]q\n    algorithm: hmac-sha256\n    secret: %[2]q\npattern:\n    name: hand\n    zonefile: \"%%s.zone\"\n    request-xfr: AXFR %[3]s %[1]s\n    allow-notify: 127.0.0.1 %[1]s\n",
			pool, h.secret64(), h.at("@"))})
	return newcomer{addr: n.Addr, pid: n.PID(), fill: func(ctx context.Context) error {
		var lines bytes.Buffer
		for i := range h.b.zones {
			fmt.Fprintf(&lines, "%s hand\n", smallZone(i))
		}
		if err := feed(ctx, &lines, "nsd-control", "-c", n.ConfigFile, "addzones"); err != nil {
			return err
		}
		if err := h.b.answering(ctx, n.Addr); err != nil {
			return err
		}
		if err := n.Ctl("write"); err != nil {
			return err
		}
		return eventually(ctx, 100*time.Millisecond, func() bool { return onDisk(n.Dir) == h.b.zones })
	}}
}

func knotByHand(_ context.Context, in *bed, h *house) newcomer {
	k := testbed.StartKnot(in, testbed.KnotOptions{
		// The first line ends the section database.
		Config: fmt.Sprintf("    journal-db-mode: asynchronous\nkey:\n  - id: %[1]s\n    algorithm: hmac-sha256\n    secret: %[2]s\nremote:\n  - id: mdns\n    address: %[3]s\n    key: %[1]s\n",
			pool, h.secret64(), h.at("@")),
		Template: "    master: mdns\n    semantic-checks: off\n    zonefile-sync: -1\n    zonefile-load: none\n    journal-content: all\n"})
	return newcomer{addr: k.Addr, pid: k.PID(), fill: func(ctx context.Context) error {
		if err := addToKnot(ctx, k.Socket, h.b.zones); err != nil {
			return err
		}
		return h.b.answering(ctx, k.Addr)
	}}
}

func powerdnsByHand(_ context.Context, in *bed, h *house) newcomer {
	p := testbed.StartPowerDNS(in, testbed.PowerDNSOptions{
		Settings: "gsqlite3-pragma-journal-mode=wal\ngsqlite3-pragma-synchronous=1\nretrieval-threads=8\nzone-cache-refresh-interval=1\n"})
	return newcomer{addr: p.Addr, pid: p.PID(), fill: func(ctx context.Context) error {
		key := pool + "."
		err := post(ctx, p, "/tsigkeys", map[string]any{"name": key, "algorithm": "hmac-sha256", "key": h.secret64()})
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(4)
		for i := range h.b.zones {
			group.Go(func() error {
				return post(ctx, p, "/zones?rrsets=false", map[string]any{"name": smallZone(i) + ".", "kind": "Slave", "masters": []string{h.addr},
					"master_tsig_key_ids": []string{key}})
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		return h.b.answering(ctx, p.Addr)
	}}
}

// onDisk counts the zones that are in files in a folder.
func onDisk(dir string) int {
	files, _ := filepath.Glob(filepath.Join(dir, "z*.zone"))
	return len(files)
}

// feed runs a program with commands on its standard input.
func feed(ctx context.Context, in *bytes.Buffer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, last(string(out)))
	}
	if i := bytes.Index(out, []byte("error")); i >= 0 {
		return fmt.Errorf("%s: %s", filepath.Base(name), last(string(out[i:])))
	}
	return nil
}

// post makes something over the API of PowerDNS.
func post(ctx context.Context, p *testbed.PowerDNS, path string, in map[string]any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.APIURL+"/api/v1/servers/localhost"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", p.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusCreated {
		err = fmt.Errorf("POST %s: %s: %s", path, res.Status, text)
	}
	return err
}

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"dnsctl/zone"
)

// workers is how many threads or processes a peer is given for answering.
var workers = runtime.NumCPU()

var bind = kind{
	name: "bind", product: "BIND", program: "named", version: "-v",
	tuned: "a worker for each processor, minimal responses, no statistics, no limits on transfers and connections; messages of 20 KiB as it makes them, for those of 64 KiB take it twice the time",
	prepare: func(_ context.Context, p *peer) {
		named := p.in("named") // a copy: AppArmor confines the installed one, by its path
		out, err := exec.Command("cp", p.path, named).CombinedOutput()
		p.bed.must("copy named: "+string(out), err)
		p.path = named
		conf := p.write("named.conf", func(w io.Writer) error {
			fmt.Fprintf(w, `key bench { algorithm hmac-sha256; secret %q; };
controls {};
options {
	directory %q;
	listen-on port %s { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none; session-keyfile none;
	recursion no; dnssec-validation no; notify no; empty-zones-enable no;
	minimal-responses yes; zone-statistics none;
	allow-transfer { 127.0.0.1; key bench; };
	transfers-out 1000; tcp-clients 1000; tcp-listen-queue 1000;
};
zone %q { type primary; file %q; allow-update { 127.0.0.1; }; };
`, p.secret(), p.dir, p.port(), bigZone, p.ownBig())
			return eachSmall(p.b, func(name, file string) error {
				_, err := fmt.Fprintf(w, "zone %q { type primary; file %q; };\n", name, file)
				return err
			})
		})
		p.args = []string{"-g", "-n", fmt.Sprint(workers), "-c", conf}
	},
	change: update,
}

var nsd = kind{
	name: "nsd", product: "NSD", program: "nsd", version: "-v",
	tuned: "a process for each processor with a socket of its own (reuseport), no nsd.db, no rate limits, no limits on connections",
	prepare: func(_ context.Context, p *peer) {
		conf := p.write("nsd.conf", func(w io.Writer) error {
			fmt.Fprintf(w, `server:
	ip-address: 127.0.0.1@%s
	server-count: %d
	reuseport: yes
	tcp-count: 1000
	tcp-query-count: 0
	tcp-timeout: 120
	rrl-ratelimit: 0
	minimal-responses: yes
	username: ""
	chroot: ""
	database: ""
	zonesdir: %[3]q
	pidfile: %[4]q
	xfrdfile: %[5]q
	zonelistfile: %[6]q
	xfrdir: %[3]q
	verbosity: 0
remote-control:
	control-enable: no
key:
	name: bench
	algorithm: hmac-sha256
	secret: %[7]q
pattern:
	name: all
	provide-xfr: 127.0.0.1 NOKEY
	provide-xfr: 127.0.0.1 bench
zone:
	name: %[8]q
	zonefile: %[9]q
	include-pattern: all
	store-ixfr: yes
	create-ixfr: yes
	ixfr-number: %[10]d
	ixfr-size: 100000000
`, p.port(), workers, p.dir, p.in("nsd.pid"), p.in("xfrd.state"), p.in("zone.list"), p.secret(), bigZone, p.ownBig(), 2*ixfrChanges)
			return eachSmall(p.b, func(name, file string) error {
				_, err := fmt.Fprintf(w, "zone:\n\tname: %q\n\tzonefile: %q\n\tinclude-pattern: all\n", name, file)
				return err
			})
		})
		p.args = []string{"-d", "-c", conf}
	},
	// NSD takes no updates: it makes the difference of two files when it is told
	// to read them again.
	change: func(ctx context.Context, p *peer, n int) error {
		err := writeFile(p.in("next"), func(w io.Writer) error { return writeVersion(w, p.b.records, n+1) })
		if err != nil {
			return err
		}
		if out, err := exec.Command("mv", p.in("next"), p.in(bigZone+".zone")).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		w, err := watchSOA(p.addr, bigZone)
		if err != nil {
			return err
		}
		defer w.c.Close()
		_, err = w.until(ctx, bigSerial+zone.Serial(n)+1, 2*time.Minute)
		return err
	},
}

var knot = kind{
	name: "knot", product: "Knot DNS", program: "knotd", version: "-V",
	tuned: "UDP and TCP workers for each processor, tcp-reuseport, no limits on connections, no semantic checks, a journal for the big zone only",
	prepare: func(_ context.Context, p *peer) {
		conf := p.write("knot.conf", func(w io.Writer) error {
			fmt.Fprintf(w, `server:
    rundir: %[1]q
    listen: 127.0.0.1@%[2]s
    udp-workers: %[3]d
    tcp-workers: %[3]d
    background-workers: %[3]d
    tcp-max-clients: 1000
    tcp-reuseport: on
    tcp-idle-timeout: 120
log:
  - target: stderr
    any: error
database:
    storage: %[1]q
key:
  - id: bench
    algorithm: hmac-sha256
    secret: %[4]q
acl:
  - id: open
    address: 127.0.0.1
    action: [transfer, update]
  - id: signed
    address: 127.0.0.1
    key: bench
    action: transfer
template:
  - id: default
    storage: %[1]q
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
    acl: [open, signed]
zone:
  - domain: %[5]s
    file: %[6]q
    journal-content: changes
`, p.dir, p.port(), workers, p.secret(), bigZone, p.ownBig())
			return eachSmall(p.b, func(name, file string) error {
				_, err := fmt.Fprintf(w, "  - domain: %s\n    file: %q\n", name, file)
				return err
			})
		})
		p.args = []string{"-c", conf}
	},
	change: update,
}

var coreDNS = kind{
	name: "coredns", product: "CoreDNS", program: "coredns", version: "-version",
	tuned:  "plugins auto, transfer and tsig, a socket for each processor (multisocket), no log, no reloading",
	noIXFR: "CoreDNS has no IXFR: it answers with the whole zone",
	prepare: func(_ context.Context, p *peer) {
		conf := p.write("Corefile", func(w io.Writer) error {
			_, err := fmt.Fprintf(w, `.:%s {
	bind 127.0.0.1
	multisocket %d
	tsig {
		secret bench. %s
		require none
	}
	transfer {
		to *
	}
	auto {
		directory %s (.*)\.zone$ {1}
		reload 0
	}
}
`, p.port(), workers, p.secret(), filepath.Dir(p.b.bigFile))
			return err
		})
		p.args = []string{"-conf", conf, "-quiet"}
	},
}

// eachSmall goes through the small zones with their files.
func eachSmall(b *bench, f func(name, file string) error) error {
	for i := range b.zones {
		if err := f(smallZone(i), zoneFile(b.smallDir, i)); err != nil {
			return err
		}
	}
	return nil
}

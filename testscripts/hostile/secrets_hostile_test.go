package hostile_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// TestSecretsAreNowhereButWhereTheyBelong does everything with the log turned
// up, and then looks for each secret in all that was said, in the arguments of
// every process, in the database and in the files that others may read.
func TestSecretsAreNowhereButWhereTheyBelong(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", "")
	var said strings.Builder
	do := func(codes string, args ...string) result {
		t.Helper()
		res := r.run(append(args, "-v", "-v")...)
		said.WriteString(res.stdout + res.stderr)
		if !strings.Contains(codes, fmt.Sprint(res.code)) {
			t.Fatalf("dnsctl %v: %v", args, res)
		}
		return res
	}
	own := []byte("a secret that came in a file, 32")
	do("0", "pool", "create", "main", "--primary", addr, "--ns", "ns1.example.net", "--email", "h@example.net")
	do("0", "tsig", "create", "given", "--scope", "pool:main", "--secret-file", r.write("given", base64.StdEncoding.EncodeToString(own)+"\n"))
	m := r.serve(addr, "-v", "-v")
	var ns [3]string
	for i := range ns {
		ns[i] = testbed.FreeAddr(t)
	}
	do("0", "server", "add", "ns1", "--new", "--type", "bind", "--address", ns[0], "--control", "rndc://"+ns[1], "--stats", "http://"+ns[2])
	do("0", "bootstrap", "ns1", "--out", "conf")
	conf := filepath.Join(r.dir, "conf")
	keys, err := os.ReadFile(filepath.Join(conf, "keys.conf"))
	if err != nil {
		t.Fatal(err)
	}
	// Those of keys.conf, which is one place where they belong, and the identity.
	var secrets []string
	for _, found := range regexp.MustCompile(`secret "([^"]+)"`).FindAllStringSubmatch(string(keys), -1) {
		secrets = append(secrets, found[1])
	}
	if len(secrets) < 2 {
		t.Fatalf("keys.conf has only these secrets: %q", secrets)
	}
	identity, err := os.ReadFile(filepath.Join(r.dir, "identity.age"))
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, base64.StdEncoding.EncodeToString(own), string(own), regexp.MustCompile(`AGE-SECRET-KEY-[0-9A-Z]+`).FindString(string(identity)))
	for _, s := range secrets[:len(secrets):len(secrets)] {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			secrets = append(secrets, string(raw), fmt.Sprintf("%x", raw), fmt.Sprint(raw))
		}
	}
	find := func(where, text string) {
		t.Helper()
		for i, s := range secrets {
			if s != "" && strings.Contains(text, s) {
				t.Errorf("secret %d is in %s", i, where)
			}
		}
	}

	named := testbed.StartNamed(t, testbed.NamedOptions{ConfigFile: filepath.Join(conf, "named.conf"), Addr: ns[0], ControlAddr: ns[1], StatsAddr: ns[2]})
	do("0", "zone", "create", "a.example")
	boot := r.start("bootstrap", "ns1", "--wait", "-v", "-v")
	for !boot.ended() { // what others see of it while it runs
		for _, p := range []int{boot.cmd.Process.Pid, m.cmd.Process.Pid} {
			for _, f := range []string{"cmdline", "environ"} {
				b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p, f)) // it may have ended
				find(f, string(b))
			}
		}
	}
	if res := boot.wait(); res.code != 0 {
		t.Fatal(res)
	} else {
		said.WriteString(res.stdout + res.stderr)
	}
	for _, args := range [][]string{{"audit", "--deep", "-o", "json"}, {"sync", "--yes", "-o", "yaml"}, {"server", "list", "-o", "json"}, {"server", "show", "ns1", "-o", "json"},
		{"tsig", "list", "-o", "json"}, {"tsig", "show", "main", "-o", "json"}, {"tsig", "show", "main", "--for", "bind"}, {"pool", "show", "main", "-o", "yaml"},
		{"config", "show", "--origin"}, {"db", "status"}, {"db", "backup", "copy.db"}, {"tsig", "rotate", "main"}, {"zone", "show", "a.example", "-o", "json"}, {"task", "list"}} {
		do("0", args...)
	}
	// What goes wrong says nothing either: a wrong credential, a server that lies.
	wrong := r.write("wrong.key", `key "dnsctl-rndc" { algorithm hmac-sha256; secret "`+base64.StdEncoding.EncodeToString(own)+`"; };`)
	do("1", "server", "add", "ns2", "--type", "bind", "--address", ns[0], "--control", "rndc://"+ns[1], "--stats", "http://"+ns[2], "--control-key-file", wrong)
	do("12", "tsig", "create", "bad", "--scope", "pool:main", "--secret-file", r.write("bad", "%%%"+base64.StdEncoding.EncodeToString(own)))
	do("12", "server", "add", "ns3", "--type", "bind", "--address", ns[0], "--control", "rndc://"+ns[1], "--stats", "http://"+ns[2],
		"--control-key-file", r.write("torn.key", `key "x" { algorithm hmac-sha256; secret "`+base64.StdEncoding.EncodeToString(own)))
	// What mdns is asked with keys, right and wrong ones, a broken one among them.
	mainKey := r.key()
	text, err := os.ReadFile(mainKey)
	if err != nil {
		t.Fatal(err)
	}
	wrongName := r.write("name.key", strings.Replace(string(text), `key "main`, `key "other`, 1))
	wrongSecret := r.write("secret.key", regexp.MustCompile(`secret "[^"]+"`).ReplaceAllString(string(text), `secret "`+base64.StdEncoding.EncodeToString([]byte("not the secret of anything here"))+`"`))
	for file, want := range map[string]string{mainKey: "NOERROR", wrongName: "BADKEY", wrongSecret: "BADSIG"} {
		for _, question := range []string{"SOA", "AXFR"} {
			if out := r.dig(addr, "-k", file, "a.example", question); !strings.Contains(out, want) {
				t.Errorf("%s with %s: %s", question, file, out)
			}
		}
	}
	named.Stop(t)
	do("1", "audit")
	do("1", "sync", "--yes")
	_, metrics := m.get("/metrics")
	_, health := m.get("/readyz")
	res := m.stop()
	find("what mdns says", res.stdout+res.stderr+metrics+health)
	find("what commands say", said.String())

	if err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		private := info.Mode().Perm()&0o007 == 0
		switch name := d.Name(); {
		case strings.HasPrefix(name, "dnsctl.db"), strings.HasPrefix(name, "copy.db"): // sealed there
			find(name, string(b))
			if !private {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
		case !private:
			find(name+", which all may read", string(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestConfigurationsAreNotWrittenThroughLinks has somebody prepare the folder.
func TestConfigurationsAreNotWrittenThroughLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:1")
	r.ok("server", "add", "ns1", "--new", "--type", "bind", "--address", "127.0.0.1:1", "--control", "rndc://127.0.0.1:1", "--stats", "http://127.0.0.1:1")
	if err := os.Mkdir(filepath.Join(r.dir, "conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(r.dir, "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(r.dir, "conf", "keys.conf")); err != nil {
		t.Fatal(err)
	}
	r.want(1, []string{`^dnsctl: error: .*keys\.conf: too many levels of symbolic links`}, "bootstrap", "ns1", "--out", "conf")
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("keys were written through a link")
	}
	// Nor is anything replaced that a nameserver may run on.
	if err := os.Remove(filepath.Join(r.dir, "conf", "keys.conf")); err != nil {
		t.Fatal(err)
	}
	r.write("conf/keys.conf", "mine")
	r.want(1, []string{`^dnsctl: error: .*keys\.conf is there with other content$`, `^dnsctl: hint: `}, "bootstrap", "ns1", "--out", "conf")
}

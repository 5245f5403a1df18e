package knot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// through opens a driver that reaches a socket through an sshd of the test's own.
func through(t *testing.T, s *testbed.SSHD, path string) *driver {
	t.Helper()
	d, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: "ssh://" + s.User + "@" + s.Addr + path}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	x := d.(*driver)
	x.to.(*tunnel).options = []string{"-F", s.Config}
	return x
}

func TestThroughSSH(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	s := testbed.StartSSHD(t, "")
	direct := r.to
	d := through(t, s, r.knot.Socket)
	r.to = d.to
	if info, err := r.Info(t.Context()); err != nil || !strings.HasPrefix(info.Version, "Knot DNS 3") {
		t.Fatalf("%+v, %v", info, err)
	}
	r.add(t, "a.test.")
	if list := r.list(t); len(list) != 1 {
		t.Errorf("%v", list)
	}
	if err := r.Delete(t.Context(), zone.MustParseName("a.test.")); err != nil {
		t.Error(err)
	}
	// The connection is lost, and made again.
	ssh := d.to.(*tunnel)
	if err := ssh.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ssh.done
	if list := r.list(t); len(list) != 0 {
		t.Errorf("%v", list)
	}
	dir, done := ssh.dir, ssh.done
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	<-done
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	r.to = direct
}

func TestWhatKeepsSSHOutIsSaidWithARemedy(t *testing.T) {
	t.Parallel()
	good := testbed.StartSSHD(t, "")
	for what, c := range map[string]struct {
		s          *testbed.SSHD
		path       string
		says, hint string
	}{
		"no such socket":   {good, filepath.Join(t.TempDir(), "none"), "open failed", "does knotd run there"},
		"forbidden":        {testbed.StartSSHD(t, "AllowStreamLocalForwarding no\n"), "/run/none", "open failed", "AllowStreamLocalForwarding"},
		"an unknown key":   {testbed.StartSSHD(t, "AuthorizedKeysFile none\n"), "/run/none", "ermission denied", "ssh-copy-id"},
		"an unknown host":  {good.Stranger(t), "/run/none", "verification failed", "log in once by hand"},
		"nobody who hears": {&testbed.SSHD{Addr: testbed.FreeAddr(t), User: good.User, Config: good.Config}, "/run/none", "refused", "BatchMode"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := through(t, c.s, c.path)
			_, err := d.Info(t.Context())
			_, hint := report.ExitOf(err)
			if !errors.Is(err, nameserver.ErrUnreachable) || !strings.Contains(err.Error(), c.says) || !strings.Contains(hint, c.hint) {
				t.Errorf("%v\n%s", err, hint)
			}
		})
	}
}

func TestNothingSecretIsInTheArgumentsOfSSH(t *testing.T) {
	t.Parallel()
	x := &tunnel{endpoint: endpoint{host: "2001:db8::1", user: "me", port: 2222, socket: "/run/k"}, dir: "/tmp/x"}
	args := strings.Join(x.arguments(), " ")
	if !strings.HasSuffix(args, "-l me -p 2222 -- 2001:db8::1") || !strings.Contains(args, "-L /tmp/x/knot.sock:/run/k ") || !strings.Contains(args, "BatchMode=yes") {
		t.Error(args)
	}
	if x.String() != "ssh://me@[2001:db8::1]:2222/run/k" {
		t.Error(x)
	}
}
